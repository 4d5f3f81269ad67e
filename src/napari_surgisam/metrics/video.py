"""DAVIS' measures of video object segmentation: J, F and their mean, J&F."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_surgisam.errors import DataError
from napari_surgisam.metrics.masks import iou
from napari_surgisam.metrics.pairs import check_masks, union_window


def region_similarity(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, empty: float = 1.0
) -> float:
    """Region similarity J: the IoU of one object's masks, averaged over the frames.

    Parameters
    ----------
    prediction, reference : (H, W) or (T, H, W) bool array
        One object, on one frame or through a clip.
    empty : float
        Value of a frame on which both masks are empty; DAVIS takes 1.

    Returns
    -------
    float
        In [0, 1]; a frame on which exactly one mask is empty counts 0.

    Raises
    ------
    DataError
        If the shapes differ, an array is not boolean, or there is no frame.

    References
    ----------
    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object
    Segmentation, CVPR 2016.
    """
    frames = _paired_frames(prediction, reference)
    return float(np.mean([iou(p, r, empty=empty) for p, r in frames]))


def contour_accuracy(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    tolerance: float = 0.008,
    empty: float = 1.0,
) -> float:
    """Contour accuracy F: how well one object's outlines match, averaged over the frames.

    F is the harmonic mean of precision and recall: the shares of the predicted and of the
    true outline that lie within the tolerance of the other one.

    Parameters
    ----------
    prediction, reference : (H, W) or (T, H, W) bool array
        One object, on one frame or through a clip.
    tolerance : float
        Largest distance that still matches: below 1 as a share of the frame's diagonal,
        rounded up to whole pixels; else in pixels.
    empty : float
        Value of a frame on which neither mask has an outline; DAVIS takes 1.

    Returns
    -------
    float
        In [0, 1]; a frame on which exactly one mask has an outline counts 0. A mask that
        fills the whole frame has none.

    Raises
    ------
    DataError
        If the shapes differ, an array is not boolean, or there is no frame.

    References
    ----------
    Perazzi et al., CVPR 2016; Martin et al., IEEE TPAMI 26(5):530-549, 2004. Equal to
    ``db_eval_boundary`` of davis2017-evaluation.
    """
    frames = _paired_frames(prediction, reference)
    height, width = frames[0][0].shape
    radius = tolerance if tolerance >= 1 else float(np.ceil(tolerance * np.hypot(height, width)))
    return float(np.mean([_frame_contour_accuracy(p, r, radius, empty) for p, r in frames]))


def j_and_f(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, skip_ends: bool = True
) -> float:
    """J&F: the mean of region similarity and contour accuracy of one object in a clip.

    DAVIS averages over the frames of an object, then over all objects of all clips.

    Parameters
    ----------
    prediction, reference : (T, H, W) bool array
    skip_ends : bool
        Leave out the first frame, which is prompted, and the last, as DAVIS does.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    DataError
        If the shapes differ, an array is not boolean, or no frame is left.

    References
    ----------
    Pont-Tuset et al., The 2017 DAVIS Challenge on Video Object Segmentation,
    arXiv:1704.00675.
    """
    if skip_ends:
        if prediction.ndim != 3 or len(prediction) < 3:
            raise DataError(
                "J&F leaves out the first and the last frame, so a (T, H, W) clip needs at least "
                f"3 frames; got the shape {prediction.shape}. Pass skip_ends=False to keep them."
            )
        prediction, reference = prediction[1:-1], reference[1:-1]
    region = region_similarity(prediction, reference)
    return (region + contour_accuracy(prediction, reference)) / 2


def _paired_frames(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    check_masks(prediction, reference)
    if prediction.ndim not in (2, 3) or prediction.size == 0:
        raise DataError(
            f"Masks of one object are (H, W) or (T, H, W) and not empty; got the shape "
            f"{prediction.shape}."
        )
    if prediction.ndim == 2:
        return [(prediction, reference)]
    return list(zip(prediction, reference, strict=True))


def _frame_contour_accuracy(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], radius: float, empty: float
) -> float:
    predicted, true = _outline(prediction), _outline(reference)
    if not predicted.any() and not true.any():
        return empty
    if not predicted.any() or not true.any():
        return 0.0
    window = union_window(predicted, true)
    if window is not None:  # beyond it there is nothing to be near to
        predicted, true = predicted[window], true[window]
    precision = np.mean(ndi.distance_transform_edt(~true)[predicted] <= radius)
    recall = np.mean(ndi.distance_transform_edt(~predicted)[true] <= radius)
    if precision + recall == 0:
        return 0.0
    return float(2 * precision * recall / (precision + recall))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels that differ from their right, lower or lower right neighbour.

    The frame's edge repeats, so an object's cut at the edge is no outline.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    outline = (mask != right) | (mask != below) | (mask != diagonal)
    return np.asarray(outline, dtype=np.bool_)
