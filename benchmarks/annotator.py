"""Does the timeline lead to where clicks help? A scripted annotator corrects, round by round.

Run from the repository's root::

    python benchmarks/annotator.py --data DIR [--model NAME|FILE] [--rounds 5] [--orders 20]
                                   [--limit N] [--window] [--out STEM]

`DIR` holds one folder per case, named as in `cases.py`. All begin with the same clicks on one
frame, propagated. In each round the annotator looks at one frame and clicks the centre of its
largest error, as often as on the first frame, looking at the mask after each click: nobody leaves a
frame that one click did not mend. Where nothing is to be clicked, it is accepted. Then what became
stale is propagated again.
Which frame, is what is compared:

- *timeline*: the worst doubtful place, as the key N shows it; where none is left, as *evenly*;
- *evenly*: the middle of the longest stretch between frames that were looked at;
- *random*: any other frame, in `--orders` orders, of which the mean counts.

Scores: J&F of a movie, DSC of a volume. A case's figure is its mean over the rounds; the paired
difference of two ways has a 95 % bootstrap interval over the cases. `--window` does the timeline's
rounds of two cases in napari's own window instead, through the widgets.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cases
import numpy as np
from models import OBJECT, EmbeddedModel
from numpy.typing import NDArray

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.data.clicks import correction_click, spread_clicks
from napari_surgisam.data.curves import Curve, read_curves
from napari_surgisam.data.doubtful_places import find_doubtful
from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.course import Update
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.evaluation.summary import estimate
from napari_surgisam.metrics.masks import dsc
from napari_surgisam.metrics.video import j_and_f

Choose = Callable[[Session, set[int]], int]
"""Given the session and the frames that were looked at, the next one to look at."""


def by_timeline(session: Session, seen: set[int]) -> int:
    """Return the frame that the key N shows, else the middle of the longest unseen stretch."""
    found = find_doubtful([_curve(session)], by_area=not session.frames.temporal)
    places = (place.frame for place in found)
    return next((frame for frame in places if frame not in seen), evenly(session, seen))


def evenly(session: Session, seen: set[int]) -> int:
    """Return the middle of the longest stretch that nobody looked at."""
    ends = [-1, *sorted(seen), len(session.frames)]
    # from the ends of the source it is as far to a frame as twice from both sides
    gaps = [b - a - 1 for a, b in pairwise(ends)]
    longest = int(np.argmax(gaps))
    return (ends[longest] + ends[longest + 1]) // 2


def in_order(order: Sequence[int]) -> Choose:
    """Return a way to look at frames in an order."""

    def choose(session: Session, seen: set[int]) -> int:
        return next(frame for frame in order if frame not in seen)

    return choose


def work(
    model: EmbeddedModel, clip: cases.Clip, clicks: int, rounds: int, choose: Choose
) -> list[float]:
    """Return the score after the first propagation and after each round."""
    session = model.session(clip.frames)
    points = spread_clicks(clip.truth[clip.prompted], clicks)
    for _ in model.propagate(session, clip.prompted, points):
        pass
    scores, seen = [_score(session, model, clip)], {clip.prompted}
    plan = Plan("first-n" if clip.frames.temporal else "outward")
    for _ in range(min(rounds, len(clip.frames) - 1)):
        frame = choose(session, seen)
        seen.add(frame)
        if correct(session, clip, frame, clicks):
            for _ in session.propagate(plan, update=Update()):
                pass
        scores.append(_score(session, model, clip))
    return scores + scores[-1:] * (rounds + 1 - len(scores))


def correct(session: Session, clip: cases.Clip, frame: int, clicks: int) -> bool:
    """Click a frame's largest error until it is right or the clicks are spent, or accept it.

    Returns
    -------
    bool
        Whether it was clicked.
    """
    clicked: list[Point] = []
    while len(clicked) < clicks:
        mask = np.equal(session.labels(frame), OBJECT)
        point = correction_click(mask, clip.truth[frame], clicked=clicked)
        if point is None:
            break
        session.add_point(OBJECT, frame, point)
        session.segment(frame)
        clicked.append(point)
    if not clicked:
        session.accept([OBJECT], range(frame, frame + 1))
    return bool(clicked)


@dataclass(frozen=True, slots=True)
class Result:
    """One case: scores by way and round."""

    case: str
    row: str
    scores: dict[str, list[float]]


def run(model: EmbeddedModel, clip: cases.Clip, clicks: int, rounds: int, orders: int) -> Result:
    """Work on a case in all ways."""
    ways = {"timeline": by_timeline, "evenly": evenly}
    scores = {name: work(model, clip, clicks, rounds, choose) for name, choose in ways.items()}
    some = []
    for seed in range(orders):
        order = np.random.default_rng(seed).permutation(len(clip.frames)).tolist()
        some.append(work(model, clip, clicks, rounds, in_order(order)))
    scores["random"] = np.mean(some, axis=0).tolist()
    return Result(clip.name, clip.row, scores)


def report(results: Sequence[Result], rounds: int) -> str:
    """Return scores by round, and the timeline's gain, as Markdown."""
    ways = list(results[0].scores)
    lines = [f"| round | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    for k in range(rounds + 1):
        means = [np.mean([r.scores[way][k] for r in results]) for way in ways]
        lines.append(f"| {k} | {' | '.join(f'{m:.3f}' for m in means)} |")
    lines += ["", "| gain of the timeline over | mean over the rounds | after the last |"]
    lines += ["|---|---|---|"]
    for way in ways[1:]:
        gains = []
        for part in (slice(1, None), slice(-1, None)):
            found = estimate(
                (r.case, float(np.mean(r.scores["timeline"][part]) - np.mean(r.scores[way][part])))
                for r in results
            )
            gains.append(f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")
        lines.append(f"| {way} | {' | '.join(gains)} |")
    return "\n".join(lines)


def _curve(session: Session) -> Curve:
    return read_curves(session.annotation, len(session.frames), session.frames.shape)[OBJECT]


def _score(session: Session, model: EmbeddedModel, clip: cases.Clip) -> float:
    masks: NDArray[np.bool_] = model.masks(session)
    return j_and_f(masks, clip.truth) if clip.frames.temporal else dsc(masks, clip.truth)


def main() -> None:
    """Parse the command line, work, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--model", default="embedded", help="name or file")
    parser.add_argument("--clicks", type=int, default=3, help="on a frame")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--orders", type=int, default=20, help="random orders of frames")
    parser.add_argument("--limit", type=int, help="at most so many volumes of a set")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--window", action="store_true", help="two cases, in napari")
    parser.add_argument("--out", type=Path, help="writes STEM.json and STEM.md")
    options = parser.parse_args()
    if options.window:
        from annotator_window import work_in_window

        work_in_window(options.data, options.model, options.clicks, options.rounds, options.out)
        return
    model = EmbeddedModel(options.model, options.device)
    results: list[Result] = []
    for clip in cases.clips(options.data, options.limit):
        results.append(run(model, clip, options.clicks, options.rounds, options.orders))
        ends = {way: round(scores[-1], 3) for way, scores in results[-1].scores.items()}
        print(f"{clip.name}: {ends}", file=sys.stderr, flush=True)
    text = f"{report(results, options.rounds)}\n\n{describe_machine()}"
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
        found = {r.case: r.scores for r in results}
        options.out.with_suffix(".json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
