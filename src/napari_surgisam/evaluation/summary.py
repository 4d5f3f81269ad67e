"""What all cases say together: means with bootstrap intervals, classes, comparisons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite, nan
from typing import Any

import numpy as np

from napari_surgisam.evaluation.rows import FrameRow, ScoreRow
from napari_surgisam.metrics.classes import weighted_mean_dice

RESAMPLES = 10_000
LEVEL = 0.95
_DRAWS_AT_ONCE = 1_000_000  # a few megabytes, however many cases there are
NO_QUALITY = (
    "frames",
    "prompted_frames",
    "predicted_area",
    "true_area",
    "predicted_volume",
    "true_volume",
    "true_positives",
    "false_positives",
    "false_negatives",
)
"""Columns of the tables that are counts, not figures of merit."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the interval that resampling the cases gives.

    Parameters
    ----------
    mean : float
        Over all rows of all cases, without NaN and infinite values.
    low, high : float
        The central 95 % of the means of resampled cases; NaN with fewer than two cases.
    count, cases : int
        Rows that the mean is of, and the cases that they belong to.
    infinite : int
        Rows left out because their value is infinite, such as HD95 of a missed object.
    """

    mean: float
    low: float
    high: float
    count: int
    cases: int
    infinite: int = 0


def estimate(values: Iterable[tuple[str, float]], *, seed: int = 0) -> Estimate:
    """Return the mean of values and its bootstrap interval.

    Objects of one case resemble each other, so whole cases are resampled.

    Parameters
    ----------
    values : iterable of (case, value)
    seed : int
    """
    sums: dict[str, tuple[float, int]] = {}
    infinite = 0
    for case, value in values:
        if isfinite(value):
            total, count = sums.get(case, (0.0, 0))
            sums[case] = (total + value, count + 1)
        elif not np.isnan(value):
            infinite += 1
    if not sums:
        return Estimate(nan, nan, nan, 0, 0, infinite)
    totals, counts = (np.array(column, float) for column in zip(*sums.values(), strict=True))
    mean, low, high = float(totals.sum() / counts.sum()), nan, nan
    if len(sums) > 1:
        rng = np.random.default_rng(seed)
        means = np.zeros(RESAMPLES)
        at_once = max(1, _DRAWS_AT_ONCE // len(sums))
        for start in range(0, RESAMPLES, at_once):
            part = means[start : start + at_once]
            chosen = rng.integers(0, len(sums), (len(part), len(sums)))
            part[:] = totals[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
        low, high = (float(q) for q in np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return Estimate(mean, low, high, int(counts.sum()), len(sums), infinite)


def summarise(rows: Sequence[ScoreRow], *, seed: int = 0) -> dict[str, Estimate]:
    """Return an estimate for each figure of merit, in the order in which they occur."""
    return {
        name: estimate(
            ((row.case, row.figures[name]) for row in rows if name in row.figures), seed=seed
        )
        for name in figure_names(rows)
    }


def figure_names(rows: Iterable[ScoreRow | FrameRow]) -> list[str]:
    """Return the figures of merit that some rows have."""
    names = dict.fromkeys(name for row in rows for name in row.figures)
    return [name for name in names if name not in NO_QUALITY]


def summarise_classes(
    rows: Sequence[ScoreRow], frames: Sequence[FrameRow], *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return the figures of each class: objects, masks, mean Dice of these masks, estimates."""
    by_class: dict[str, list[ScoreRow]] = {}
    for row in rows:
        if row.class_name:
            by_class.setdefault(row.class_name, []).append(row)
    weighted = weighted_mean_dice(dice_of_masks(frames))
    return {
        name: {
            "objects": sum(1 for row in own if row.object_id),
            "masks": weighted.class_counts.get(name, 0),
            "mask_dsc": weighted.class_means.get(name, nan),
            "figures": summarise(own, seed=seed),
        }
        for name, own in by_class.items()
    }


def dice_of_masks(frames: Iterable[FrameRow]) -> dict[str, list[float]]:
    """Return the Dice of every mask that is truly there, by class: what WMDC is made of."""
    dice: dict[str, list[float]] = {}
    for row in frames:
        if row.figures.get("true_area", 0) > 0:
            dice.setdefault(row.class_name, []).append(row.figures["dsc"])
    return dice


@dataclass(frozen=True, slots=True)
class Difference:
    """How one evaluation differs from another in a figure, pair by pair.

    Parameters
    ----------
    difference : Estimate
        Of the other one minus the first, over the rows that both have.
    """

    figure: str
    difference: Estimate

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.difference.low > 0 or self.difference.high < 0


def compare(
    first: Sequence[ScoreRow], other: Sequence[ScoreRow], *, seed: int = 0
) -> list[Difference]:
    """Compare two evaluations of the same cases, figure by figure.

    Rows are paired by case, object and class; what only one has is left out.
    """
    pairs = _paired(first, other)
    result = []
    for name in figure_names(row for pair in pairs for row in pair):
        values = [
            (ours.case, theirs.figures[name] - ours.figures[name])
            for ours, theirs in pairs
            if name in ours.figures and name in theirs.figures
        ]
        if values:
            result.append(Difference(name, estimate(values, seed=seed)))
    return result


def _paired(
    first: Sequence[ScoreRow], other: Sequence[ScoreRow]
) -> list[tuple[ScoreRow, ScoreRow]]:
    known = {(row.case, row.object_id, row.class_name): row for row in other}
    keys = [(row, (row.case, row.object_id, row.class_name)) for row in first]
    return [(row, known[key]) for row, key in keys if key in known]


def plain(value: Any) -> Any:
    """Return a value as JSON takes it: NaN and infinity, which JSON lacks, become null."""
    if isinstance(value, Estimate):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value
