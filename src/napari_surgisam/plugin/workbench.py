"""Everything about segmenting one image that has no widget: layers, objects, session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.plugin.advice import next_step, outcome
from napari_surgisam.plugin.grid import frame_word
from napari_surgisam.plugin.keys import bind_keys, unbind_keys
from napari_surgisam.plugin.layer_reading import layer_grid
from napari_surgisam.plugin.layers import (
    OWNER,
    colour_labels,
    highest_label,
)
from napari_surgisam.plugin.live_session import LiveSession
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.object_editor import ObjectEditor
from napari_surgisam.plugin.objects import Objects
from napari_surgisam.plugin.painted_frames import PaintedFrames
from napari_surgisam.plugin.prompt_layers import PromptLayers
from napari_surgisam.plugin.prompt_tools import PromptTools
from napari_surgisam.plugin.review import Review
from napari_surgisam.plugin.session_restoring import masks_layer, restore_objects, take_opened

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_surgisam.engine.embeddings import EmbeddingCache
    from napari_surgisam.engine.plan import Plan
    from napari_surgisam.engine.session import Session
    from napari_surgisam.plugin.advanced_panel import Settings
    from napari_surgisam.plugin.runner import JobThread

ROWS_MILLISECONDS = 500  # between renewals of the table, at least


class Workbench(QObject):
    """One image with its clicks, boxes and masks.

    Parameters
    ----------
    viewer : ViewerModel
    image : Image
    labels : Labels or None
        Where the masks go: a layer that the user has, or None for a new one.
    settings : Settings
    thread : JobThread
    cache : callable
        Returns the cache of embeddings.
    new_labels : bool
        Whether to make a new layer of masks even where an earlier one of ours is there.

    Raises
    ------
    DataError
        If the image or the Labels layer cannot be used.
    """

    rows_changed = Signal()
    message = Signal(object)  # Message
    propagate_requested = Signal()
    here_requested = Signal()  # work at the position that the other sliders show
    closed = Signal(str)  # why
    closing = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        labels: Labels | None,
        settings: Settings,
        thread: JobThread,
        cache: Callable[[], EmbeddingCache],
        *,
        new_labels: bool = False,
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.settings = viewer, image, settings
        self.grid = layer_grid(viewer, image, axis=settings.axis, level=settings.level)
        self.objects, opened = Objects(), take_opened(image, self.grid)
        labels = labels or masks_layer(viewer, image, self.grid, opened, new=new_labels)
        self.own_labels = labels.metadata.get(OWNER) == image.name
        self.labels: Labels = self.objects.named_on(labels)
        self.prompts = PromptLayers(viewer, image, self.grid, self.objects)
        restore_objects(opened, self.objects, self.prompts)
        self.live = LiveSession(viewer, image, self.grid, labels, thread, cache)
        self.live.restored = opened
        self._deeds: list[str] = []  # "stroke" of the brush or "step" of the session, for undo
        self._rows = QTimer(self)
        self._rows.setSingleShot(True)
        self._rows.timeout.connect(self.rows_changed.emit)
        self.painted = PaintedFrames(self.live, self.unit)
        self.review = Review(self.live, self.objects, self.unit)
        self.tools = PromptTools(self.live, self.prompts, self.objects, self.unit, thread)
        self.editor = ObjectEditor(self.live, self.objects, thread, self._taken)
        self._connect()
        self.prompts.read()
        if not self.objects.names:
            self.objects.add(self._taken())
        self.select(self.objects.selected)
        self.start_clicking()

    @property
    def unit(self) -> str:
        """What one frame is called: "frame" in time, "slice" in space, else "picture"."""
        return frame_word(self.image.axis_labels, self.grid.axis)

    @property
    def session(self) -> Session | None:
        """The session, once the model is loaded."""
        return self.live.session

    # -- objects

    def select(self, object_id: int | None) -> None:
        """Let clicks and strokes belong to an object."""
        if object_id is None or object_id not in self.objects:
            return
        self.objects.selected = ObjectId(object_id)
        self.prompts.select()
        self._colour()
        if object_id <= np.iinfo(self.labels.dtype).max:
            self.labels.selected_label = object_id
        self.rows_changed.emit()

    def add_object(self) -> None:
        """Add an object and go on with it."""
        self.select(self.objects.add(self._taken()))
        self.start_clicking()

    def next_object(self) -> None:
        """Go on with the next object."""
        self.select(self.objects.next_id())

    def rename(self, object_id: int, name: str) -> None:
        """Give an object another name."""
        self.objects.names[ObjectId(object_id)] = name
        self.rows_changed.emit()

    # -- going about

    def start_clicking(self) -> None:
        """Make the layer of clicks active, ready for a click."""
        self.viewer.layers.selection.active = self.prompts.points
        self.prompts.points.mode = "add"

    def jump(self, object_id: int) -> None:
        """Show the next frame on which an object is prompted."""
        frames = () if self.session is None else self.session.book.frames(ObjectId(object_id))
        if not frames:
            self._say(f"Object {object_id} has no prompt yet: click on it.")
            return
        here = self.live.frame
        later = [f for f in frames if here is not None and f > here]
        self.review.show_frame(later[0] if later else frames[0])

    # -- work

    def propagate(
        self, plan: Plan, object_ids: Iterable[ObjectId] | None = None, *, anew: bool = False
    ) -> None:
        """Carry the prompts through the frames: what is out of date, or all anew."""
        self.prompts.read()
        self._say("You can look around meanwhile. A click stops the run and counts.")
        self.live.propagate(plan, object_ids, anew=anew)

    def escape(self) -> None:
        """Stop what runs; where nothing does, end drawing."""
        if self.live.is_propagating:
            self.live.cancel()
        elif self.tools.finder.cancel():
            return
        elif self.viewer.layers.selection.active is self.prompts.shapes:
            self.start_clicking()
            self.hint()

    def undo(self) -> None:
        """Take back the last click, stroke of the brush, or propagation."""
        if self._deeds and self._deeds.pop() == "stroke":
            self.live.writer.undo_stroke()
        elif not self._travel(self.live.undo):
            self._say("There is nothing to undo.")

    def redo(self) -> None:
        """Take back the last undo of a click or propagation."""
        if self._travel(self.live.redo):
            self._deeds.append("step")
        else:
            self._say("There is nothing to redo.")

    def resume(self) -> None:
        """Go on after another image was worked on."""
        self.live.resume()
        self.start_clicking()

    def close(self) -> None:
        """End what runs and let go of the layers, which stay."""
        self._rows.stop()
        self.closing.emit()
        self.tools.finder.cancel()
        self.blockSignals(True)
        self.live.close()
        self.prompts.close()
        unbind_keys(self.layers)
        self.painted.close()
        self.image.events.data.disconnect(self._on_image_changed)
        self.viewer.layers.events.removed.disconnect(self._on_removed)

    # -- wiring

    def _actions(self) -> dict[str, Callable[[], object]]:
        return {
            "next_object": self.next_object,
            "add_object": self.add_object,
            **self.tools.actions(),
            "propagate": self.propagate_requested.emit,
            "escape": self.escape,
            "next_doubtful": self.review.next_doubtful,
            "undo": self.undo,
            "redo": self.redo,
        }

    @property
    def layers(self) -> list[Any]:
        """Our layers, on which the keys work."""
        return [*self.prompts.layers, self.labels]

    def _connect(self) -> None:
        bind_keys(self.layers, self._actions())
        self.prompts.shapes_made.connect(lambda shapes: bind_keys([shapes], self._actions()))
        self.prompts.changed.connect(self._on_prompts)
        self.prompts.refused.connect(lambda text: self.message.emit(Message(text, "error")))
        self.live.opened.connect(self.hint)
        self.live.edited.connect(self.rows_changed.emit)
        self.live.progressed.connect(lambda _: self._soon())
        self.live.propagating.connect(lambda on: self._deeds.extend(["step"] * on))
        self.live.finished.connect(self._on_finished)
        self.painted.message.connect(self.message.emit)
        self.painted.stroked.connect(lambda: self._deeds.append("stroke"))
        self.painted.adopted.connect(self._on_adopted)
        self.painted.released.connect(self.hint)
        self.painted.middle_wanted.connect(self.tools.drawings.use_painted)
        self.tools.message.connect(self.message.emit)
        self.live.entered.connect(self._on_entered)
        self.review.message.connect(self._say)
        self.review.chosen.connect(self.select)
        self.review.edited.connect(lambda: self._deeds.append("step"))
        self.editor.message.connect(self.message.emit)
        self.editor.stepped.connect(lambda: self._deeds.append("step"))
        self.editor.recoloured.connect(self._colour)
        self.editor.edited.connect(self._on_objects)
        self.image.events.data.connect(self._on_image_changed)
        self.viewer.layers.events.removed.connect(self._on_removed)

    def _soon(self) -> None:
        if not self._rows.isActive():
            self._rows.start(ROWS_MILLISECONDS)

    def _on_prompts(self, prompts: dict[Any, Any]) -> None:
        before = None if self.session is None else self.session.annotation
        if self.session is not None and self.editor.refuses(prompts):
            self.prompts.show(self.session.book)
            return
        self.live.set_prompts(prompts)
        if self.session is not None and self.session.annotation is not before:
            self._deeds.append("step")
            self.hint()
        if self.prompts.elsewhere:
            text = f"{self.prompts.elsewhere} clicks lie at another depth, time or channel."
            here = ("Work where the sliders are", self.here_requested.emit)
            self.message.emit(Message(text, "note", (here,)))
        self.rows_changed.emit()

    def _travel(self, go: Callable[[], bool]) -> bool:
        """Undo or redo a step of the session; False where there is none."""
        left, chosen = self.live.annotation, self.objects.selected
        if not go():
            return False
        self.editor.travelled(left)
        self._show_prompts() if self.objects.selected == chosen else self._on_objects()
        self.tools.drawings.travelled(left)
        return True

    def _on_objects(self) -> None:
        """Go on after objects came or went."""
        self._show_prompts()
        if not self.objects.names:
            self.objects.add(self._taken())
        self.select(self.objects.selected)

    def _on_adopted(self, object_ids: Iterable[int]) -> None:
        """Take up the objects whose labels become prompts."""
        self.objects.include(object_ids)
        self.select(self.objects.selected)

    def _on_entered(self) -> None:
        """Show prompts in the layers that did not come from there."""
        self._deeds.append("step")
        self._show_prompts()

    def _on_finished(self, done: int, cancelled: bool) -> None:
        if self.session is not None and done:
            doubtful = len(self.review.places())
            text = outcome(self.session, self.unit, doubtful=doubtful, cancelled=cancelled)
            self._say(text)

    def _on_image_changed(self, event: Any = None) -> None:
        self.closed.emit(f"The pixels of {self.image.name} changed, so segmenting it has ended.")

    def _on_removed(self, event: Any) -> None:
        if event.value is self.prompts.shapes:
            self.prompts.forget_boxes()
        elif event.value in (self.image, self.labels, self.prompts.points):
            ended = "the propagation was stopped and " if self.live.is_propagating else ""
            self.closed.emit(
                f"The layer {event.value.name} was deleted: {ended}segmenting "
                f"{self.image.name} has ended. The other layers are kept."
            )

    def hint(self) -> None:
        """Say what to do next."""
        self._say(next_step(self.session, self.objects.names, self.unit))

    def _say(self, text: str) -> None:
        self.message.emit(Message(text))

    def _show_prompts(self) -> None:
        if self.session is not None:
            self.objects.include(self.session.object_ids)
            self.prompts.show(self.session.book)
        self.rows_changed.emit()
        self.hint()

    def _colour(self) -> None:
        if self.own_labels:
            colour_labels(self.labels, self.objects.colours())
        self.prompts.style()

    def _taken(self) -> list[int]:
        """Return ids that a user's layer holds, so that new objects get others."""
        return [] if self.own_labels else [highest_label(self.labels, self.live.writer)]
