"""Looking through the masks of one image, without a widget: doubtful places, and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_surgisam.data.curves import Curve, CurveReader
from napari_surgisam.data.doubtful_places import DoubtfulPlace, find_doubtful
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.errors import PromptError
from napari_surgisam.plugin.layers import show_frame
from napari_surgisam.plugin.live_session import LiveSession
from napari_surgisam.plugin.objects import Objects

if TYPE_CHECKING:
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.engine.session import Session


class Review(QObject):
    """What a person has looked at and accepted, and where to look next.

    Parameters
    ----------
    live : LiveSession
    objects : Objects
    unit : {"frame", "slice", "picture"}
    """

    message = Signal(str)
    chosen = Signal(int)  # object id: a doubtful place of it is shown
    edited = Signal()  # the session, by one step

    def __init__(self, live: LiveSession, objects: Objects, unit: str) -> None:
        super().__init__()
        self._live, self._objects, self._unit = live, objects, unit
        self._seen: set[tuple[ObjectId, int]] = set()
        self._reader: CurveReader | None = None
        self._known: tuple[Annotation | None, dict[ObjectId, Curve]] = (None, {})
        self._ranked: tuple[Annotation | None, list[DoubtfulPlace]] = (None, [])
        live.opened.connect(self._forget)
        live.propagating.connect(self._forget)

    # -- where to look

    def curves(self) -> dict[ObjectId, Curve]:
        """Return what is known of each object's masks at this moment."""
        session = self._live.session
        if session is None:
            return {}
        if self._reader is None:
            self._reader = CurveReader(len(session.frames), session.frames.shape)
        annotation = session.annotation
        if self._known[0] is not annotation:
            self._known = annotation, self._reader.read(annotation)
        return self._known[1]

    def places(self) -> list[DoubtfulPlace]:
        """Return the doubtful places of this moment, the worst first."""
        curves, annotation = self.curves(), self._live.annotation
        if self._ranked[0] is not annotation:
            session = self._live.session
            by_area = session is not None and not session.frames.temporal
            self._ranked = annotation, find_doubtful(curves.values(), by_area=by_area)
        return self._ranked[1]

    def next_doubtful(self) -> None:
        """Show the worst place that was not shown since the last propagation."""
        places = self.places()
        if not places:
            self.message.emit(f"No doubtful {self._unit} among those that nobody has checked.")
            return
        unseen = [p for p in places if not any((p.object_id, f) in self._seen for f in p.frames)]
        if not unseen:
            self._seen.clear()
        place = (unseen or places)[0]
        self._seen.add((place.object_id, place.frame))
        self.chosen.emit(place.object_id)
        self.show_frame(place.frame)
        self.message.emit(self._describe(place, len(unseen) - 1 if unseen else None))

    def show_frame(self, frame: int) -> None:
        """Move the slider to a frame."""
        show_frame(self._live.viewer, self._live.image, self._live.grid, frame)

    # -- verdicts on a span

    def accept(self, object_ids: Sequence[ObjectId], frames: range) -> None:
        """Lock the masks of a span: no propagation changes them."""
        self._edit(
            lambda session: session.accept(object_ids, frames),
            f"{self._span(frames)} accepted: no propagation changes them. Ctrl+Z takes it back.",
            f"There is nothing to accept on {self._span(frames)}: propagate first.",
        )

    def reopen(self, object_ids: Sequence[ObjectId], frames: range) -> None:
        """Let propagations change the masks of a span again."""
        self._edit(
            lambda session: session.reopen(object_ids, frames),
            f"{self._span(frames)} open again.",
            f"Nothing is accepted on {self._span(frames)}.",
        )

    def clear(self, object_ids: Sequence[ObjectId], frames: range) -> None:
        """Remove the masks of a span, but for prompted and accepted ones."""
        self._edit(
            lambda session: session.clear(object_ids, frames),
            f"{self._span(frames)} cleared, but for what was clicked or accepted. "
            "Ctrl+Z brings the masks back.",
            f"There is nothing to clear on {self._span(frames)}: what was clicked or accepted "
            "stays.",
        )

    def _edit(self, change: Callable[[Session], object], done: str, nothing: str) -> None:
        try:
            changed = self._live.edit(change)
        except PromptError as error:  # an object is locked
            self.message.emit(str(error))
            return
        if changed:
            self.edited.emit()
        self.message.emit(done if changed else nothing)

    # -- in words

    def _describe(self, place: DoubtfulPlace, left: int | None) -> str:
        curve = self.curves()[place.object_id]
        name = self._objects.names.get(place.object_id, f"object {place.object_id}")
        text = f"{name}, {self._unit} {place.frame:,}: predicted IoU {curve.iou[place.frame]:.2f}. "
        if len(place.frames) > 1:
            text += f"A click here helps {self._span(place.frames).lower()}. "
        if left is None:
            return f"{text}This is the worst place again: all were shown."
        return f"{text}Click to correct, or accept the span; N goes on" + (
            f" ({left:,} more)." if left else "."
        )

    def _span(self, frames: range) -> str:
        unit = self._unit.capitalize()
        if len(frames) == 1:
            return f"{unit} {frames[0]:,}"
        return f"{unit}s {frames[0]:,}–{frames[-1]:,}"

    def _forget(self, _: object = None) -> None:
        self._seen.clear()
