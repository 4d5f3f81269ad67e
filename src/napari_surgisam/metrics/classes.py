"""Measures of class maps: EndoVis' challenge IoU, mcIoU, mIoU, video consistency, WMDC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.errors import DataError

Classes = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class EndovisScores:
    """What the EndoVis challenge and its followers report.

    Parameters
    ----------
    challenge_iou : float
        Per frame the mean IoU of the classes that are truly there, then over the frames.
    mc_iou : float
        Per class the mean IoU over frames, then over the classes.
    class_ious : mapping of int to float
        The IoUs per class of which `mc_iou` is the mean; NaN where a class never occurs.
    frames : int
        How many frames count in `challenge_iou`: those with a true class.
    """

    challenge_iou: float
    mc_iou: float
    class_ious: Mapping[int, float]
    frames: int


def endovis_scores(
    prediction: Iterable[Classes], reference: Iterable[Classes], classes: Sequence[int]
) -> EndovisScores:
    """Compare class maps as the EndoVis challenge does.

    Parameters
    ----------
    prediction, reference : iterable of (H, W) integer array
        Frame by frame, 0 for the background. They may be generators.
    classes : sequence of int
        Those that count.

    Returns
    -------
    EndovisScores

    Raises
    ------
    DataError
        If shapes or numbers of frames differ, or a map does not hold whole numbers.

    References
    ----------
    Allan et al., 2017 Robotic Instrument Segmentation Challenge, arXiv:1902.06426; González
    et al., ISINet, MICCAI 2020, whose evaluation code is followed: a class counts on a frame
    where it is true or predicted; on a frame with an empty prediction each true class scores
    0, and a frame with neither counts nowhere.
    """
    per_frame: list[float] = []
    per_class: dict[int, list[float]] = {int(c): [] for c in classes}
    for ours, theirs in _paired(prediction, reference):
        ious = {}
        for c in per_class:
            predicted, true = ours == c, theirs == c
            union = np.count_nonzero(predicted | true)
            if union:
                ious[c] = np.count_nonzero(predicted & true) / union
                per_class[c].append(ious[c])
        present = [value for c, value in ious.items() if np.any(theirs == c)]
        if present:
            per_frame.append(float(np.mean(present)))
    means = {c: float(np.mean(values)) if values else nan for c, values in per_class.items()}
    known = [value for value in means.values() if not np.isnan(value)]
    return EndovisScores(
        float(np.mean(per_frame)) if per_frame else nan,
        float(np.mean(known)) if known else nan,
        means,
        len(per_frame),
    )


def class_ious(
    prediction: Iterable[Classes], reference: Iterable[Classes], classes: Sequence[int]
) -> dict[int, float]:
    """Return each class's IoU over all pixels of all frames; their mean is the mIoU.

    Parameters
    ----------
    prediction, reference : iterable of (H, W) integer array
    classes : sequence of int
        0, the background, may be among them.

    Returns
    -------
    dict of int to float
        NaN where a class is neither true nor predicted.

    Raises
    ------
    DataError
        If shapes or numbers of frames differ, or a map does not hold whole numbers.
    """
    shared, together = dict.fromkeys(classes, 0), dict.fromkeys(classes, 0)
    for ours, theirs in _paired(prediction, reference):
        for c in classes:
            predicted, true = ours == c, theirs == c
            shared[c] += int(np.count_nonzero(predicted & true))
            together[c] += int(np.count_nonzero(predicted | true))
    return {c: shared[c] / together[c] if together[c] else nan for c in classes}


def video_consistency(
    prediction: Classes, reference: Classes, *, length: int = 8, all_windows: bool = False
) -> float:
    """Video consistency VC: how far predictions stay where the truth stays the same.

    Parameters
    ----------
    prediction, reference : (T, H, W) integer array
        Class maps of consecutive frames.
    length : int
        Frames of a window: 8 for VC8, 16 for VC16.
    all_windows : bool
        VSPW's own code leaves the last window out; with True it counts.

    Returns
    -------
    float
        In [0, 1]: of the pixels whose true class does not change in a window, the share
        whose predicted class does not either, as a mean over windows. NaN where the clip is
        too short, or every pixel changes in every window.

    Raises
    ------
    DataError
        If the shapes differ, an array does not hold whole numbers, or `length` is below 2.

    References
    ----------
    Miao et al., VSPW, CVPR 2021, as computed by its ``VC_perclip.py``, which asks that the
    prediction stays the same, not that it is right, as the paper's formula does.
    """
    if prediction.shape != reference.shape or prediction.ndim != 3 or length < 2:
        raise DataError(
            f"Video consistency compares (T, H, W) clips over windows of 2 frames or more; got "
            f"the shapes {prediction.shape} and {reference.shape}, and windows of {length}."
        )
    _check_classes(prediction, "prediction")
    _check_classes(reference, "reference")
    same = [
        np.asarray(array[1:] == array[:-1], dtype=np.bool_) for array in (prediction, reference)
    ]
    shares = []
    for start in range(len(prediction) - length + all_windows):
        ours, theirs = (kept[start : start + length - 1].all(axis=0) for kept in same)
        stays = np.count_nonzero(theirs)
        if stays:
            shares.append(np.count_nonzero(ours & theirs) / stays)
    return float(np.mean(shares)) if shares else nan


@dataclass(frozen=True, slots=True)
class WeightedMeanDice:
    """Mean Dice per class, weighted by the classes' numbers of masks.

    Parameters
    ----------
    wmdc : float
        The weighted mean; NaN without any mask.
    class_means : mapping of class to float
    class_counts : mapping of class to int
        How many masks each mean is of.
    """

    wmdc: float
    class_means: Mapping[str, float]
    class_counts: Mapping[str, int]


def weighted_mean_dice(dice: Mapping[str, Sequence[float]]) -> WeightedMeanDice:
    """WMDC: mean Dice per class, weighted by its number of masks.

    Parameters
    ----------
    dice : mapping of class to sequence of float
        The Dice of every mask of each class; NaNs are left out.

    Returns
    -------
    WeightedMeanDice

    References
    ----------
    Kamtam et al., SurgiSAM2, Sci Rep 2025, arXiv:2503.03942. The paper gives no formula; with
    the weights that its name says, WMDC is the mean over all masks. Class means and counts
    are given beside it, so that any other reading can be computed.
    """
    known = {name: [v for v in values if not np.isnan(v)] for name, values in dice.items()}
    means = {name: float(np.mean(values)) for name, values in known.items() if values}
    counts = {name: len(known[name]) for name in means}
    total = sum(counts.values())
    wmdc = sum(counts[name] * mean for name, mean in means.items()) / total if total else nan
    return WeightedMeanDice(wmdc, means, counts)


def _paired(
    prediction: Iterable[Classes], reference: Iterable[Classes]
) -> Iterable[tuple[Classes, Classes]]:
    frames = iter(prediction), iter(reference)
    number = 0
    while True:
        ours, theirs = (next(frame, None) for frame in frames)
        if ours is None and theirs is None:
            return
        if ours is None or theirs is None:
            raise DataError(
                f"One of the two has only {number} frames: the prediction and the reference "
                "must have as many."
            )
        _check_classes(ours, "prediction")
        _check_classes(theirs, "reference")
        if ours.shape != theirs.shape:
            raise DataError(
                f"On frame {number} the prediction's shape {ours.shape} is not the reference's "
                f"{theirs.shape}: bring both to the image's own grid first."
            )
        yield ours, theirs
        number += 1


def _check_classes(array: Classes, name: str) -> None:
    if array.dtype.kind not in "bui":
        raise DataError(f"The {name} holds {array.dtype} values: classes are whole numbers.")
