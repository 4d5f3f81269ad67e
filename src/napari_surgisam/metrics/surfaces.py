"""How far the surfaces of two masks lie apart: NSD and HD95.

What costs time, the distances between the surfaces, is computed once per pair of masks and
reduced in several ways. The surfaces and the areas of their elements are those of DeepMind's
surface-distance, whose tables are used; its own functions stop with an error on NumPy 2 where
a mask is empty, and sort in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import inf, isfinite, nan

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import KDTree

from napari_surgisam.errors import DataError
from napari_surgisam.metrics.pairs import check_masks, union_window

_SMALL = 100_000  # voxels; below, a distance map is as fast

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDistances:
    """Distances between the surfaces of two masks, and how much of a surface lies there.

    Parameters
    ----------
    from_prediction, from_reference : (N,) float array
        Distance of each element of the one surface to the nearest of the other, in mm or
        whatever the spacing was in; infinite where the other mask is empty.
    prediction_areas, reference_areas : (N,) float array
        Area (in 2D: length) of these elements, in the same order.
    """

    from_prediction: Floats
    from_reference: Floats
    prediction_areas: Floats
    reference_areas: Floats

    def nsd(self, tolerance: float, *, empty: float = nan) -> float:
        """Return the share of both surfaces that lies within a tolerance; see `nsd`."""
        total = self.prediction_areas.sum() + self.reference_areas.sum()
        if total == 0:
            return empty
        near = self.prediction_areas[self.from_prediction <= tolerance].sum()
        near += self.reference_areas[self.from_reference <= tolerance].sum()
        return float(near / total)

    def hausdorff(self, percent: float = 95.0, *, empty: float = nan) -> float:
        """Return the larger of both directions' percentile of the distances; see `hd95`."""
        if not self.prediction_areas.size and not self.reference_areas.size:
            return empty
        return max(
            _percentile(self.from_prediction, self.prediction_areas, percent),
            _percentile(self.from_reference, self.reference_areas, percent),
        )


def surface_distances(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], *, spacing: Sequence[float] | None
) -> SurfaceDistances:
    """Measure how far two masks' surfaces lie apart.

    Parameters
    ----------
    prediction, reference : (H, W) or (Z, H, W) bool array
    spacing : sequence of float
        Edge lengths of a pixel or voxel in mm, one per axis; all 1 measures in pixels.

    Returns
    -------
    SurfaceDistances

    Raises
    ------
    DataError
        If the shapes differ, an array is not boolean, or the spacing is missing or does not
        fit.
    """
    check_masks(prediction, reference)
    steps = _checked_spacing(spacing, prediction.ndim)
    window = union_window(prediction, reference)
    if window is None:
        nothing = np.zeros(0)
        return SurfaceDistances(nothing, nothing, nothing, nothing)
    codes = [_neighbour_codes(mask[window]) for mask in (prediction, reference)]
    inside = 2 ** (2**prediction.ndim) - 1
    ours, theirs = ((code != 0) & (code != inside) for code in codes)
    areas = _areas(steps)
    return SurfaceDistances(
        _distances(ours, theirs, steps),
        _distances(theirs, ours, steps),
        areas[codes[0][ours]],
        areas[codes[1][theirs]],
    )


def nsd(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    spacing: Sequence[float] | None,
    tolerance: float,
    empty: float = nan,
) -> float:
    """Normalised surface Dice: the share of both surfaces lying within a tolerance.

    Parameters
    ----------
    prediction, reference : (H, W) or (Z, H, W) bool array
    spacing : sequence of float
        Edge lengths of a pixel or voxel in mm, one per axis. All 1 makes the tolerance one in
        pixels, as U-Mamba does with endoscopy (tolerance 2).
    tolerance : float
        Largest distance still counted as agreement, in mm.
    empty : float
        Value when both masks are empty; NaN in surface-distance.

    Returns
    -------
    float
        In [0, 1]; 0 when exactly one mask is empty.

    Raises
    ------
    DataError
        If the shapes differ, an array is not boolean, the spacing is missing or does not fit,
        or the tolerance is negative.

    References
    ----------
    Nikolov et al., J Med Internet Res 23(7):e26151, 2021. Equal to
    ``compute_surface_dice_at_tolerance`` of surface-distance.
    """
    if not tolerance >= 0:
        raise DataError(f"NSD's tolerance is {tolerance}: it is a distance of 0 or more.")
    return surface_distances(prediction, reference, spacing=spacing).nsd(tolerance, empty=empty)


