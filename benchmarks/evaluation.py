"""The product's own evaluation of a folder of labelled cases, as its users run it.

Run from the repository's root::

    python benchmarks/evaluation.py --data DIR --out REPORTS [--model NAME|FILE]
                                    [--clicks N] [--scheduler local:2] [--limit KIND ...]

`DIR` holds one folder per case (`vol_*`, `vid_*`, `im2d_*`), as the other benchmarks take it.
Calls ``surgisam evaluate`` once per kind with the protocol that belongs to it, prints the
figures, takes a picture of each report in Chromium where that is installed, and times DSC and
NSD of 100 volumes of 256 x 256 x 256 (``--metrics``).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage as ndi

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.metrics.masks import dsc
from napari_surgisam.metrics.surfaces import nsd

KINDS = {
    "volume": ("volume", "vol_*", ()),
    "video": ("video", "vid_*", ()),
    "image": ("image", "im2d_*", ("--click-mode", "center")),
    "interactive": ("image-interactive", "im2d_surgical_tools_cholec/*", ()),
    "correction": ("correction", "vid_polyp_*", ("--rounds", "3")),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def evaluate(kind: str, data: Path, out: Path, options: argparse.Namespace) -> None:
    """Evaluate the cases of a kind, print the figures, and take a picture of the report."""
    protocol, glob, extra = KINDS[kind]
    command = [
        *(sys.executable, "-m", "napari_surgisam", "evaluate", str(data), "--quiet"),
        *("--protocol", protocol, "--cases", glob, "--out", str(out / kind)),
        *("--model", options.model, "--clicks", str(options.clicks), *extra),
    ]
    if options.scheduler:
        command += ["--scheduler", options.scheduler]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(f"\n{kind}: {time.perf_counter() - start:.0f} s, exit code {done.returncode}")
    print(done.stdout, flush=True)
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    page = out / kind / "report.html"
    if browser is not None and page.exists():
        picture = out / f"{kind}.png"
        subprocess.run(
            [
                *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--window-size=1200,2400", f"--screenshot={picture}", page.resolve().as_uri()),
            ],
            capture_output=True,
            check=True,
        )
        print(picture)


def time_metrics(count: int = 100, side: int = 256) -> None:
    """Time DSC and NSD of random organs that fill 1 to 20 % of their volumes."""
    rng = np.random.default_rng(0)
    grid = np.indices((side,) * 3, dtype=np.float32)
    seconds = {"DSC": 0.0, "NSD": 0.0}
    for _ in range(count):
        centre, radius = rng.uniform(0.4, 0.6, 3) * side, rng.uniform(0.14, 0.36) * side
        far = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
        bumps = ndi.zoom(rng.normal(0, 3, (16, 16, 16)).astype(np.float32), side / 16, order=1)
        masks = far + bumps < radius, np.roll(far, 1, axis=1) + 0.8 * bumps < radius
        start = time.perf_counter()
        dsc(*masks)
        middle = time.perf_counter()
        nsd(*masks, spacing=(1.0, 0.8, 0.8), tolerance=2.0)
        seconds["DSC"] += middle - start
        seconds["NSD"] += time.perf_counter() - middle
    for name, total in seconds.items():
        print(f"{name} of {count} volumes of {side}^3: {total:.1f} s")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the cases")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluation"))
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--clicks", type=int, default=3)
    parser.add_argument("--scheduler", help="as for surgisam evaluate")
    parser.add_argument("--limit", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--metrics", action="store_true", help="time the metrics alone")
    options = parser.parse_args()
    if options.metrics:
        time_metrics()
    elif options.data is None:
        parser.error("--data is needed, or --metrics")
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        for kind in options.limit:
            evaluate(kind, options.data, options.out, options)
    print(describe_machine())


if __name__ == "__main__":
    main()
