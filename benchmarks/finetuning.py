"""What fine-tuning on a few labels gains, and what it takes.

Run from the repository's root::

    python benchmarks/finetuning.py --data DIR --out FOLDER [--base NAME|FILE] [--threads 2]
                                    [--only SET ...] [--recipe NAME ...] [--samples N ...]

`DIR` holds the cases that `cases.py` names. Sets:

- *hippocampi*: of 31 volumes, labels merged, the first 20 tune (16 train, 4 validate, drawn by
  `--seed`), the last 11 test; three clicks on the middle slice, DSC.
- *nuclei*: of the pictures, every third tests, the others tune, each nucleus a sample; the figure
  is WMDC of ``surgisam evaluate --protocol image``, the mean DSC over all nuclei from three random
  clicks on each.
- *polyps*: each sequence tuned on the other (`--val-fraction 0`), three clicks on the first frame,
  J&F.
- *classes*: the hippocampi by `--recipe classes`, found by name without a click, beside the untuned
  model's three clicks.

Each run is ``surgisam finetune`` in a process of its own, whose time on the clock and peak memory
are printed. The relative gain of the mean has a 95 % interval: a paired bootstrap over the test
cases (the nuclei of one picture together).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cases
import numpy as np
from models import OBJECT, EmbeddedModel
from numpy.typing import NDArray
from scipy.stats import bootstrap

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.data.clicks import spread_clicks
from napari_surgisam.engine.plan import Span
from napari_surgisam.engine.registry import CACHE_VARIABLE
from napari_surgisam.evaluation.cases import OpenCase
from napari_surgisam.formats.class_tables import CLASS_TABLE
from napari_surgisam.formats.folders import picture_files, read_picture
from napari_surgisam.metrics.masks import dsc
from napari_surgisam.metrics.video import j_and_f
from napari_surgisam.training.clips import WHOLE, find_labelled, open_labelled
from napari_surgisam.training.validation import answer_case

CLICKS = 3
TUNED_ON = 20  # of the hippocampi
SETS = ("hippocampi", "nuclei", "polyps", "classes")
Scores = dict[str, list[float]]
"""Of the objects of each test case."""

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Split:
    """A folder to tune on and the cases to test on."""

    name: str
    tuning: Path
    test: tuple[cases.Clip | OpenCase, ...]
    measure: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tuned:
    """A finished run."""

    weights: Path
    minutes: float
    megabytes: float


def link(files: Sequence[Path], folder: Path) -> None:
    """Fill a folder with links to files; it may be there already."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        place = folder / file.name
        if not place.exists():
            place.symlink_to(file.resolve())


def splits(data: Path, out: Path, chosen: Sequence[str]) -> Iterator[Split]:
    """Lay out what each set tunes on, and read what it is tested on."""
    for name in chosen:
        if name in ("hippocampi", "classes"):
            clips = [c for c in cases.clips(data) if c.row.startswith("vol_hippocampus")]
            root = data / cases.VOLUME_SET[1]
            tuning = out / "hippocampi"
            for kind in ("images", "labels"):
                link([root / kind / clip.name for clip in clips[:TUNED_ON]], tuning / kind)
            yield Split(name, tuning, tuple(clips[TUNED_ON:]), "DSC", ("--merge-labels",))
        elif name == "nuclei":
            row = cases.PICTURES["single frames"][0]
            names = [file.stem for file in picture_files(data / row / "images")[::3]]
            labelled = open_labelled(find_labelled([data / row]))
            tuning = out / "nuclei"
            for kind in ("images", "labels"):
                files = sorted((data / row / kind).iterdir())
                link([f for f in files if f.stem not in names], tuning / kind)
            largest = max(int(read_picture(label).max()) for label in files)
            rows = [f"{label},nucleus" for label in range(1, largest + 1)]
            (tuning / CLASS_TABLE).write_text("\n".join(["label,class", *rows]), encoding="utf-8")
            yield Split(name, tuning, tuple(labelled[n] for n in names), "WMDC")
        else:
            sequences = [c for c in cases.clips(data, 0) if c.row.startswith("vid_polyp")]
            for test, other in zip(sequences, sequences[::-1], strict=True):
                yield Split(test.name, data / other.name, (test,), "J&F", ("--val-fraction", "0"))


