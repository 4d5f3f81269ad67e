"""How well one mask agrees with another: DSC and IoU; NSD and HD95 are those of `surfaces`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.metrics.pairs import check_masks
from napari_surgisam.metrics.surfaces import hd95, nsd

__all__ = ["dsc", "hd95", "iou", "nsd"]


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
