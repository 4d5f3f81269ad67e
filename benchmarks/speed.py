"""How fast: a click with a cached embedding, and frames per second beside SAM 2's predictor.

Run from the repository's root, with nothing else running::

    python benchmarks/speed.py [--model NAME|FILE] [--sizes 512 1024] [--frames 12]
                               [--repeats 3] [--device auto] [--precision auto] [--out FILE]

The frames are those of the sample clip, as JPEG files. One object is clicked on the first one
and propagated forward; the first frame is not counted. SAM 2.1-T has random weights, the same
ones on both sides, because speed does not depend on them. The rounds of the two engines
alternate, so that a busy moment of the machine falls on both. What each does per frame:

- this package: read the JPEG, embed, attend, decode, remember, store the mask, paint labels;
- sam2's `SAM2VideoPredictor`: all that but reading (it loads all frames beforehand, which is
  not counted), in autocast where the precision is bfloat16, and the mask brought to the
  frame's size and compared with 0.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")  # sam2 draws bars

import numpy as np
import torch
from machine import describe_machine
from PIL import Image
from sam2.build_sam import build_sam2_video_predictor

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.engine.devices import choose_device, choose_precision
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.network import Network
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.sam2_network import POSTPROCESSING, load_sam2
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.formats.sources import open_source
from napari_surgisam.resources import sample_data

TINY = "configs/sam2.1/sam2.1_hiera_t.yaml"
OBJECT = ObjectId(1)
CLICK = Point(378.0, 535.0)  # the retina, as in the sample's own prompts
CLICKS = 20


def write_frames(folder: Path, count: int) -> None:
    """Write the sample clip's first frames as the numbered JPEG files that sam2 reads."""
    clip = open_source(sample_data() / "clip.mp4")
    for frame in range(min(count, len(clip))):
        Image.fromarray(clip.read(frame)).save(folder / f"{frame:05d}.jpg", quality=95)


def time_embedding(network: Network, frames: FrameSource, repeats: int) -> list[float]:
    """Return seconds to read and embed a frame that was not seen before."""
    seconds = []
    for n in range(repeats):
        tracker = Tracker(network)
        start = time.perf_counter()
        tracker.embed(frames, n % len(frames))
        _wait()
        seconds.append(time.perf_counter() - start)
    return seconds


def time_clicks(network: Network, frames: FrameSource) -> list[float]:
    """Return seconds from each click on an embedded frame to its painted labels."""
    tracker, seconds = Tracker(network), []
    for n in range(CLICKS + 1):
        session = Session(frames, tracker)
        session.embed(0)
        start = time.perf_counter()
        session.add_point(OBJECT, 0, Point(CLICK.y + n, CLICK.x - n))
        session.segment(0)
        session.labels(0)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]  # the first one embeds, and warms up


def time_ours(network: Network, frames: FrameSource) -> float:
    """Return frames per second of this package, with an empty cache."""
    session = Session(frames, Tracker(network))
    session.set_prompt(Prompt(OBJECT, 0, (CLICK,)))
    session.segment(0)
    start, done = time.perf_counter(), 0
    for event in session.propagate(Plan("forward")):
        session.labels(event.frame)
        done += event.direction is not None
    return done / (time.perf_counter() - start)


def time_official(
    predictor: torch.nn.Module, folder: Path, device: torch.device, precision: torch.dtype
) -> float:
    """Return frames per second of sam2's own video predictor."""
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16)
    with torch.inference_mode(), autocast:
        state = predictor.init_state(str(folder))
        predictor.add_new_points_or_box(
            state, 0, int(OBJECT), points=np.array([[CLICK.x, CLICK.y]]), labels=np.array([1])
        )
        steps = predictor.propagate_in_video(state)
        next(steps)
        start, done = time.perf_counter(), 0
        for _, _, logits in steps:
            (logits > 0).cpu().numpy()
            done += 1
        return done / (time.perf_counter() - start)


def official_predictor(size: int, device: torch.device) -> torch.nn.Module:
    """Build sam2's predictor for SAM 2.1-T with the options that Meta's own builder sets."""
    return build_sam2_video_predictor(
        TINY,
        device=str(device),
        hydra_overrides_extra=[*POSTPROCESSING, f"++model.image_size={size}"],
        apply_postprocessing=False,
    )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="embedded", help="name or file; none: SAM 2.1-T only")
    parser.add_argument("--sizes", type=int, nargs="*", default=[512, 1024])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    where = f"{device.type}, {str(precision).removeprefix('torch.')}"
    lines = [
        "| model | pixels | what | engine | median | lowest to highest |",
        "|---|---|---|---|---|---|",
    ]

    def add(model: str, size: int, what: str, engine: str, values: list[float], unit: str) -> None:
        scale = 1000 if unit == "ms" else 1
        low, middle, high = (scale * f(values) for f in (min, median, max))
        lines.append(
            f"| {model} | {size} | {what} | {engine} | {middle:.3g} {unit} "
            f"| {low:.3g} to {high:.3g} |"
        )
        print(lines[-1], flush=True)

    def measure(model: str, network: Network, rounds: Callable[[], dict[str, list[float]]]) -> None:
        size = network.image_size
        add(
            model,
            size,
            "click to mask, embedding cached",
            "ours",
            time_clicks(network, frames),
            "ms",
        )
        add(model, size, "embed a frame", "ours", time_embedding(network, frames, 5)[1:], "ms")
        for engine, values in rounds().items():
            add(model, size, "propagate one object", engine, values, "frames/s")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_frames(folder, options.frames)
        frames = open_source(folder)
        print("\n".join(lines), flush=True)
        if options.model != "none":
            own = load_network(options.model, options.device, options.precision)
            time_ours(own, frames)  # warms up
            measure(
                Path(options.model).stem,
                own,
                lambda: {"ours": [time_ours(own, frames) for _ in range(options.repeats)]},
            )
        for size in options.sizes:
            torch.manual_seed(0)
            predictor = official_predictor(size, device)
            weights = {k: v.cpu() for k, v in predictor.state_dict().items()}
            network = load_sam2(
                TINY, weights, image_size=size, device=str(device), precision=precision
            )

            def both(
                network: Network = network, predictor: torch.nn.Module = predictor
            ) -> dict[str, list[float]]:
                seconds: dict[str, list[float]] = {"ours": [], "sam2's predictor": []}
                for _ in range(options.repeats):
                    seconds["ours"].append(time_ours(network, frames))
                    seconds["sam2's predictor"].append(
                        time_official(predictor, folder, device, precision)
                    )
                return seconds

            measure("SAM 2.1-T, random weights", network, both)
    height, width = frames.shape
    footer = (
        f"\n{len(frames)} frames of {height} x {width} pixels, {options.repeats} rounds; {where}; "
        f"{describe_machine()}"
    )
    print(footer)
    if options.out:
        options.out.write_text("\n".join([*lines, footer, ""]), encoding="utf-8")


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
