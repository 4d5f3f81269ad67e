"""How well one mask agrees with another: the Dice similarity coefficient and the IoU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.errors import DataError


def dsc(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, empty: float = 1.0
) -> float:
    """Dice similarity coefficient: twice the intersection over the sum of the areas.

    Parameters
    ----------
    prediction, reference : (H, W) or (Z, H, W) bool array
        A volume counts as one mask: its slices are not averaged.
    empty : float
        Value when both masks are empty. The field does not agree: 1 in U-Mamba's and BioSAM-2's
        evaluation, NaN in DeepMind's surface-distance, 0 in SurgiSAM2's.

    Returns
    -------
    float
        In [0, 1]; 0 when exactly one mask is empty.

    Raises
    ------
    DataError
        If the shapes differ or an array is not boolean.

    References
    ----------
    Dice, Ecology 26(3):297-302, 1945.
    """
    check_masks(prediction, reference)
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    if total == 0:
        return empty
    return float(2 * np.count_nonzero(prediction & reference) / total)


def iou(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, empty: float = 1.0
) -> float:
    """Intersection over union, the Jaccard index.

    Parameters
    ----------
    prediction, reference : (H, W) or (Z, H, W) bool array
        A volume counts as one mask: its slices are not averaged.
    empty : float
        Value when both masks are empty.

    Returns
    -------
    float
        In [0, 1]; 0 when exactly one mask is empty.

    Raises
    ------
    DataError
        If the shapes differ or an array is not boolean.
    """
    check_masks(prediction, reference)
    union = np.count_nonzero(prediction | reference)
    if union == 0:
        return empty
    return float(np.count_nonzero(prediction & reference) / union)


def check_masks(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> None:
    """Check that two arrays can be compared as masks.

    Raises
    ------
    DataError
        If the shapes differ or an array is not boolean.
    """
    for name, mask in (("prediction", prediction), ("reference", reference)):
        if mask.dtype != np.bool_:
            raise DataError(
                f"The {name} holds {mask.dtype} values, but a mask is boolean: compare one "
                "object at a time, as `labels == object_id`."
            )
    if prediction.shape != reference.shape:
        raise DataError(
            f"The prediction's shape {prediction.shape} is not the reference's "
            f"{reference.shape}: bring both to the image's own grid first."
        )


def union_window(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> tuple[slice, ...] | None:
    """Return the smallest window that holds both masks, None where both are empty."""
    window = []
    for axis in range(prediction.ndim):
        others = tuple(a for a in range(prediction.ndim) if a != axis)
        found = np.flatnonzero(prediction.any(axis=others) | reference.any(axis=others))
        if not found.size:
            return None
        window.append(slice(int(found[0]), int(found[-1]) + 1))
        # what is known not to matter need not be looked at again
        crop = (*(slice(None),) * axis, window[-1])
        prediction, reference = prediction[crop], reference[crop]
    return tuple(window)
