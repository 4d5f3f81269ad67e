"""Lines, lassos and painted regions of the selected object, turned into clicks or a mask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_surgisam.data.prompts import MaskPrompt, ObjectId
from napari_surgisam.data.strokes import filled, points_along, points_inside, skeleton_points
from napari_surgisam.errors import PromptError
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.prompt_reading import Drawing, read_drawings
from napari_surgisam.plugin.prompt_writing import TakenShape, put_shapes, take_shapes

if TYPE_CHECKING:
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.plugin.live_session import LiveSession
    from napari_surgisam.plugin.prompt_layers import PromptLayers

Use = Literal["mask", "inside", "middle"]
"""What an area becomes: a mask prompt, clicks inside it, or clicks along its middle."""

REMEMBERED = 20
"""Drawings that come back when what was made of them is undone."""

MODES = {"scribble": "add_path", "lasso": "add_polygon_lasso"}
HINTS = {
    "scribble": "Draw along the object with the button held; U makes clicks of it, Esc ends.",
    "lasso": "Draw around the object with the button held; U makes a mask of it, Esc ends.",
}


@dataclass(slots=True, eq=False)
class _Used:
    """A drawing that was used up, and what there was before."""

    before: Annotation | None
    taken: list[TakenShape]
    shown: bool = False


class Drawings(QObject):
    """What is drawn on the frame that is shown, until it is used.

    Lines become clicks along them, areas a mask or clicks; with the polarity of "not this", lines
    become negative clicks, and an area is cut out of the mask that is shown.

    Parameters
    ----------
    live : LiveSession
    prompts : PromptLayers
    unit : {"frame", "slice", "picture"}
    """

    message = Signal(object)  # Message

    def __init__(self, live: LiveSession, prompts: PromptLayers, unit: str) -> None:
        super().__init__()
        self._live, self._prompts, self._unit = live, prompts, unit
        self._used: list[_Used] = []
        prompts.drawn.connect(self.offer)

    def draw(self, what: str) -> None:
        """Make the layer of boxes active, ready for a "scribble" or a "lasso"."""
        shapes = self._prompts.boxes()
        self._live.viewer.layers.selection.active = shapes
        shapes.mode = MODES[what]
        self.message.emit(Message(HINTS[what]))

    def offer(self) -> None:
        """Say what can be made of what is drawn."""
        drawn = self._read()
        if not drawn:
            return
        sign = "“not this” " if self._prompts.negative else ""
        if not any(drawing.area for drawing in drawn):
            text = f"A {sign}line of object {drawn[-1].object_id}: U makes clicks of it."
            self.message.emit(Message(text, "note", (("Clicks along it", self.use),)))
            return
        text = f"A {sign}lasso of object {drawn[-1].object_id}: U makes a mask of it."
        remedies = (
            ("Mask", self.use),
            ("Clicks inside", lambda: self.use("inside")),
            ("Clicks along its middle", lambda: self.use("middle")),
        )
        self.message.emit(Message(text, "note", remedies))

    def use(self, areas: Use = "mask") -> None:
        """Turn what is drawn on the frame that is shown into prompts: one undo step an object.

        Where an area becomes a mask, lines stay drawn: clicks and a mask exclude each other.
        """
        frame, drawn = self._live.frame, self._read()
        if frame is None or not drawn:
            text = f"Nothing is drawn on this {self._unit}: press L for a line, O for a lasso."
            self.message.emit(Message(text))
            return
        if areas == "mask" and any(drawing.area for drawing in drawn):
            self._make_masks(frame, [drawing for drawing in drawn if drawing.area])
        else:
            self._make_clicks(frame, drawn, areas)

    def use_painted(self, frame: int, object_ids: Iterable[int]) -> None:
        """Set clicks along the middle of what is painted by hand; the paint stays."""
        labels, count = self._live.writer.read(frame), 0
        for object_id in object_ids:
            pixels = skeleton_points(labels == object_id)
            if len(pixels):
                self._prompts.add_clicks(ObjectId(object_id), frame, pixels, negative=False)
                count += len(pixels)
        self._prompts.read()
        text = f"{count} clicks along the middle of what is painted: move or delete them freely."
        self.message.emit(Message(text))

    def travelled(self, left: Annotation | None) -> None:
        """Bring drawings back, or use them up again, after an undo or a redo.

        Parameters
        ----------
        left : Annotation or None
            What there was before that.
        """
        shapes, now = self._prompts.shapes, self._live.annotation
        if shapes is None or now is None:
            return
        for used in self._used:
            if used.before is now and not used.shown:
                put_shapes(shapes, used.taken)
                used.shown = True
            elif used.before is left and used.shown:
                again = {vertices.tobytes() for vertices, _, _ in used.taken}
                rows = [k for k, data in enumerate(shapes.data) if data.tobytes() in again]
                take_shapes(shapes, rows)
                used.shown = False

    def _make_masks(self, frame: int, drawn: list[Drawing]) -> None:
        shape, negative = self._live.grid.size, self._prompts.negative
        masks: dict[ObjectId, NDArray[np.bool_]] = {}
        for drawing in drawn:
            mask = filled(drawing.outline, shape)
            if not mask.any():
                self._refuse("The lasso encloses no pixel of the image: draw a larger one.")
                return
            before = masks.get(drawing.object_id)
            if negative:
                shown = self._shown(drawing.object_id, frame) if before is None else before
                masks[drawing.object_id] = shown & ~mask
            else:
                masks[drawing.object_id] = mask if before is None else before | mask
        if self._live.annotation is None:
            self._refuse("The model is still loading: press U again when it is ready.")
            return
        used = self._take(drawn)
        if not self._live.enter(MaskPrompt(k, frame, mask) for k, mask in masks.items()):
            self._put_back(used)
            return
        done = "is cut out of the mask" if negative else "is the mask"
        which = f"object {', '.join(map(str, masks))} on {self._unit} {frame}"
        self.message.emit(Message(f"The lasso {done} of {which}. Ctrl+Z takes it back."))

    def _make_clicks(self, frame: int, drawn: list[Drawing], areas: Use) -> None:
        shape, found = self._live.grid.size, []
        for drawing in drawn:
            if not drawing.area:
                pixels = points_along(drawing.outline, shape)
            else:
                spread = skeleton_points if areas == "middle" else points_inside
                pixels = spread(filled(drawing.outline, shape))
            if len(pixels):
                found.append((drawing, pixels))
        if not found:
            self._refuse("What is drawn lies outside the image.")
            return
        used = self._take([drawing for drawing, _ in found])
        for drawing, pixels in found:
            self._prompts.add_clicks(
                drawing.object_id, frame, pixels, negative=self._prompts.negative
            )
        self._prompts.read()
        if used.before is not None and self._live.annotation is used.before:
            self._put_back(used)
            return
        count = sum(len(pixels) for _, pixels in found)
        text = f"{count} clicks on {self._unit} {frame}: move or delete them freely. "
        self.message.emit(Message(f"{text}Ctrl+Z takes them back."))

    def _take(self, drawn: list[Drawing]) -> _Used:
        """Take drawings that are being used out of their layer; undo brings them back."""
        taken = take_shapes(self._prompts.boxes(), [drawing.row for drawing in drawn])
        used = _Used(self._live.annotation, taken)
        self._used = [*self._used, used][-REMEMBERED:]
        return used

    def _put_back(self, used: _Used) -> None:
        """Leave drawings as they were: the session refused what was made of them, and said so."""
        self._used.remove(used)
        put_shapes(self._prompts.boxes(), used.taken)

    def _read(self) -> list[Drawing]:
        shapes, frame = self._prompts.shapes, self._live.frame
        if shapes is None or frame is None:
            return []
        try:
            return read_drawings(shapes, self._live.image, self._live.grid, frame)
        except PromptError as error:
            self._refuse(str(error))
            return []

    def _shown(self, object_id: ObjectId, frame: int) -> NDArray[np.bool_]:
        annotation, shape = self._live.annotation, self._live.grid.size
        mask = None if annotation is None else annotation.mask(object_id, frame)
        return np.zeros(shape, np.bool_) if mask is None else mask.paint(shape)

    def _refuse(self, text: str) -> None:
        self.message.emit(Message(text, "error"))