def tune(split: Split, recipe: str, samples: str, out: Path, options: argparse.Namespace) -> Tuned:
    """Run `surgisam finetune`, or find what it made before."""
    weights = out / f"{split.name}_{recipe}_{samples}.safetensors"
    facts = weights.with_suffix(".cost.json")
    if not facts.exists():
        command = [
            *(sys.executable, "-m", "napari_surgisam", "finetune", str(split.tuning)),
            *("--recipe", recipe, "--samples-per-class", samples, "--out", str(weights)),
            *("--base", options.base, "--seed", str(options.seed), "--overwrite", "--quiet"),
            *("--threads", str(options.threads), *split.options),
        ]
        for flag, value in (("--epochs", options.epochs), ("--learning-rate", options.rate)):
            if value:
                command += [flag, str(value)]
        start = time.perf_counter()
        own = {**os.environ, CACHE_VARIABLE: str(out / "cache")}  # names are taken once
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=own) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed with {process.returncode}.")
        cost = {"minutes": (time.perf_counter() - start) / 60, "megabytes": usage.ru_maxrss / 1024}
        facts.write_text(json.dumps(cost), encoding="utf-8")
    return Tuned(weights, **json.loads(facts.read_text(encoding="utf-8")))


def score(split: Split, model: EmbeddedModel, *, by_name: bool = False) -> Scores:
    """Return the scores of each test case."""
    scores: Scores = {}
    for case in split.test:
        if isinstance(case, OpenCase):
            answer = answer_case(case, model.tracker, seed=0, clicks=CLICKS)
            scores[case.name] = [
                dsc(np.equal(answer.labels, label), np.equal(answer.truth.labels, label))
                for label in answer.truth.object_ids
            ]
            continue
        if by_name:
            session = model.session(case.frames)
            for _ in session.label_classes({OBJECT: WHOLE}, Span(0, len(case.frames) - 1)):
                pass
            masks = model.masks(session)
        else:
            points = spread_clicks(case.truth[case.prompted], CLICKS)
            masks = model.track(case.frames, case.prompted, points)
        measure = j_and_f if case.frames.temporal else dsc
        scores[case.name] = [measure(masks, case.truth)]
    return scores


def gain(before: Scores, after: Scores) -> str:
    """Return the relative gain of the mean, with its interval where there are several cases."""
    pairs = np.array([[sum(before[k]), sum(after[k])] for k in before]).T

    def relative(a: Values, b: Values, axis: int = -1) -> Values:
        return np.asarray(b.sum(axis=axis) / a.sum(axis=axis) - 1)

    text = f"{100 * float(relative(*pairs)):+.1f} %"
    if pairs.shape[1] < 3:
        return text
    drawn = bootstrap(
        tuple(pairs), relative, paired=True, method="percentile", rng=np.random.default_rng(0)
    )
    low, high = drawn.confidence_interval
    return f"{text} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    """Tune, test and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of weights and table")
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--only", action="append", choices=SETS, help="default: all")
    parser.add_argument("--recipe", action="append", help="default: decoder-only")
    parser.add_argument("--samples", action="append", help="per class; default: 100")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    untuned = EmbeddedModel(options.base)
    lines = [
        "| set | recipe | samples | measure | cases | untuned | tuned | relative gain | min | MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for split in splits(options.data, options.out, options.only or SETS):
        before = score(split, untuned)
        by_name = split.name == "classes"
        for recipe in ["classes"] if by_name else options.recipe or ["decoder-only"]:
            for samples in options.samples or ["100"]:
                tuned = tune(split, recipe, samples, options.out, options)
                after = score(split, EmbeddedModel(str(tuned.weights)), by_name=by_name)
                means = [
                    f"{np.mean(np.concatenate(list(s.values()))):.3f}" for s in (before, after)
                ]
                cells = [split.name, recipe, samples, split.measure, str(len(before)), *means]
                cells += [gain(before, after), f"{tuned.minutes:.1f}", f"{tuned.megabytes:.0f}"]
                lines.append(f"| {' | '.join(cells)} |")
                print(lines[-1], flush=True)
    text = "\n".join([*lines, "", describe_machine()])
    (options.out / "finetuning.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
