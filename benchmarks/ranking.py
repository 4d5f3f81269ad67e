"""How well scores of doubt rank frames by true IoU: the numbers behind the default.

Run from the repository's root::

    python benchmarks/ranking.py --data DIR [--model NAME|FILE] [--clicks 3] [--limit N]

`DIR` holds one folder per case, named as in `cases.py`. Each movie and volume is propagated from
positive points spread over the true mask of one frame, as in `quality.py`. What is compared is
Spearman's rank correlation of a score with the IoU of mask and truth over the tracked frames
of a case on which mask or truth is not empty. Sets of volumes count as one case, by their mean.

The scores are those of `napari_surgisam.data.confidence`, which need nothing but what is kept of
every frame anyway, and three that would need more: how alike the network's candidates are, how
stable the mask is against its threshold, and how it overlaps those of the frames beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cases
import numpy as np
from models import OBJECT, EmbeddedModel
from numpy.typing import NDArray
from scipy.stats import spearmanr

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.data.clicks import spread_clicks
from napari_surgisam.data.confidence import CONFIDENCES, DEFAULT
from napari_surgisam.data.curves import read_curves
from napari_surgisam.data.doubtful_places import LEAST
from napari_surgisam.engine.network import Prediction
from napari_surgisam.metrics.masks import iou

Figures = NDArray[np.floating]
BAD = 0.5
"""True IoU under which a mask is bad."""


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """One case: true IoU of its tracked frames, and their scores by name."""

    row: str
    true_iou: Figures
    scores: dict[str, Figures]

    def correlation(self, name: str) -> float:
        """Return Spearman's correlation; 0 where a score says nothing."""
        scores = self.scores[name]
        if np.ptp(scores) == 0 or np.ptp(self.true_iou) == 0:
            return 0.0
        return float(spearmanr(scores, self.true_iou).statistic)


def rank(model: EmbeddedModel, clip: cases.Clip, clicks: int) -> Ranking:
    """Propagate a case and score its tracked frames."""
    session = model.session(clip.frames)
    points = spread_clicks(clip.truth[clip.prompted], clicks)
    agreement, stability = np.ones((2, len(clip.frames)))
    for event in model.propagate(session, clip.prompted, points):
        prediction = event.predictions[OBJECT]
        agreement[event.frame] = candidates_agree(prediction)
        stability[event.frame] = stable(prediction)
    masks = model.masks(session)
    curve = read_curves(session.annotation, len(clip.frames), clip.frames.shape)[OBJECT]
    some = masks.any((1, 2)) | clip.truth.any((1, 2))
    frames = np.flatnonzero(curve.open & some)
    scores = {name: score(curve) for name, score in CONFIDENCES.items()}
    scores["(agreement of candidates)"] = agreement
    scores["(stability of the mask)"] = stability
    scores["(overlap with neighbours)"] = overlaps(masks)
    return Ranking(
        clip.row,
        np.array([iou(masks[f], clip.truth[f]) for f in frames]),
        {name: score[frames] for name, score in scores.items()},
    )


def candidates_agree(prediction: Prediction) -> float:
    """Return the mean IoU of the chosen candidate with the others; 1 where there is one."""
    masks = (prediction.logits > 0).cpu().numpy()
    others = [m for k, m in enumerate(masks) if k != prediction.choice]
    return float(np.mean([_overlap(masks[prediction.choice], m) for m in others] or [1.0]))


def stable(prediction: Prediction) -> float:
    """Return the IoU of the masks at logits of 1 and -1, as SAM filters its masks."""
    logits = prediction.logits[prediction.choice]
    return float((logits > 1).sum() / max(int((logits > -1).sum()), 1))


def overlaps(masks: cases.Mask) -> Figures:
    """Return the IoU of each mask with that of the neighbour that it overlaps less."""
    beside = [_overlap(a, b) for a, b in zip(masks[1:], masks[:-1], strict=True)]
    return np.minimum([1.0, *beside], [*beside, 1.0])


def _overlap(one: cases.Mask, other: cases.Mask) -> float:
    return iou(one, other) if one.any() or other.any() else 1.0


def run(model: EmbeddedModel, data: Path, clicks: int, limit: int | None) -> Iterator[Ranking]:
    """Rank the frames of every case."""
    for clip in cases.clips(data, limit):
        ranking = rank(model, clip, clicks)
        print(f"{clip.name}: {len(ranking.true_iou)} frames", file=sys.stderr, flush=True)
        yield ranking


def table(rankings: list[Ranking]) -> str:
    """Return the correlations by case as Markdown, the best score first."""
    rows = list(dict.fromkeys(r.row for r in rankings))
    found = {
        name: [np.mean([r.correlation(name) for r in rankings if r.row == row]) for row in rows]
        for name in rankings[0].scores
    }
    lines = [
        f"| score | {' | '.join(rows)} | mean | worst |",
        f"|---|{'---|' * (len(rows) + 2)}",
    ]
    for name in sorted(found, key=lambda name: -np.mean(found[name])):
        values = [*found[name], np.mean(found[name]), min(found[name])]
        shown = f"**{name}**" if CONFIDENCES.get(name) is DEFAULT else name
        lines.append(f"| {shown} | {' | '.join(f'{v:.2f}' for v in values)} |")
    return "\n".join(lines)


def threshold(rankings: list[Ranking]) -> str:
    """Say what the default's threshold finds."""
    name = next(name for name, score in CONFIDENCES.items() if score is DEFAULT)
    bad = np.concatenate([r.true_iou for r in rankings]) < BAD
    doubtful = np.concatenate([r.scores[name] for r in rankings]) < LEAST
    right, there = np.count_nonzero(bad & doubtful), np.count_nonzero(doubtful)
    return (
        f"Of {len(bad)} frames, {np.count_nonzero(bad)} have an IoU under {BAD}. {name} is under "
        f"{LEAST} on {there} frames: {right / max(there, 1):.0%} of these are bad ones, and "
        f"{right / max(np.count_nonzero(bad), 1):.0%} of the bad ones are among them."
    )


def main() -> None:
    """Parse the command line, rank, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--model", default="embedded", help="name or file")
    parser.add_argument("--clicks", type=int, default=3)
    parser.add_argument("--limit", type=int, help="at most so many volumes of a set")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    model = EmbeddedModel(options.model, options.device)
    rankings = list(run(model, options.data, options.clicks, options.limit))
    print(f"{table(rankings)}\n\n{threshold(rankings)}\n\n{describe_machine()}")


if __name__ == "__main__":
    main()
