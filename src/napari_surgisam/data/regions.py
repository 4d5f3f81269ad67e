"""Parts of a frame that a network sees in its place, and how they follow an object.

A frame's own rectangle is never written down: where a region is asked for, None stands for the
whole frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import Box, Point
from napari_surgisam.errors import DataError

ROOM = 2.0
"""Side of a region over the longer side of the object in it, where that is known."""

_CLICK_ROOM = 2.5  # the same over the spread of clicks, which do not reach an object's outline
_SMALLEST, _LARGEST = 0.15, 0.7  # an object's side over its region's: beyond, the scale changes
_SUITABLE = (0.25, 0.8)  # the same where a click corrects a mask: no memories need compare
_CLOSER = 0.5  # a region's side over the frame's, at most, for a second look at the object in it
_MARGIN = 0.1  # of the region's side: an object that comes nearer to the border moves it
_GROWTH, _SHRINKAGE, _SEARCH = 1.15, 0.85, 1.3  # per frame; the last, where nothing is found


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of whole frame pixels, inside the frame.

    Parameters
    ----------
    top, left : int
        Its first row and column.
    height, width : int
        At least one pixel.

    Raises
    ------
    DataError
        If it has no pixels or begins before the frame.
    """

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.top < 0 or self.left < 0 or self.height < 1 or self.width < 1:
            raise DataError(
                f"A region from row {self.top}, column {self.left} of {self.height} x "
                f"{self.width} pixels is impossible: it must lie inside the frame and have pixels."
            )

    @property
    def side(self) -> int:
        """The longer of height and width, in pixels."""
        return max(self.height, self.width)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )

    @property
    def box(self) -> Box:
        """The outer edges of its pixels."""
        top, left = self.top - 0.5, self.left - 0.5
        return Box(top, left, top + self.height, left + self.width)

    def crop(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the view of an (H, W, ...) image that the region covers."""
        return image[self.slices]


def inside(point: Point, region: Region | None) -> bool:
    """Whether a point lies on a pixel of a region."""
    if region is None:
        return True
    box = region.box
    return box.y0 <= point.y <= box.y1 and box.x0 <= point.x <= box.x1


def point_within(point: Point, region: Region) -> Point:
    """Return a point in the pixels of a region."""
    return Point(point.y - region.top, point.x - region.left, point.positive)


def box_within(box: Box, region: Region) -> Box:
    """Return a box in the pixels of a region."""
    y, x = region.top, region.left
    return Box(box.y0 - y, box.x0 - x, box.y1 - y, box.x1 - x)


def bounds(points: Iterable[Point] = (), boxes: Iterable[Box] = ()) -> Box:
    """Return the box of points, each half a pixel to all sides, and boxes together.

    Raises
    ------
    ValueError
        If there are neither.
    """
    all_boxes = [Box(p.y - 0.5, p.x - 0.5, p.y + 0.5, p.x + 0.5) for p in points] + list(boxes)
    return Box(
        min(b.y0 for b in all_boxes),
        min(b.x0 for b in all_boxes),
        max(b.y1 for b in all_boxes),
        max(b.x1 for b in all_boxes),
    )


def mask_bounds(
    mask: NDArray[np.bool_], region: Region | None, shape: tuple[int, int]
) -> Box | None:
    """Return where the object of a mask lies in the frame.

    Parameters
    ----------
    mask : (h, w) bool array
        On any grid that covers the region.
    region : Region or None
    shape : tuple of int
        Height and width of the frame, in pixels.

    Returns
    -------
    Box or None
        The outer edges of its pixels, in frame pixels; None where the mask is empty.
    """
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    whole = region or Region(0, 0, *shape)
    down, across = whole.height / mask.shape[0], whole.width / mask.shape[1]
    top, left = whole.top - 0.5, whole.left - 0.5
    return Box(
        top + float(rows[0]) * down,
        left + float(columns[0]) * across,
        top + float(rows[-1] + 1) * down,
        left + float(columns[-1] + 1) * across,
    )


def square_around(box: Box, side: float, shape: tuple[int, int]) -> Region | None:
    """Return a square with a box in its middle, moved and cut so that it lies in the frame.

    Parameters
    ----------
    box : Box
        In frame pixels; what of it lies in the frame is covered whatever the side.
    side : float
        In pixels.
    shape : tuple of int
        Height and width of the frame, in pixels.

    Returns
    -------
    Region or None
        None where nothing of the frame would be left out.
    """
    box = _cut_off(box, shape)
    side = max(round(side), *(ceil(extent) + 1 for extent in _extents(box)))
    height, width = min(side, shape[0]), min(side, shape[1])
    if (height, width) == tuple(shape):
        return None
    top = _start((box.y0 + box.y1) / 2, height, shape[0])
    left = _start((box.x0 + box.x1) / 2, width, shape[1])
    return Region(top, left, height, width)


def trial_regions(
    box: Box, shape: tuple[int, int], least: int, fractions: Iterable[float]
) -> tuple[Region | None, ...]:
    """Return regions of several sizes around clicks, which do not tell an object's size.

    Parameters
    ----------
    box : Box
        Bounds of the clicks, in frame pixels.
    shape : tuple of int
        Height and width of the frame, in pixels.
    least : int
        Side below which nothing is gained, in pixels.
    fractions : iterable of float
        Sides, as parts of the frame's shorter one, from large to small.

    Returns
    -------
    tuple of Region or None
        The whole frame first; each size once.
    """
    clicks = max(_extents(box))
    sides = (max(fraction * min(shape), _CLICK_ROOM * clicks, least) for fraction in fractions)
    return tuple(dict.fromkeys([None, *(square_around(box, side, shape) for side in sides)]))


def closer(box: Box, shape: tuple[int, int], least: int) -> Region | None:
    """Return a region around an object that is small in the frame.

    Parameters
    ----------
    box : Box
        In frame pixels.
    shape : tuple of int
        Height and width of the frame, in pixels.
    least : int
        Side below which nothing is gained, in pixels.

    Returns
    -------
    Region or None
        None where the object is large, or would hardly look larger.
    """
    side = max(ROOM * max(_extents(box)), least)
    if side > _CLOSER * max(shape):
        return None
    return square_around(box, side, shape)


def widened(region: Region | None, box: Box, shape: tuple[int, int]) -> Region | None:
    """Return a region that also covers a box, with room around it."""
    if region is None:
        return None
    both = bounds(boxes=[region.box, box])
    return square_around(both, max(_extents(both)) + 2 * _MARGIN * region.side, shape)


def suits(box: Box, region: Region | None, shape: tuple[int, int]) -> bool:
    """Whether a region is neither much too large nor too small for an object and its clicks."""
    side = max(shape) if region is None else region.side
    low, high = _SUITABLE
    return low * side <= max(_extents(box)) <= high * side


def is_cut(box: Box, region: Region | None, shape: tuple[int, int]) -> bool:
    """Whether an object reaches the border of its region, where the frame goes on."""
    return min(_distances(box, region, shape)) < 0.5


def follow(
    region: Region | None, box: Box | None, shape: tuple[int, int], least: int
) -> Region | None:
    """Return where to look for an object on the next frame.

    The region stays as it is while the object lies well inside it, so that memories of
    successive frames compare. It moves when the object comes near its border, grows when the
    object fills or crosses it, shrinks slowly around a small object, and grows step by step
    up to the whole frame while the object is not seen.

    Parameters
    ----------
    region : Region or None
        Where the object was looked for.
    box : Box or None
        Where it was found, in frame pixels; None where it was not, or hardly.
    shape : tuple of int
        Height and width of the frame, in pixels.
    least : int
        Side below which a region does not shrink, in pixels.
    """
    side = max(shape) if region is None else region.side
    if box is None:
        return None if region is None else square_around(region.box, side * _SEARCH, shape)
    extent = max(_extents(box))
    if region is not None and (extent > _LARGEST * side or is_cut(box, region, shape)):
        # step by step: a mask that leaks would else be shown ever more to leak into
        return square_around(box, side * _GROWTH, shape)
    if extent < _SMALLEST * side and side > least:
        return square_around(box, max(side * _SHRINKAGE, ROOM * extent, least), shape)
    if region is not None and min(_distances(box, region, shape)) < _MARGIN * side:
        return square_around(box, side, shape)
    return region


def _cut_off(box: Box, shape: tuple[int, int]) -> Box:
    """Return the part of a box that lies in the frame, or the frame's pixel next to it."""
    y0, x0 = (min(max(v, -0.5), n - 1) for v, n in zip((box.y0, box.x0), shape, strict=True))
    y1, x1 = (min(max(v, 0), n - 0.5) for v, n in zip((box.y1, box.x1), shape, strict=True))
    return Box(y0, x0, y1, x1)


def _extents(box: Box) -> tuple[float, float]:
    return box.y1 - box.y0, box.x1 - box.x0


def _start(centre: float, length: int, size: int) -> int:
    """Return the first of `length` pixels around a centre, within `size`."""
    return min(max(round(centre - (length - 1) / 2), 0), size - length)


def _distances(box: Box, region: Region | None, shape: tuple[int, int]) -> tuple[float, ...]:
    """Return how far a box is from each border of a region that is not the frame's, in pixels."""
    if region is None:
        return (float("inf"),)
    edges = region.box
    return (
        box.y0 - edges.y0 if region.top > 0 else float("inf"),
        box.x0 - edges.x0 if region.left > 0 else float("inf"),
        edges.y1 - box.y1 if region.top + region.height < shape[0] else float("inf"),
        edges.x1 - box.x1 if region.left + region.width < shape[1] else float("inf"),
    )
