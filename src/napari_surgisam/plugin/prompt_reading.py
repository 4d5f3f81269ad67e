"""What layers of clicks and boxes say, as prompts.

Only reads; `prompt_writing` is the module that writes to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import (
    MASK_SIZES,
    MAX_OBJECT_ID,
    Box,
    MaskSize,
    ObjectId,
    Point,
    Prompt,
)
from napari_surgisam.data.strokes import ellipse_outline
from napari_surgisam.errors import PromptError
from napari_surgisam.plugin.grid import FrameGrid
from napari_surgisam.plugin.layer_reading import FEATURES, Key, unit_factors

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Points, Shapes

MASK_SIZE = "mask_size"
"""Column of a layer of clicks, where there is one: which mask a single click means."""

PROPOSED = "proposed"
"""Polarity of a point that a search has proposed; it says nothing until a person confirms it."""


def read_points(points: Points, image: Image, grid: FrameGrid) -> tuple[dict[Key, Prompt], int]:
    """Read the clicks of a Points layer on an image's grid.

    Parameters
    ----------
    points : Points
        With the features `object_id` and `polarity`, perhaps `mask_size`; any scale, translation
        and affine.
    image : Image
    grid : FrameGrid

    Returns
    -------
    clicks : dict
        By object and frame, with the points in the order in which they were set.
    elsewhere : int
        How many points lie at another index of an axis that `grid` fixes.

    Raises
    ------
    PromptError
        If a coordinate is not finite, or an object id, polarity or mask size is not one.
    """
    clicks: dict[Key, Prompt] = {}
    frames, pixels, here = _locate(points, np.asarray(points.data, float), image, grid)
    proposed = points.features["polarity"].to_numpy() == PROPOSED
    for row in np.flatnonzero(here & ~proposed):
        where = f"point {row} of layer {points.name}"
        object_id = _object_id(points.features["object_id"].iloc[row], where)
        polarity = points.features["polarity"].iloc[row]
        if polarity not in ("positive", "negative"):
            raise PromptError(
                f"The polarity of {where} is {polarity!r}: write 'positive' or 'negative'."
            )
        y, x = (float(v) for v in pixels[row])
        point, key = Point(y, x, positive=polarity == "positive"), (object_id, int(frames[row]))
        if key in clicks:
            clicks[key] = clicks[key].with_point(point)
        else:
            clicks[key] = Prompt(*key, (point,), mask_size=_mask_size(points, int(row), where))
    return clicks, int((~here & ~proposed).sum())


def click_rows(
    points: Points, image: Image, grid: FrameGrid, frame: int, object_id: int | None = None
) -> list[int]:
    """Return the rows of a Points layer that are clicks on a frame, of an object or of all."""
    return _rows(points, image, grid, frame, object_id, proposed=False)


def proposal_rows(
    points: Points, image: Image, grid: FrameGrid, frame: int, object_id: int | None = None
) -> list[int]:
    """Return the rows of a Points layer that were proposed on a frame and not confirmed."""
    return _rows(points, image, grid, frame, object_id, proposed=True)


def _rows(
    points: Points,
    image: Image,
    grid: FrameGrid,
    frame: int,
    object_id: int | None,
    *,
    proposed: bool,
) -> list[int]:
    frames, _, here = _locate(points, np.asarray(points.data, float), image, grid)
    chosen = here & (frames == frame)
    chosen &= (points.features["polarity"].to_numpy() == PROPOSED) == proposed
    if object_id is not None:
        chosen &= points.features["object_id"].to_numpy() == object_id
    return [int(row) for row in np.flatnonzero(chosen)]


def read_boxes(shapes: Shapes, image: Image, grid: FrameGrid) -> dict[Key, Box]:
    """Read the rectangles of a Shapes layer as boxes on an image's grid.

    A rectangle that is turned against the image counts as the box around it; of several of
    one object on one frame, the last counts. Other shapes are ignored.

    Raises
    ------
    PromptError
        If a rectangle runs through several frames, or its object id is not one.
    """
    boxes: dict[Key, Box] = {}
    for row, (corners, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True)):
        if kind != "rectangle":
            continue
        where = f"rectangle {row} of layer {shapes.name}"
        frames, pixels, here = _locate(shapes, np.asarray(corners, float), image, grid)
        if not here.all():
            continue
        if len(set(frames.tolist())) > 1:
            raise PromptError(
                f"The {where} runs from frame {frames.min()} to {frames.max()}: draw it while "
                "one frame is on screen."
            )
        object_id = _object_id(shapes.features["object_id"].iloc[row], where)
        (y0, x0), (y1, x1) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
        boxes[object_id, int(frames[0])] = Box(y0, x0, y1, x1)
    return boxes


@dataclass(frozen=True, slots=True)
class Drawing:
    """A line or an area that a person drew on one frame.

    Parameters
    ----------
    row : int
        In its layer.
    object_id : ObjectId
    outline : (N, 2) array
        Vertices (y, x) in frame pixels.
    area : bool
        Whether it is closed: a lasso, a polygon or an ellipse.
    """

    row: int
    object_id: ObjectId
    outline: NDArray[np.float64]
    area: bool


def read_drawings(shapes: Shapes, image: Image, grid: FrameGrid, frame: int) -> list[Drawing]:
    """Read the lines and areas that were drawn on a frame; rectangles are boxes, and left out.

    Raises
    ------
    PromptError
        If a coordinate is not finite, or an object id is not one.
    """
    found = []
    for row, (vertices, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True)):
        if kind == "rectangle":
            continue
        frames, pixels, here = _locate(shapes, np.asarray(vertices, float), image, grid)
        if not here.all() or (frames != frame).any():
            continue
        where = f"shape {row} of layer {shapes.name}"
        object_id = _object_id(shapes.features["object_id"].iloc[row], where)
        outline = ellipse_outline(pixels) if kind == "ellipse" else pixels
        found.append(Drawing(row, object_id, outline, kind in ("polygon", "ellipse")))
    return found


def merge_prompts(clicks: Mapping[Key, Prompt], boxes: Mapping[Key, Box]) -> dict[Key, Prompt]:
    """Join the points and the box of each object and frame into one prompt."""
    return {
        key: replace(clicks[key], box=boxes.get(key))
        if key in clicks
        else Prompt(*key, box=boxes[key])
        for key in sorted({*clicks, *boxes})
    }


def is_click_layer(layer: Layer) -> bool:
    """Whether a layer is a Points layer with the features `object_id` and `polarity`."""
    features = getattr(layer, "features", None)
    return hasattr(layer, "symbol") and set(FEATURES) <= set(
        features if features is not None else ()
    )


def _locate(
    layer: Layer, coordinates: NDArray[np.float64], image: Image, grid: FrameGrid
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Carry a layer's own coordinates through the world onto the frames of an image."""
    bad = np.flatnonzero(~np.isfinite(coordinates).all(axis=1))
    if len(bad):
        raise PromptError(
            f"Point {bad[0]} of layer {layer.name} has the coordinates "
            f"{tuple(coordinates[bad[0]].tolist())}: they must be finite. Delete that point."
        )
    factors = unit_factors(layer.units, image.units)
    pixels = np.empty((len(coordinates), image.ndim))
    for row, coordinate in enumerate(coordinates):
        world = np.asarray(layer.data_to_world(coordinate))[-len(factors) :] * factors
        pixels[row] = image.world_to_data(world)
    return grid.locate(pixels)


def _object_id(value: Any, where: str) -> ObjectId:
    number = float(value) if np.isreal(value) else float("nan")
    if not number.is_integer() or not 1 <= number <= MAX_OBJECT_ID:
        raise PromptError(
            f"The object id of {where} is {value!r}: it must be a whole number from 1 to "
            f"{MAX_OBJECT_ID}."
        )
    return ObjectId(int(number))


def _mask_size(points: Points, row: int, where: str) -> MaskSize:
    value = points.features[MASK_SIZE].iloc[row] if MASK_SIZE in points.features else "auto"
    if value is None or value != value or value == "":  # pandas' missing values
        return "auto"
    for size in MASK_SIZES:
        if value == size:
            return size
    raise PromptError(
        f"The mask size of {where} is {value!r}: write one of {', '.join(MASK_SIZES)}."
    )
