"""Points from what a person draws: along a line, inside an area, on the skeleton of a region."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from skimage.draw import polygon2mask
from skimage.morphology import skeletonize

Places = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST = 8
"""Points that one stroke becomes at most: SAM 2 learned from no more on one frame."""

STEPS = 16
"""Points of a stroke lie this part of the frame's shorter side apart, or farther."""

_AROUND = np.ones((3, 3), bool)


def usual_spacing(shape: tuple[int, int]) -> float:
    """Return the distance in pixels at which points of a stroke on (H, W) frames lie."""
    return max(min(shape) / STEPS, 2.0)


def points_along(
    path: Places, shape: tuple[int, int], *, spacing: float | None = None, most: int = MOST
) -> Places:
    """Spread points evenly along a path, both ends included; parts outside the frame are cut.

    Parameters
    ----------
    path : (N, 2) array
        Vertices (y, x) in frame pixels, in their order.
    shape : tuple of int
        Height and width of the frame, in pixels.
    spacing : float, optional
        Distance of neighbouring points along the path, in pixels, where `most` allows it.
    most : int

    Returns
    -------
    (M, 2) array
        One point, in the middle, where the path is shorter than `spacing`; none where it lies
        outside. Points that would fall together with another count once.
    """
    spacing = spacing or usual_spacing(shape)
    dense = _densely(np.asarray(path, float))
    here = (dense >= -0.5).all(1) & (dense <= np.array(shape) - 0.5).all(1)
    inside = dense[here]
    if not len(inside):
        return np.zeros((0, 2))
    # a step over a part that was cut has no length
    steps = np.linalg.norm(np.diff(inside, axis=0), axis=1)
    steps[np.diff(np.flatnonzero(here)) > 1] = 0
    gone = np.concatenate([[0.0], np.cumsum(steps)])
    count = min(round(gone[-1] / spacing) + 1, most)
    if count < 2 or gone[-1] < spacing:
        wanted = np.array([gone[-1] / 2])
    else:
        wanted = np.linspace(0, gone[-1], count)
    rows = np.clip(np.searchsorted(gone, wanted - 1e-9), 0, len(inside) - 1)
    return np.asarray(inside[np.unique(rows)])


def points_inside(mask: Mask, *, spacing: float | None = None, most: int = MOST) -> Places:
    """Spread points over a region, the first where it is widest.

    Parameters
    ----------
    mask : (H, W) bool array
    spacing : float, optional
        Least distance between points, in pixels.
    most : int

    Returns
    -------
    (M, 2) array
        Pixels (y, x) of the region, well inside it; none where it is empty.
    """
    spacing = spacing or usual_spacing(mask.shape)
    pixels, depth = _pixels_with_depth(mask)
    if not len(pixels):
        return np.zeros((0, 2))
    chosen = [int(np.argmax(depth))]
    apart = np.linalg.norm(pixels - pixels[chosen[0]], axis=1)
    while len(chosen) < most:
        # far from the others and from the outline: a point on the edge may mean the background
        worth = np.where(apart >= spacing, np.minimum(apart, 4 * depth), 0)
        best = int(np.argmax(worth))
        if worth[best] <= 0:
            break
        chosen.append(best)
        apart = np.minimum(apart, np.linalg.norm(pixels - pixels[best], axis=1))
    return pixels[chosen]


