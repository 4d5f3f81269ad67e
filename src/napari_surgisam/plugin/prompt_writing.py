"""Writes prompts to the viewer's layers of clicks and boxes; `layers` writes to all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import AnyPrompt, MaskSize, Prompt
from napari_surgisam.plugin.grid import FrameGrid
from napari_surgisam.plugin.layer_reading import unit_factors
from napari_surgisam.plugin.layers import OWNER, RGBA, placement
from napari_surgisam.plugin.prompt_reading import MASK_SIZE, PROPOSED

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes


def write_prompts(
    prompts: Iterable[AnyPrompt], points: Points, shapes: Shapes | None, grid: FrameGrid
) -> None:
    """Show prompts in our own layers, which lie on the image's grid, in place of theirs.

    Points and rectangles at other indices of the fixed axes stay, and so do proposals and other
    shapes.
    """
    known = [prompt for prompt in prompts if isinstance(prompt, Prompt)]
    rows = [(p, prompt) for prompt in known for p in prompt.points]
    _, _, here = grid.locate(np.asarray(points.data, float).reshape(-1, points.ndim))
    kept = np.flatnonzero(~here | (points.features["polarity"].to_numpy() == PROPOSED))
    frames = np.array([prompt.frame for _, prompt in rows], np.int64)
    pixels = np.array([(p.y, p.x) for p, _ in rows], float).reshape(-1, 2)
    polarity = ["positive" if p.positive else "negative" for p, _ in rows]
    ids = [*points.features["object_id"].iloc[kept], *(q.object_id for _, q in rows)]
    signs = [*points.features["polarity"].iloc[kept], *polarity]
    before = points.features.get(MASK_SIZE)
    sizes = ["auto" for _ in kept] if before is None else list(before.iloc[kept])
    sizes += [q.mask_size for _, q in rows]
    features = {"object_id": np.array(ids, int), "polarity": np.array(signs, object)}
    if before is not None or any(size != "auto" for size in sizes):
        features[MASK_SIZE] = np.array(sizes, object)
    points.selected_data = set()
    with points.events.data.blocker(), points.events.features.blocker():
        points.data = np.concatenate([np.asarray(points.data)[kept], grid.place(frames, pixels)])
        points.features = features
    if shapes is None:
        return
    boxes = [(prompt.box, prompt) for prompt in known if prompt.box is not None]
    corners = [
        grid.place(
            np.full(4, prompt.frame),
            np.array([(box.y0, box.x0), (box.y0, box.x1), (box.y1, box.x1), (box.y1, box.x0)]),
        )
        for box, prompt in boxes
    ]
    with shapes.events.data.blocker(), shapes.events.features.blocker():
        shapes.selected_data = {
            row
            for row, (data, kind) in enumerate(zip(shapes.data, shapes.shape_type, strict=True))
            if kind == "rectangle" and grid.locate(np.asarray(data, float))[2].all()
        }
        shapes.remove_selected()
        if corners:
            shapes.add_rectangles(corners)
            table = shapes.features.copy()
            ids = [prompt.object_id for _, prompt in boxes]
            table.iloc[-len(ids) :, table.columns.get_loc("object_id")] = ids
            shapes.features = table


def add_points_layer(viewer: ViewerModel, image: Image, grid: FrameGrid, name: str) -> Points:
    """Add an empty layer of clicks that lies on an image."""
    return viewer.add_points(
        np.zeros((0, image.ndim)),
        name=name,
        features={"object_id": np.zeros(0, int), "polarity": np.zeros(0, object)},
        feature_defaults={"object_id": 1, "polarity": "positive"},
        size=max(4.0, max(grid.size) / 60) * max(grid.factors),
        border_width=0.25,
        metadata={OWNER: image.name},
        **placement(image),
    )


def add_shapes_layer(viewer: ViewerModel, image: Image, name: str) -> Shapes:
    """Add an empty layer of boxes that lies on an image."""
    return viewer.add_shapes(
        None,
        ndim=image.ndim,
        name=name,
        features={"object_id": np.zeros(0, int)},
        feature_defaults={"object_id": 1},
        face_color="transparent",
        edge_width=max(1.0, max(image.data.shape[-2:]) / 300) if not image.multiscale else 2,
        metadata={OWNER: image.name},
        **placement(image),
    )


def style_points(points: Points, colours: Mapping[int, RGBA], selected: int | None) -> None:
    """Fill positive clicks and hollow out negative ones, in their objects' colours.

    Clicks of objects other than the selected one are dimmed; proposals are hollow stars.
    """
    ids = [int(i) for i in points.features["object_id"]]
    positive = points.features["polarity"].to_numpy() == "positive"
    if not ids:
        return
    colour = np.array([colours.get(i, (1.0, 1.0, 1.0, 1.0)) for i in ids])
    colour[:, 3] = [1.0 if selected in (None, i) else 0.45 for i in ids]
    face, border = colour.copy(), colour.copy()
    face[~positive, 3] = 0.0
    proposed = points.features["polarity"].to_numpy() == PROPOSED
    if proposed.any() or (points.symbol == "star").any():
        points.symbol = np.where(proposed, "star", "disc").tolist()
    border[positive, :3] = 1.0
    points.face_color = face
    points.border_color = border


def drop_last(points: Points, count: int) -> None:
    """Take the last points out again, silently."""
    length = len(points.data)
    with points.events.data.blocker(), points.events.features.blocker():
        points.remove(list(range(max(length - count, 0), length)))


def set_defaults(layer: Points | Shapes, **values: Any) -> None:
    """Give what is drawn next these features; columns that the layer lacks are left out."""
    defaults = layer.feature_defaults.iloc[0].to_dict()
    layer.feature_defaults = {name: values.get(name, known) for name, known in defaults.items()}


def set_mask_size(points: Points, rows: Sequence[int], size: MaskSize) -> None:
    """Let clicks mean a mask of some size; the layer announces that its features changed."""
    table = points.features.copy()
    if MASK_SIZE not in table:
        table[MASK_SIZE] = np.full(len(table), "auto", object)
    table.iloc[list(rows), table.columns.get_loc(MASK_SIZE)] = size
    points.features = table


def add_clicks(
    points: Points, image: Image, grid: FrameGrid, frame: int, pixels: NDArray[np.float64]
) -> None:
    """Add (N, 2) clicks (y, x) on a frame, with the features that the next click would have."""
    places = grid.place(np.full(len(pixels), frame), np.asarray(pixels, float))
    factors = unit_factors(image.units, points.units)
    points.add([points.world_to_data(image.data_to_world(place) * factors) for place in places])


def confirm_clicks(points: Points, rows: Sequence[int]) -> None:
    """Make proposals positive clicks; the layer announces that its features changed."""
    table = points.features.copy()
    table.iloc[list(rows), table.columns.get_loc("polarity")] = "positive"
    points.features = table


TakenShape = tuple[NDArray[Any], str, dict[str, Any]]
"""A shape that was taken out of its layer: vertices, type and features."""


def take_shapes(shapes: Shapes, rows: Iterable[int]) -> list[TakenShape]:
    """Take shapes out of their layer, silently; `put_shapes` brings them back."""
    chosen = sorted(rows)
    taken = [
        (np.array(shapes.data[k]), shapes.shape_type[k], dict(shapes.features.iloc[k]))
        for k in chosen
    ]
    with shapes.events.data.blocker(), shapes.events.features.blocker():
        shapes.selected_data = set(chosen)
        shapes.remove_selected()
    return taken


def put_shapes(shapes: Shapes, taken: Iterable[TakenShape]) -> list[int]:
    """Put shapes that were taken out into their layer again, silently; return their rows."""
    first = len(shapes.data)
    with shapes.events.data.blocker(), shapes.events.features.blocker():
        for vertices, kind, features in taken:
            shapes.add([vertices], shape_type=kind)
            table = shapes.features.copy()
            for name in set(features) & set(table):
                table.iloc[-1, table.columns.get_loc(name)] = features[name]
            shapes.features = table
    return list(range(first, len(shapes.data)))
