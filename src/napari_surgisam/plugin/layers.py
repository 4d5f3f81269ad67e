"""Writes to the viewer's layers; with `prompt_writing`, for clicks and boxes, nothing else does.

One direction: image layer → frames (`layer_reading`), Points and Shapes layers → prompts
(`prompt_reading`), masks → Labels layer. What a person paints into the Labels layer is never
overwritten silently; it comes back only when asked for, as a mask prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.painted_labels import keep_locked
from napari_surgisam.plugin.files import AFFINE
from napari_surgisam.plugin.grid import FrameGrid
from napari_surgisam.plugin.label_store import label_store
from napari_surgisam.plugin.layer_reading import (
    is_displayed,
    pointed_pixel,
    shown_frame,
    unit_factors,
)
from napari_surgisam.plugin.painting import PaintLedger

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

RGBA = tuple[float, float, float, float]

OWNER = "surgisam_image"
"""Key of our layers' metadata: the name of the image that they belong to."""

NAMES = "surgisam_names"
"""Key of a Labels layer's metadata: what its objects are called, by id."""

CLASSES = "surgisam_classes"
"""Key of a Labels layer's metadata: the class of each object that has one, by id."""

LEDGER = "surgisam_ledger"
"""Key of a Labels layer's metadata: what we wrote there, and what a person painted."""

VOLUME_REDRAW_SECONDS = 1.0
"""Shortest time between two redraws of a whole volume (3D, or a view across the frames)."""


def show_frame(viewer: ViewerModel, image: Image, grid: FrameGrid, frame: int) -> None:
    """Move the slider of the frames' axis to a frame; the other sliders stay."""
    if grid.axis is None or is_displayed(viewer, image, grid.axis):
        return
    pixel = pointed_pixel(viewer, image)
    pixel[grid.axis] = grid.place(np.array([frame]), np.zeros((1, 2)))[0, grid.axis]
    world = np.asarray(image.data_to_world(pixel)) * unit_factors(image.units, viewer.layers.units)
    axis = grid.axis + viewer.dims.ndim - image.ndim
    viewer.dims.set_point(axis, float(world[grid.axis]))


def add_labels_layer(
    viewer: ViewerModel,
    image: Image,
    grid: FrameGrid,
    name: str,
    filled: tuple[Any, PaintLedger] | None = None,
) -> Labels:
    """Add a Labels layer with the shape, scale, affine, units and names of an image.

    Its array is in memory where it is small, else in compressed chunks of one frame. It is
    empty, or `filled`: an array, and what a person painted there.
    """
    place = placement(image)
    if any(factor != 1 for factor in grid.factors):
        factors = np.asarray(grid.factors)
        matrix = np.asarray(image.affine)[:-1, :-1]
        origin = np.asarray(image.data_to_world(np.zeros(image.ndim)))
        shifted = np.asarray(image.data_to_world((factors - 1) / 2))
        place["translate"] = image.translate + np.linalg.solve(matrix, shifted - origin)
        place["scale"] = image.scale * factors
    kept = {AFFINE: image.metadata[AFFINE]} if AFFINE in image.metadata else {}
    array, ledger = filled or (label_store(grid.shape, grid.plane), PaintLedger())
    return viewer.add_labels(
        array,
        name=name,
        opacity=0.7,
        metadata={OWNER: image.name, LEDGER: ledger, **kept},
        **place,
    )


def add_preview_layer(viewer: ViewerModel, image: Image, grid: FrameGrid, name: str) -> Labels:
    """Add an empty Labels layer that is nobody's masks, and make it active."""
    layer = add_labels_layer(viewer, image, grid, name)
    layer.metadata.clear()
    layer.mode = "pan_zoom"
    viewer.layers.selection.active = layer
    return layer


def show_preview(
    layer: Labels,
    grid: FrameGrid,
    frame: int,
    labels: NDArray[Any],
    colours: Mapping[int, RGBA],
) -> None:
    """Put (H, W) labels of a frame into a layer of previews."""
    layer.data[grid.index(frame, all_channels=True)] = labels
    colour_labels(layer, colours)
    layer.refresh(extent=False, thumbnail=False, highlight=False)


def remove_layer(viewer: ViewerModel, layer: Labels) -> None:
    """Take one of our layers out again, where it is still there."""
    if layer in viewer.layers:
        viewer.layers.remove(layer)


def find_masks(viewer: ViewerModel, image: Image, grid: FrameGrid) -> Labels | None:
    """Return the layer of masks that an earlier widget made for an image, or None."""
    for layer in viewer.layers:
        if (
            hasattr(layer, "selected_label")
            and layer.metadata.get(OWNER) == image.name
            and tuple(layer.data.shape) == grid.shape
        ):
            return layer
    return None


