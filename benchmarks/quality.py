"""How good masks from few clicks are: the embedded model beside methods without learning.

Run from the repository's root::

    python benchmarks/quality.py --data DIR [--model NAME|FILE|none] [--clicks 1 3 5]
                                 [--focus default|auto|off ...] [--limit N] [--out STEM]

`DIR` holds one folder per case, named as in `cases.py`. Every method gets the same clicks, and
no method's own answer moves them: positive points spread over the true mask, the first in its
centre, on the middle labelled slice of a volume or on the first frame of a movie (BioSAM-2
prompts with 1, 3 and 5 points of the true mask too, but draws them at random). All points enter
together. Only NoC lets each method answer: each next click goes to the centre of the largest
error of that method's own mask, as in interactive segmentation (RITM, SAM 2).

Scores: DSC of the whole volume; J&F of a movie as DAVIS counts it; mean IoU of the objects of
single frames; NoC@85, the clicks that an IoU of 0.85 takes, 20 where it is not reached.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # solvers of small systems wait for threads

import cases
import numpy as np
from baselines import CarriedByFlow, RandomWalker
from models import EmbeddedModel

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.data.clicks import correction_click, first_click, spread_clicks
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.focus import FOCUS_CHOICES
from napari_surgisam.metrics.masks import dsc, iou
from napari_surgisam.metrics.video import j_and_f

NOC_TARGET, NOC_LIMIT = 0.85, 20
Answer = Callable[[Point], cases.Mask]
Cells = dict[tuple[str, str, str, int], dict[str, list[float]]]


class Method(Protocol):
    """Something that turns clicks into masks.

    Attributes
    ----------
    name : str
        Heading of its column.
    version : str
        Everything that its answers depend on; scores are cached by it. Empty: not cached.
    """

    name: str

    @property
    def version(self) -> str: ...

    def segment(self, frames: FrameSource, frame: int, points: tuple[Point, ...]) -> cases.Mask:
        """Return the (H, W) mask of points that enter together."""
        ...

    def interact(self, frames: FrameSource, frame: int) -> Answer:
        """Return a function that takes one click after another and answers with masks."""
        ...

    def track(self, frames: FrameSource, frame: int, points: tuple[Point, ...]) -> cases.Mask:
        """Return the (T, H, W) masks of an object that is clicked on one frame."""
        ...


@dataclass(frozen=True, slots=True)
class Score:
    """One figure: a method on a case."""

    group: str
    row: str
    case: str
    method: str
    measure: str
    clicks: int
    value: float
    seconds: float


class Cache:
    """Scores that were computed before, one JSON object per line of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._known: dict[str, list[float]] = dict(map(json.loads, lines))

    def get(self, key: str, compute: Callable[[], list[float]], *, keep: bool) -> list[float]:
        """Return what is known under a key, else compute it, and keep it if told."""
        if key in self._known:
            return self._known[key]
        value = compute()
        if keep:
            self._known[key] = value
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, value]) + "\n")
        return value


def score_clip(method: Method, clip: cases.Clip, points: tuple[Point, ...]) -> float:
    """Return J&F of a movie, or DSC of a volume, from clicks on one frame."""
    masks = method.track(clip.frames, clip.prompted, points)
    return j_and_f(masks, clip.truth) if clip.frames.temporal else dsc(masks, clip.truth)


def score_object(
    method: Method, frames: FrameSource, truth: cases.Mask, points: tuple[Point, ...]
) -> float:
    """Return the IoU of an object of a single frame."""
    return iou(method.segment(frames, 0, points), truth)


def named(points: tuple[Point, ...]) -> str:
    """Return clicks as a word: scores are kept under it."""
    return " ".join(f"{p.y:g},{p.x:g}" for p in points)


def count_clicks(method: Method, frames: FrameSource, truth: cases.Mask) -> float:
    """Return how many clicks a method needs for an object of a single frame (NoC)."""
    answer = method.interact(frames, 0)
    clicks = [first_click(truth)]
    while True:
        mask = answer(clicks[-1])
        if iou(mask, truth) >= NOC_TARGET or len(clicks) == NOC_LIMIT:
            return len(clicks)
        following = correction_click(mask, truth, clicked=clicks)
        if following is None:
            return NOC_LIMIT
        clicks.append(following)


