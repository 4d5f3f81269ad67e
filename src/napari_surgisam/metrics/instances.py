"""How many objects were found: F1 of instances matched one to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array

from napari_surgisam.errors import DataError

TILED_PIXELS = 25_000_000
_TILE = 2000


@dataclass(frozen=True, slots=True)
class InstanceCounts:
    """How many instances of a picture were found, invented and missed.

    Parameters
    ----------
    true_positives, false_positives, false_negatives : int
    """

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    @property
    def f1(self) -> float:
        """F1 score in [0, 1]; NaN where there was nothing to find and nothing was found."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else float("nan")

    @property
    def precision(self) -> float:
        """Share of the predicted instances that are true, NaN without any."""
        predicted = self.true_positives + self.false_positives
        return self.true_positives / predicted if predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the true instances that were found, NaN without any."""
        true = self.true_positives + self.false_negatives
        return self.true_positives / true if true else float("nan")

    def __add__(self, other: InstanceCounts) -> InstanceCounts:
        return InstanceCounts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


def match_instances(
    prediction: NDArray[np.integer[Any]],
    reference: NDArray[np.integer[Any]],
    *,
    threshold: float = 0.5,
    border: int = 2,
    tiled: bool | None = None,
) -> InstanceCounts:
    """Match predicted with true instances one to one, as the NeurIPS cell challenge does.

    The matching has as many pairs of an IoU of at least `threshold` as possible, and of these
    matchings the largest sum of IoUs.

    Parameters
    ----------
    prediction, reference : (H, W) integer array
        A label per instance, 0 for the background.
    threshold : float
        Least IoU of a match.
    border : int
        Instances with a pixel within so many pixels of the picture's edge do not count, in
        both arrays.
    tiled : bool, optional
        Whether to match within tiles of 2,000 x 2,000 pixels; by default in pictures of 25
        million pixels or more. Instances at the edge of a tile do not count then either, and
        a tile without any prediction counts nothing missed: both are the challenge's rules.

    Returns
    -------
    InstanceCounts

    Raises
    ------
    DataError
        If the shapes differ, or an array does not hold (H, W) whole numbers.

    References
    ----------
    Ma et al., The multimodality cell segmentation challenge, Nature Methods 2024:
    ``compute_metric.py``. Differs from ``stardist.matching.matching`` only in that the latter
    keeps instances at the border (`border=0` here), and in a picture without predictions,
    where all instances are missed; so they are here, while the challenge counts none, which
    changes no F1 of a picture, but a sum over pictures.
    """
    for name, labels in (("prediction", prediction), ("reference", reference)):
        if labels.dtype.kind not in "bui" or labels.ndim != 2:
            raise DataError(
                f"The {name} is {labels.dtype} of the shape {labels.shape}: instances are "
                "labelled by whole numbers in an (H, W) array."
            )
    if prediction.shape != reference.shape:
        raise DataError(
            f"The prediction's shape {prediction.shape} is not the reference's "
            f"{reference.shape}: bring both to the image's own grid first."
        )
    if tiled is None:
        tiled = prediction.size >= TILED_PIXELS
    if not tiled:
        return _match(
            _without_border(prediction, border), _without_border(reference, border), threshold
        )
    counts = InstanceCounts()
    for y in range(0, prediction.shape[0], _TILE):
        for x in range(0, prediction.shape[1], _TILE):
            ours, theirs = (
                _without_border(_tile(labels, y, x), border) for labels in (prediction, reference)
            )
            if ours.any():
                counts += _match(ours, theirs, threshold)
    return counts


def instance_f1(
    prediction: NDArray[np.integer[Any]],
    reference: NDArray[np.integer[Any]],
    *,
    threshold: float = 0.5,
    border: int = 2,
) -> float:
    """F1 score of the instances of a picture: see `match_instances`.

    Returns
    -------
    float
        In [0, 1]; NaN where neither array has an instance that counts (the challenge: 0).
    """
    return match_instances(prediction, reference, threshold=threshold, border=border).f1


def _match(
    prediction: NDArray[np.integer[Any]], reference: NDArray[np.integer[Any]], threshold: float
) -> InstanceCounts:
    ious = _iou_table(prediction, reference)
    found = 0
    if ious.size:
        enough = ious >= threshold
        costs = -enough.astype(float) - ious / (2 * min(ious.shape))
        rows, columns = linear_sum_assignment(costs)
        found = int(np.count_nonzero(enough[rows, columns]))
    return InstanceCounts(found, ious.shape[0] - found, ious.shape[1] - found)


def _iou_table(
    prediction: NDArray[np.integer[Any]], reference: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return the (predicted, true) IoUs of all pairs of instances."""
    ours, ours_index = np.unique(prediction, return_inverse=True)
    theirs, theirs_index = np.unique(reference, return_inverse=True)
    ones = np.ones(prediction.size, np.int64)
    at = (ours_index.ravel(), theirs_index.ravel())
    overlap = coo_array((ones, at), shape=(len(ours), len(theirs))).toarray()
    union = overlap.sum(axis=1)[:, None] + overlap.sum(axis=0) - overlap
    ious: NDArray[np.float64] = overlap / union
    return ious[np.ix_(ours != 0, theirs != 0)]


def _without_border(labels: NDArray[np.integer[Any]], border: int) -> NDArray[np.integer[Any]]:
    if border <= 0:
        return labels
    rim = np.concatenate(
        [
            labels[:border].ravel(),
            labels[-border:].ravel(),
            labels[:, :border].ravel(),
            labels[:, -border:].ravel(),
        ]
    )
    return np.where(np.isin(labels, np.unique(rim)), 0, labels)


def _tile(labels: NDArray[np.integer[Any]], y: int, x: int) -> NDArray[np.integer[Any]]:
    """Cut a tile; the last ones of a row or column are filled up with background."""
    part = labels[y : y + _TILE, x : x + _TILE]
    missing = [(0, _TILE - n) for n in part.shape]
    return np.pad(part, missing)
