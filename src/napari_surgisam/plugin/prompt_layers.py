"""The layers that a person clicks into, and what they say at the moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_surgisam.data.prompts import (
    AnyPrompt,
    MaskSize,
    ObjectId,
    Point,
    Prompt,
    check_prompt,
)
from napari_surgisam.errors import PromptError
from napari_surgisam.plugin.grid import FrameGrid
from napari_surgisam.plugin.layer_reading import Key
from napari_surgisam.plugin.layers import OWNER
from napari_surgisam.plugin.objects import Objects, colour_of
from napari_surgisam.plugin.prompt_reading import (
    PROPOSED,
    click_rows,
    is_click_layer,
    merge_prompts,
    proposal_rows,
    read_boxes,
    read_points,
)
from napari_surgisam.plugin.prompt_writing import (
    add_clicks,
    add_points_layer,
    add_shapes_layer,
    confirm_clicks,
    drop_last,
    set_defaults,
    set_mask_size,
    style_points,
    write_prompts,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Points, Shapes


class PromptLayers(QObject):
    """Points and Shapes layers as prompts; napari's own tools move and delete them.

    A click that cannot be used (in 3D, or outside the frame) is taken away again with a
    message. Alt turns a click into "not this"; so does `negative`.
    """

    changed = Signal(dict)  # prompts by (object, frame)
    refused = Signal(str)
    shapes_made = Signal(object)  # the layer of boxes
    drawn = Signal()  # a line or an area, no box

    def __init__(
        self, viewer: ViewerModel, image: Image, grid: FrameGrid, objects: Objects
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.grid, self.objects = viewer, image, grid, objects
        self.negative = False
        self.elsewhere = 0
        self.points: Points = self._find() or add_points_layer(
            viewer, image, grid, f"{image.name} clicks"
        )
        self.shapes: Shapes | None = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self.read)
        self._listen(self.points)
        self.points.mouse_drag_callbacks.insert(0, self._press)
        self.select()

    @property
    def layers(self) -> list[Any]:
        """The layers that exist."""
        return [self.points] if self.shapes is None else [self.points, self.shapes]

    def boxes(self) -> Shapes:
        """Return the layer of boxes, made on first use."""
        if self.shapes is None or self.shapes not in self.viewer.layers:
            self.shapes = add_shapes_layer(self.viewer, self.image, f"{self.image.name} boxes")
            self._listen(self.shapes)
            self.select()
            self.shapes_made.emit(self.shapes)
        return self.shapes

    def forget_boxes(self) -> None:
        """Go on without a layer of boxes, which the user has deleted."""
        self.shapes = None
        self._settle.start(0)

    def select(self) -> None:
        """Let the next click belong to the selected object, with the current polarity."""
        object_id = int(self.objects.selected or 1)
        polarity = "negative" if self.negative else "positive"
        set_defaults(self.points, object_id=object_id, polarity=polarity, mask_size="auto")
        if self.shapes is not None:
            set_defaults(self.shapes, object_id=object_id)
            self.shapes.current_edge_color = colour_of(object_id)
        self.style()

    def style(self) -> None:
        """Colour the clicks by object and polarity."""
        style_points(self.points, self.objects.colours(dim=False), self.objects.selected)

    def set_mask_size(self, key: Key, size: MaskSize) -> None:
        """Let an object's click on a frame mean a mask of some size."""
        rows = click_rows(self.points, self.image, self.grid, key[1], key[0])
        if rows:
            set_mask_size(self.points, rows, size)
            self.select()  # new features bring new defaults

    def add_clicks(
        self, object_id: ObjectId, frame: int, pixels: NDArray[np.float64], *, negative: bool
    ) -> None:
        """Add (N, 2) clicks (y, x) of an object on a frame."""
        self._add(object_id, frame, pixels, "negative" if negative else "positive")

    def propose(self, object_id: ObjectId, frame: int, point: Point) -> None:
        """Show where an object may be; that says nothing until it is confirmed."""
        self._add(object_id, frame, np.array([(point.y, point.x)]), PROPOSED)

    def confirm_proposals(self, frame: int) -> int:
        """Make the proposals on a frame clicks; return how many there were."""
        rows = proposal_rows(self.points, self.image, self.grid, frame)
        if rows:
            confirm_clicks(self.points, rows)
            self.select()
        return len(rows)

    def drop_proposals(self, key: Key) -> int:
        """Take an object's proposals on a frame away; return how many there were."""
        rows = proposal_rows(self.points, self.image, self.grid, key[1], key[0])
        if rows:
            self.points.remove(rows)
        return len(rows)

    def _add(
        self, object_id: ObjectId, frame: int, pixels: NDArray[np.float64], polarity: str
    ) -> None:
        set_defaults(self.points, object_id=int(object_id), polarity=polarity, mask_size="auto")
        add_clicks(self.points, self.image, self.grid, frame, pixels)
        self.points.selected_data = set()
        self.select()

    def show(self, prompts: Iterable[AnyPrompt]) -> None:
        """Put prompts into the layers in place of what they hold; nothing is announced."""
        write_prompts(prompts, self.points, self.shapes, self.grid)
        self.select()  # new features bring new defaults

    def read(self) -> dict[Key, Prompt] | None:
        """Announce and return what the layers say, or None where they cannot be read."""
        self._settle.stop()
        try:
            clicks, self.elsewhere = read_points(self.points, self.image, self.grid)
            boxes = {} if self.shapes is None else read_boxes(self.shapes, self.image, self.grid)
            prompts = merge_prompts(clicks, boxes)
            for prompt in prompts.values():
                check_prompt(prompt, len(self.grid), *self.grid.size)
        except PromptError as error:
            self.refused.emit(str(error))
            return None
        self.objects.include({object_id for object_id, _ in prompts})
        self.style()
        self.changed.emit(prompts)
        return prompts

    def close(self) -> None:
        """Stop listening; the layers stay."""
        self._settle.stop()
        for layer in self.layers:
            layer.events.data.disconnect(self._on_data)
            layer.events.features.disconnect(self._on_features)
        if self._press in self.points.mouse_drag_callbacks:
            self.points.mouse_drag_callbacks.remove(self._press)

    def _find(self) -> Points | None:
        """Return a layer of clicks that the user has: with our features and our axes."""
        for layer in self.viewer.layers:
            if is_click_layer(layer) and layer.ndim == self.image.ndim:
                owner = layer.metadata.get(OWNER, self.image.name)
                if owner == self.image.name:
                    return layer
        return None

    def _listen(self, layer: Any) -> None:
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_features)

    def _on_features(self) -> None:
        self._settle.start(0)

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event.action, "value", event.action))
        if action not in ("added", "changed", "removed"):
            return
        if action == "added" and event.source is self.points and (why := self._unusable()):
            count = len(event.data_indices)
            QTimer.singleShot(0, lambda: drop_last(self.points, count))
            self.refused.emit(why)
            return
        self._settle.start(0)
        if action == "added" and event.source is self.shapes:
            kinds = [self.shapes.shape_type[k] for k in event.data_indices]
            if any(kind != "rectangle" for kind in kinds):
                self.drawn.emit()

    def _unusable(self) -> str:
        if self.viewer.dims.ndisplay == 3:
            return (
                "A click in the 3D display has no depth, so it was taken away: switch to 2D (the "
                "cube button under the layers, or Ctrl+Y) and click on a frame."
            )
        try:
            clicks, _ = read_points(self.points, self.image, self.grid)
            for prompt in merge_prompts(clicks, {}).values():
                check_prompt(prompt, len(self.grid), *self.grid.size)
        except PromptError as error:
            return f"{error} The click was taken away."
        return ""

    def _press(self, layer: Points, event: Any) -> None:
        if str(layer.mode) != "add":
            return
        negative = self.negative or "Alt" in event.modifiers
        set_defaults(
            layer,
            object_id=int(self.objects.selected or 1),
            polarity="negative" if negative else "positive",
            mask_size="auto",
        )