def run(
    data: Path, methods: list[Method], clicks: list[int], limit: int | None, cache: Cache
) -> Iterator[Score]:
    """Score all methods on all cases."""

    def score(
        method: Method, case: str, frames: FrameSource, what: str, compute: Callable[[], float]
    ) -> list[float]:
        def timed() -> list[float]:
            start = time.perf_counter()
            value = compute()
            return [value, time.perf_counter() - start]

        key = f"{method.version}|{case}|{frames.fingerprint}|{what}"
        return cache.get(key, timed, keep=bool(method.version))

    for clip in cases.clips(data, limit):
        measure = "J&F" if clip.frames.temporal else "DSC"
        for method in methods:
            for n in clicks:
                points = spread_clicks(clip.truth[clip.prompted], n)
                compute = partial(score_clip, method, clip, points)
                what = f"{measure}|{named(points)}"
                found = score(method, clip.name, clip.frames, what, compute)
                yield Score(clip.group, clip.row, clip.name, method.name, measure, n, *found)
    for picture in cases.pictures(data, limit):
        group, row, frames = picture.group, picture.row, picture.frames
        for method in (m for m in methods if not isinstance(m, CarriedByFlow)):
            for label, truth in picture.objects.items():
                case = f"{picture.name}, object {label}"
                for n in clicks:
                    points = spread_clicks(truth, n)
                    compute = partial(score_object, method, frames, truth, points)
                    found = score(method, case, frames, f"IoU|{named(points)}", compute)
                    yield Score(group, row, case, method.name, "mean IoU", n, *found)
                compute = partial(count_clicks, method, frames, truth)
                found = score(method, case, frames, f"NoC|{NOC_TARGET}|{NOC_LIMIT}", compute)
                yield Score(group, row, case, method.name, "NoC@85", NOC_LIMIT, *found)


def table(scores: list[Score], methods: list[str]) -> str:
    """Return the scores' means by row as Markdown, the best of each line in bold."""
    lines = [
        f"| group | case | measure | clicks | {' | '.join(methods)} |",
        f"|---|---|---|---|{'---|' * len(methods)}",
    ]
    cells: Cells = {}
    for s in scores:
        at = (s.group, s.row, s.measure, s.clicks)
        cells.setdefault(at, {}).setdefault(s.method, []).append(s.value)
    groups = list(dict.fromkeys(s.group for s in scores))
    order = sorted(cells, key=lambda at: (groups.index(at[0]), at[1], at[2] == "NoC@85", at[3]))
    for group, row, measure, count in order:
        means = {m: float(np.mean(v)) for m, v in cells[group, row, measure, count].items()}
        lines.append(_line(group, row, measure, count, means, methods))
    for count in sorted({s.clicks for s in scores if not s.measure.startswith("NoC")}):
        by_group = {group: _group_means(cells, group, count) for group in groups}
        for group, means in by_group.items():
            lines.append(_line(group, "**mean of its rows**", "all", count, means, methods))
        everywhere = [m for m in methods if all(m in means for means in by_group.values())]
        means = {m: float(np.mean([g[m] for g in by_group.values()])) for m in everywhere}
        lines.append(_line("**all**", "**mean of the groups**", "all", count, means, methods))
    return "\n".join(lines)


def _group_means(cells: Cells, group: str, count: int) -> dict[str, float]:
    """Return each method's mean over the rows of a group, where it has them all."""
    rows = [
        found
        for (of, _, measure, clicks), found in cells.items()
        if of == group and clicks == count and not measure.startswith("NoC")
    ]
    methods = set.intersection(*(set(row) for row in rows))
    return {m: float(np.mean([np.mean(row[m]) for row in rows])) for m in methods}


def _line(
    group: str, row: str, measure: str, count: int, means: dict[str, float], methods: list[str]
) -> str:
    fewer_is_better = measure.startswith("NoC")
    best = (min if fewer_is_better else max)(means.values())
    texts = []
    for method in methods:
        if method not in means:
            texts.append("-")
            continue
        text = f"{means[method]:.1f}" if fewer_is_better else f"{means[method]:.3f}"
        texts.append(f"**{text}**" if len(means) > 1 and means[method] == best else text)
    asked = f"at most {count}" if fewer_is_better else str(count)
    return f"| {group} | {row} | {measure} | {asked} | {' | '.join(texts)} |"


def main() -> None:
    """Parse the command line, score, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--model", default="embedded", help="name or file; none: baselines only")
    parser.add_argument("--clicks", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--limit", type=int, help="at most so many volumes and pictures of a set")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--focus",
        nargs="+",
        choices=FOCUS_CHOICES,
        default=["default"],
        help="whether the model sees a window that follows the object; several are compared",
    )
    parser.add_argument("--without-baselines", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("runs/quality_baselines.jsonl"))
    parser.add_argument("--out", type=Path, help="writes STEM.json and STEM.md")
    options = parser.parse_args()
    methods: list[Method] = []
    if options.model != "none":
        methods += [EmbeddedModel(options.model, options.device, f) for f in options.focus]
    if not options.without_baselines:
        methods += [RandomWalker(), CarriedByFlow()]
    scores: list[Score] = []
    for score in run(options.data, methods, options.clicks, options.limit, Cache(options.cache)):
        scores.append(score)
        print(
            f"{score.case}: {score.method}, {score.measure}, {score.clicks} clicks: "
            f"{score.value:.3f} ({score.seconds:.1f} s)",
            file=sys.stderr,
            flush=True,
        )
    text = f"{table(scores, [m.name for m in methods])}\n\n{describe_machine()}"
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
        figures = [asdict(score) for score in scores]
        options.out.with_suffix(".json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
