"""Searches for an object that was lost, and shows where it may be again until that is confirmed."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_surgisam.plugin.layers import show_frame
from napari_surgisam.plugin.message_line import Message

if TYPE_CHECKING:
    from napari_surgisam.data.prompts import ObjectId, PromptBook
    from napari_surgisam.engine.finding import FrameSearched, Sighting
    from napari_surgisam.engine.session import Session
    from napari_surgisam.errors import SurgisamError
    from napari_surgisam.plugin.live_session import LiveSession
    from napari_surgisam.plugin.objects import Objects
    from napari_surgisam.plugin.prompt_layers import PromptLayers
    from napari_surgisam.plugin.runner import JobThread, RunningJob


class Finder(QObject):
    """A search forward from the frame that is shown; a person's edit or Esc ends it.

    Parameters
    ----------
    live : LiveSession
    prompts : PromptLayers
    objects : Objects
    unit : {"frame", "slice", "picture"}
    thread : JobThread
    """

    message = Signal(object)  # Message
    running_changed = Signal(bool)
    progressed = Signal(object)  # FrameSearched

    def __init__(
        self,
        live: LiveSession,
        prompts: PromptLayers,
        objects: Objects,
        unit: str,
        thread: JobThread,
    ) -> None:
        super().__init__()
        self._live, self._prompts, self._objects, self._unit = live, prompts, objects, unit
        self._thread = thread
        self._job: RunningJob | None = None
        self._best: Sighting | None = None
        self._broken = False
        self._book: PromptBook | None = None  # the prompts that were there when it began
        live.edited.connect(self._on_edited)

    @property
    def running(self) -> bool:
        """Whether a search waits or runs."""
        return self._job is not None

    def find(self) -> None:
        """Search for the selected object on the frames from the one that is shown on.

        Where a proposal is shown, it is dropped, and the search goes on behind it.
        """
        session, frame, object_id = self._live.session, self._live.frame, self._objects.selected
        if self.running or session is None or frame is None or object_id is None:
            self._say("A search is running; Esc stops it." if self.running else "Not yet ready.")
            return
        if self._live.is_propagating:
            self._say("A propagation is running: stop it first (Esc).")
            return
        start = frame + 1 if self._prompts.drop_proposals((object_id, frame)) else frame
        self._best, self._broken, self._book = None, False, session.book
        self._job = self._thread.run(
            _search(session, object_id, start),
            on_event=self._on_searched,
            on_error=self._on_broken,
            on_end=lambda: self._on_end(object_id),
        )
        self.running_changed.emit(True)

    def cancel(self) -> bool:
        """Stop a search at its next frame; False where none runs."""
        if self._job is None:
            return False
        self._job.cancel()
        return True

    def confirm(self) -> None:
        """Make the proposals on the frame that is shown clicks of their objects."""
        frame = self._live.frame
        if frame is None or not self._prompts.confirm_proposals(frame):
            self._say(f"No place is proposed on this {self._unit}: F searches for the object.")
            return
        self._prompts.read()

    def _on_searched(self, event: FrameSearched) -> None:
        self._best = event.best
        self.progressed.emit(event)

    def _on_broken(self, error: SurgisamError) -> None:
        self._broken = True
        self.message.emit(Message(str(error), "error"))

    def _on_end(self, object_id: ObjectId) -> None:
        job, self._job = self._job, None
        self.running_changed.emit(False)
        name = self._objects.names.get(object_id, f"object {object_id}")
        best = self._best
        if self._broken or best is None or object_id not in self._objects:
            return
        if job is not None and job.cancelled and not best.sure:
            self._say(f"Stopped searching for {name}.")
        elif best.sure:
            self._propose(object_id, name, best)
        else:
            text = (
                f"No {self._unit} looks enough like {name}; nearest is {self._unit} "
                f"{best.frame:,} (similarity {best.similarity:.2f}, {best.margin:+.2f} against its "
                "surroundings)."
            )
            show = ("Show it", lambda: self._propose(object_id, name, best))
            self.message.emit(Message(text, "note", (show,)))

    def _propose(self, object_id: ObjectId, name: str, best: Sighting) -> None:
        show_frame(self._live.viewer, self._live.image, self._live.grid, best.frame)
        self._prompts.propose(object_id, best.frame, best.point)
        text = (
            f"{name} may be back on {self._unit} {best.frame:,}, at the star (similarity "
            f"{best.similarity:.2f}, {best.margin:+.2f} against its surroundings). Move it if it "
            "lies beside, then confirm (Y), or search on (F)."
        )
        remedies = (
            ("Confirm", self.confirm),
            ("Search on", self.find),
            ("Discard", lambda: self._discard(object_id, best.frame)),
        )
        self.message.emit(Message(text, "note", remedies))

    def _discard(self, object_id: ObjectId, frame: int) -> None:
        self._prompts.drop_proposals((object_id, frame))
        self._say("The proposal is gone.")

    def _on_edited(self) -> None:
        session = self._live.session
        if session is None or session.book is not self._book:
            self.cancel()

    def _say(self, text: str) -> None:
        self.message.emit(Message(text))


def _search(
    session: Session, object_id: ObjectId, start: int
) -> Generator[FrameSearched, None, None]:
    """Search the frames from `start` on where the object has no mask, or a doubtful one."""
    from napari_surgisam.engine.finding import find_again, frames_without, known_masks

    annotation, shape = session.annotation, session.frames.shape
    known = known_masks(annotation, object_id, start, shape)
    frames = frames_without(annotation, object_id, start, len(session.frames), shape)
    yield from find_again(session.tracker, session.frames, known, frames)