def hd95(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    spacing: Sequence[float] | None,
    percent: float = 95.0,
    empty: float = nan,
) -> float:
    """Hausdorff distance without the outermost 5 % of either surface.

    Parameters
    ----------
    prediction, reference : (H, W) or (Z, H, W) bool array
    spacing : sequence of float
        Edge lengths of a pixel or voxel in mm, one per axis; all 1 measures in pixels.
    percent : float
        Share of each surface that counts; 100 is the Hausdorff distance itself.
    empty : float
        Value when both masks are empty.

    Returns
    -------
    float
        In mm; infinite when exactly one mask is empty.

    Raises
    ------
    DataError
        As `surface_distances`.

    References
    ----------
    Equal to ``compute_robust_hausdorff`` of surface-distance: percentiles are weighted by
    area and taken in both directions. MedPy and MONAI pool or count surface voxels instead,
    so their values differ.
    """
    return surface_distances(prediction, reference, spacing=spacing).hausdorff(percent, empty=empty)


def _distances(
    here: NDArray[np.bool_], other: NDArray[np.bool_], spacing: tuple[float, ...]
) -> Floats:
    """Return the distance of each element of a surface to the nearest of the other."""
    if not other.any():
        return np.full(np.count_nonzero(here), inf)
    if here.size < _SMALL:
        return np.asarray(ndi.distance_transform_edt(~other, sampling=spacing)[here])
    # A distance map of a large volume costs ten times what its surfaces do.
    distances = np.zeros(np.count_nonzero(here))
    apart = here & ~other
    asked, known = np.argwhere(apart), np.argwhere(other)
    tree = KDTree(known * spacing, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(asked * spacing)
    # from whole steps, as the distance map computes them: equal to the last bit
    steps = (asked - known[nearest]) * spacing
    distances[apart[here]] = np.sqrt((steps * steps).sum(axis=1))
    return distances


def _percentile(distances: Floats, areas: Floats, percent: float) -> float:
    if not distances.size:
        return inf
    order = np.lexsort((areas, distances))
    # summed over the sorted elements, as the reference does: rounding may choose a neighbour
    sorted_areas = areas[order]
    reached = np.cumsum(sorted_areas) / sorted_areas.sum()
    index = min(int(np.searchsorted(reached, percent / 100)), distances.size - 1)
    return float(distances[order[index]])


def _neighbour_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Say for each corner of the voxels which of the 4 or 8 around it belong to the mask.

    Returns
    -------
    uint8 array, longer by 1 along each axis
        The first of the voxels around a corner is the highest bit.
    """
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    bits = mask.view(np.uint8)
    corners = list(product((0, 1), repeat=mask.ndim))
    for bit, corner in enumerate(reversed(corners)):
        place = tuple(slice(1 - c, 1 - c + n) for c, n in zip(corner, mask.shape, strict=True))
        codes[place] |= bits << bit
    return codes


@lru_cache(maxsize=64)
def _areas(spacing: tuple[float, ...]) -> Floats:
    """Return the area of the surface element of each neighbour code."""
    from surface_distance import lookup_tables

    table = (
        lookup_tables.create_table_neighbour_code_to_contour_length
        if len(spacing) == 2
        else lookup_tables.create_table_neighbour_code_to_surface_area
    )
    return np.asarray(table(list(spacing)), dtype=np.float64)


def _checked_spacing(spacing: Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    if ndim not in (2, 3):
        raise DataError(f"Surfaces are measured of 2D and 3D masks, not of {ndim}D ones.")
    if spacing is None:
        raise DataError(
            "Distances in mm need the size of a voxel, which is not known here: give the "
            f"spacing, or {(1,) * ndim} to measure in pixels."
        )
    steps = tuple(float(step) for step in spacing)
    if len(steps) != ndim or not all(isfinite(step) and step > 0 for step in steps):
        raise DataError(
            f"The spacing {steps} does not fit masks with {ndim} axes: give {ndim} positive "
            "lengths in mm, one per axis."
        )
    return steps