def skeleton_points(mask: Mask, *, spacing: float | None = None, most: int = MOST) -> Places:
    """Spread points along the skeleton of a region: its ends and branchings, then between them.

    Each next point is the one that lies farthest from the others along the skeleton; of several
    pieces each has its points.

    Parameters
    ----------
    mask : (H, W) bool array
        A vessel, a wire, a needle.
    spacing : float, optional
        Least distance of points between ends and branchings, along the skeleton, in pixels.
    most : int

    Returns
    -------
    (M, 2) array
        Pixels (y, x) of the region; none where it is empty.

    References
    ----------
    VesSAM, arXiv:2511.00981: skeletons, bifurcations and midpoints as prompts for vessels.
    """
    spacing = spacing or usual_spacing(mask.shape)
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box:
        return np.zeros((0, 2))
    skeleton = np.pad(skeletonize(np.pad(mask[box[0]], 1)), 1)
    pixels = np.argwhere(skeleton)
    graph, marks = _graph(skeleton, pixels), _landmarks(skeleton, pixels)
    chosen: list[int] = []
    for candidates, least in ((marks, 0.0), (np.arange(len(pixels)), spacing)):
        while len(chosen) < most and len(candidates):
            apart = np.full(len(pixels), np.inf)
            if chosen:
                apart = dijkstra(graph, directed=False, indices=chosen, min_only=True)
            best = int(candidates[np.argmax(apart[candidates])])
            if apart[best] <= least:
                break
            chosen.append(best)
    corner = np.array([part.start for part in box[0]]) - 2
    return np.asarray(pixels[chosen] + corner, float)


def filled(outline: Places, shape: tuple[int, int]) -> Mask:
    """Return the (H, W) pixels inside a closed outline of (N, 2) vertices (y, x)."""
    return np.asarray(polygon2mask(shape, np.asarray(outline, float)), np.bool_)


def ellipse_outline(corners: Places, count: int = 64) -> Places:
    """Return the outline of the ellipse that touches the sides of a (4, 2) rectangle."""
    corners = np.asarray(corners, float)
    centre = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[2] - corners[1]) / 2
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(angles) * one + np.sin(angles) * other, float)


def _densely(path: Places, step: float = 0.25) -> Places:
    """Return points on a path, at most `step` apart."""
    pieces: list[Places] = [path[:1]]
    for start, end in pairwise(path):
        count = max(int(np.ceil(np.linalg.norm(end - start) / step)), 1)
        pieces.append(start + (end - start) * (np.arange(1, count + 1) / count)[:, None])
    return np.concatenate(pieces)


def _pixels_with_depth(mask: Mask) -> tuple[Places, Places]:
    """Return the pixels of a region, and how far each lies from what is outside."""
    box = ndimage.find_objects(mask.astype(np.uint8))
    if not box:
        return np.zeros((0, 2)), np.zeros(0)
    part = np.pad(mask[box[0]], 1)
    depth = ndimage.distance_transform_edt(part)
    corner = np.array([side.start for side in box[0]]) - 1
    return (np.argwhere(part) + corner).astype(float), depth[part]


def _landmarks(skeleton: Mask, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of the pixels that are ends, and of one for each branching."""
    neighbours = ndimage.convolve(skeleton.astype(np.uint8), _AROUND.astype(np.uint8)) - 1
    numbers = np.full(skeleton.shape, -1, np.int64)
    numbers[skeleton] = np.arange(len(pixels))
    found = numbers[skeleton & (neighbours <= 1)].tolist()
    crossings, count = ndimage.label(skeleton & (neighbours >= 3), _AROUND)
    for number in range(1, count + 1):
        cluster = np.argwhere(crossings == number)
        middle = cluster[np.argmin(np.linalg.norm(cluster - cluster.mean(axis=0), axis=1))]
        found.append(int(numbers[tuple(middle)]))
    return np.array(found, np.int64)


def _graph(skeleton: Mask, pixels: NDArray[np.int64]) -> coo_array:
    """Return the lengths between pixels of a skeleton that touch."""
    numbers = np.full(skeleton.shape, -1, np.int64)
    numbers[skeleton] = np.arange(len(pixels))
    starts: list[NDArray[np.int64]] = []
    ends: list[NDArray[np.int64]] = []
    lengths: list[NDArray[np.float64]] = []
    for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        there = numbers[tuple((pixels + step).T)]  # the frame of a pixel is padded
        touching = np.flatnonzero(there >= 0)
        starts.append(touching)
        ends.append(there[touching])
        lengths.append(np.full(len(touching), np.hypot(*step)))
    where = (np.concatenate(starts), np.concatenate(ends))
    return coo_array((np.concatenate(lengths), where), (len(pixels),) * 2).tocsr()