def placement(image: Image) -> dict[str, Any]:
    """Return the arguments that make a layer lie where an image lies."""
    return {
        "scale": image.scale,
        "translate": image.translate,
        "rotate": image.rotate,
        "shear": image.shear,
        "affine": image.affine,
        "units": image.units,
        "axis_labels": image.axis_labels,
    }


def colour_labels(labels: Labels, colours: Mapping[int, RGBA]) -> None:
    """Colour our own Labels layer by object; labels of no object are grey."""
    from napari.utils.colormaps import DirectLabelColormap

    grey, clear = (0.6, 0.6, 0.6, 0.8), (0.0, 0.0, 0.0, 0.0)
    chosen: dict[int | None, RGBA] = {int(k): colour for k, colour in colours.items()}
    chosen |= {None: grey, 0: clear}
    labels.colormap = DirectLabelColormap(color_dict=chosen)


class LabelsWriter:
    """Writes masks into a Labels layer, frame by frame, around what a person painted.

    Parameters
    ----------
    viewer : ViewerModel
    layer : Labels
        Ours, or one that the user has: labels that it holds already count as painted.
    image : Image
    grid : FrameGrid
    """

    def __init__(self, viewer: ViewerModel, layer: Labels, image: Image, grid: FrameGrid) -> None:
        self.viewer, self.layer, self.image, self.grid = viewer, layer, image, grid
        self.ledger: PaintLedger = layer.metadata.setdefault(LEDGER, PaintLedger())
        self.locked: Callable[[], Iterable[int]] = tuple  # labels that no stroke changes
        self._watched: tuple[int, NDArray[Any]] | None = None
        self._redrawn = -inf

    def read(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) labels of a frame as they are in the layer."""
        return np.asarray(self.layer.data[self.grid.index(frame)])

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Put the model's (H, W) labels on a frame, except where a person painted."""
        merged = self.ledger.merge(frame, labels, self.read(frame))
        self.layer.data[self.grid.index(frame, all_channels=True)] = merged
        if self._watched is not None and self._watched[0] == frame:
            self._watched = (frame, merged)
        self._redraw(frame)

    def watch(self) -> None:
        """Take the frame on screen as the one that the next stroke changes."""
        frame = shown_frame(self.viewer, self.image, self.grid)
        self._watched = None if frame is None else (frame, self.read(frame).copy())

    def notice_stroke(self) -> tuple[int, frozenset[int]] | None:
        """Record what a person just painted; return the frame and the labels touched."""
        if self._watched is None:
            return None
        frame, before = self._watched
        painted = self.read(frame).copy()
        after = keep_locked(before, painted, self.locked())
        if after is not painted:
            self.layer.data[self.grid.index(frame, all_channels=True)] = after
            self.redraw()
        self._watched = (frame, after)
        touched = self.ledger.notice(frame, before, after)
        return (frame, touched) if touched else None

    def relabel(self, gone: Iterable[int], keep: int) -> None:
        """Let what a person painted of some objects be another's."""
        ids = frozenset(gone)
        for frame, touched in list(self.ledger.painted.items()):
            if touched & ids:
                labels = self.read(frame)
                labels = np.where(np.isin(labels, list(ids)), keep, labels).astype(labels.dtype)
                self.layer.data[self.grid.index(frame, all_channels=True)] = labels
                self.ledger.painted[frame] = touched - ids | {keep}

    def undo_stroke(self) -> None:
        """Take back the last stroke of the brush, with the layer's own history."""
        self.layer.undo()
        if self._watched is not None:
            frame = self._watched[0]
            self._watched = (frame, self.read(frame).copy())
            self.ledger.review(frame, self._watched[1])

    def redraw(self) -> None:
        """Show what was written; `write` leaves that out where it would cost too much."""
        self._redrawn = monotonic()
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _redraw(self, frame: int) -> None:
        across = self.grid.axis is not None and is_displayed(
            self.viewer, self.image, self.grid.axis
        )
        if across or self.viewer.dims.ndisplay == 3:
            if monotonic() - self._redrawn > VOLUME_REDRAW_SECONDS:
                self.redraw()
        elif shown_frame(self.viewer, self.image, self.grid) == frame:
            self.redraw()


def highest_label(labels: Labels, writer: LabelsWriter) -> int:
    """Return the highest label of a layer; of a lazy one, on the frame that is shown."""
    if isinstance(labels.data, np.ndarray):
        return int(labels.data.max(initial=0))
    frame = shown_frame(writer.viewer, writer.image, writer.grid)
    return 0 if frame is None else int(writer.read(frame).max(initial=0))
