"""A session wired to the layers of one image, and to the thread that computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_surgisam.data.prompts import AnyPrompt, MaskPrompt, ObjectId, Prompt
from napari_surgisam.engine.settings import EngineSettings
from napari_surgisam.errors import PromptError, SurgisamError
from napari_surgisam.plugin import session_jobs
from napari_surgisam.plugin.layer_reading import Key, layer_frames, shown_frame
from napari_surgisam.plugin.layers import LabelsWriter
from napari_surgisam.plugin.preferences import update_rule
from napari_surgisam.plugin.readiness import Readiness
from napari_surgisam.plugin.runner import JobThread, RunningJob
from napari_surgisam.plugin.said_prompts import SaidPrompts
from napari_surgisam.plugin.session_jobs import FramePainted, SessionOpened

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.engine.embeddings import EmbeddingCache
    from napari_surgisam.engine.plan import Plan, Span
    from napari_surgisam.engine.session import Session
    from napari_surgisam.plugin.advanced_panel import Settings
    from napari_surgisam.plugin.grid import FrameGrid
    from napari_surgisam.plugin.session_opening import OpenedSession

REPAINTED = 64
"""Frames that are painted anew before a click that came meanwhile is answered."""


class LiveSession(QObject):
    """Prompts in, masks into the Labels layer, without the window waiting for either.

    Parameters
    ----------
    viewer : ViewerModel
    image : Image
    grid : FrameGrid
    labels : Labels
    thread : JobThread
        Shared with the sessions before it, so that PyTorch's threads stay warm.
    cache : callable
        Returns the cache of embeddings, which outlives the session too.
    """

    opened = Signal()
    painted = Signal(int)  # frame
    edited = Signal()  # prompts or masks changed
    entered = Signal()  # prompts that the layers do not show yet
    failed = Signal(object)  # SurgisamError
    progressed = Signal(object)  # FramePainted
    propagating = Signal(bool)
    finished = Signal(int, bool)  # frames done, cancelled; not after an error
    ready_changed = Signal(str)  # "waiting", "embedding", "ready"
    moved = Signal()  # the sliders
    blocked = Signal(int, object)  # frame, labels that a person painted and that stay

    def __init__(
        self,
        viewer: ViewerModel,
        image: Image,
        grid: FrameGrid,
        labels: Labels,
        thread: JobThread,
        cache: Callable[[], EmbeddingCache],
    ) -> None:
        super().__init__()
        self.viewer, self.image, self.grid = viewer, image, grid
        self.writer = LabelsWriter(viewer, labels, image, grid)
        self.session: Session | None = None
        self.restored: OpenedSession | None = None
        self.device, self.engine, self.sha256 = "", EngineSettings(), ""
        self._thread, self._cache = thread, cache
        self._said = SaidPrompts()
        self._loading: RunningJob | None = None
        self._propagation: RunningJob | None = None
        self._readiness = Readiness(self, thread)
        self._readiness.changed.connect(self.ready_changed.emit)
        self._readiness.failed.connect(self.failed.emit)
        viewer.dims.events.point.connect(self._on_moved)
        self.writer.watch()

    # -- what there is

    @property
    def annotation(self) -> Annotation | None:
        """Prompts and masks of this moment, or None before the model is loaded."""
        return None if self.session is None else self.session.annotation

    @property
    def is_propagating(self) -> bool:
        """Whether a propagation waits or runs."""
        return self._propagation is not None

    @property
    def frame(self) -> int | None:
        """The frame on screen, or None where another plane is shown."""
        return shown_frame(self.viewer, self.image, self.grid)

    # -- what is asked

    def open(self, model: str, settings: Settings) -> None:
        """Load a model in the background; prompts and visible masks carry over."""
        self.cancel()
        if self._loading is not None:
            self._loading.cancel()
        self.ready_changed.emit("waiting")
        self._loading = self._thread.run(
            session_jobs.open_session(
                model,
                settings,
                lambda: layer_frames(self.image, self.grid, settings.window),
                self._cache,
                self.session,
                self.frame or 0,
                self.restored,
            ),
            on_event=self._on_opened,
            on_error=self.failed.emit,
        )

    def set_prompts(self, prompts: Mapping[Key, Prompt]) -> None:
        """Take what the layers say; frames that changed are segmented at once.

        One more point refines the mask that is shown; anything else asks anew. During a
        propagation that stops it, and what it has done is kept.
        """
        self._said.wanted = dict(prompts)
        if self.session is None:
            return
        try:
            frames = self._said.tell(self.session)
        except PromptError as error:
            self.failed.emit(error)
            return
        if frames:
            self.cancel()
            self._answer(frames)

    def use_painted(self, frame: int, object_ids: Iterable[int]) -> None:
        """Make a frame's labels, as they are in the layer, prompts of their objects."""
        labels = self.writer.read(frame)
        self.enter(MaskPrompt(ObjectId(i), frame, labels == i) for i in sorted(object_ids))

    def enter(self, prompts: Iterable[AnyPrompt]) -> bool:
        """Set prompts that no layer says yet, as one step; False where nothing changed."""
        prompts, before = list(prompts), self.annotation
        if self.session is None:
            return False
        try:
            self.session.set_prompts(prompts)
        except SurgisamError as error:
            self.failed.emit(error)
        if self.annotation is before:
            return False
        self._said.take_over(self.session)
        self.cancel()
        self._answer({prompt.frame for prompt in prompts})
        self.entered.emit()
        return True

    def overwrite_painted(self, frame: int) -> None:
        """Show the model's masks on a frame that a person painted."""
        self.writer.ledger.release(frame, self.writer.read(frame))
        self._paint([frame])

    def propagate(
        self, plan: Plan, object_ids: Iterable[ObjectId] | None = None, *, anew: bool = False
    ) -> None:
        """Carry the prompts through the frames of a plan: what is out of date, or all anew."""
        if self.session is not None:
            chosen = None if object_ids is None else tuple(object_ids)
            update = None if anew else update_rule()
            self._start(session_jobs.propagate(self.session, plan, chosen, update))

    def label_classes(self, objects: Mapping[ObjectId, str], span: Span) -> None:
        """Find objects by the names of their classes on the frames of a span."""
        if self.session is not None:
            self._start(session_jobs.label_classes(self.session, objects, span))

    def _start(self, job: Generator[FramePainted, None, None]) -> None:
        if self.is_propagating:
            return
        self._propagation = self._thread.run(
            job, on_event=self._on_step, on_error=self._on_broken, on_end=self._on_propagated
        )
        self._done, self._broken = 0, False
        self.propagating.emit(True)

    def cancel(self) -> None:
        """Stop the propagation at its next frame; what it has done is kept."""
        if self._propagation is not None:
            self._propagation.cancel()

    def edit(self, change: Callable[[Session], object], *, stop: bool = True) -> bool:
        """Change the session; False where nothing changed. It stops a propagation, if told so."""
        before = self.annotation
        if self.session is not None:
            change(self.session)
        if before is None or self.annotation is before:
            return False
        if stop:
            self.cancel()
        self._repaint(before)
        return True

    def rewrite(self, change: Callable[[Session], object]) -> bool:
        """Change prompts otherwise than by the layers, which are to show them; see `edit`."""
        if not self.edit(change) or self.session is None:
            return False
        self._said.take_over(self.session)
        if waiting := _waiting(self.session):  # an undo may lead to before an answer came
            self._answer(waiting)
        return True

    def undo(self) -> bool:
        """Take back the last step, a whole propagation for instance."""
        return self.rewrite(lambda session: session.undo())

    def redo(self) -> bool:
        """Take back the last undo."""
        return self.rewrite(lambda session: session.redo())

    def pause(self) -> None:
        """Leave the sliders alone for a while: another image is being worked on."""
        self.cancel()
        self._readiness.pause()
        self.viewer.dims.events.point.disconnect(self._on_moved)

    def resume(self) -> None:
        """Follow the sliders again."""
        self.viewer.dims.events.point.connect(self._on_moved)
        self._on_moved()

    def close(self) -> None:
        """End what runs, and stop listening; the layers stay."""
        self.cancel()
        if self._loading is not None:
            self._loading.cancel()
        self._readiness.close()
        self.viewer.dims.events.point.disconnect(self._on_moved)
        self.blockSignals(True)
        self.session = None

    # -- what comes back, in the thread of the window

    def _on_opened(self, event: SessionOpened) -> None:
        known, first = event.session.annotation, self.session is None
        self.session, self.device, self.engine = event.session, event.device, event.engine
        self.sha256 = event.sha256 or self.sha256
        self._said.take(known.book.entries)
        self.opened.emit()
        if self._said.wanted != self._said.known:
            self.set_prompts(self._said.wanted)
        waiting = _waiting(self.session) if first else set()
        if shown := waiting | {f for _, f in known.book.entries if f == self.frame}:
            self._answer(shown)
        self._readiness.embed()
        self.edited.emit()

    def _on_step(self, event: FramePainted) -> None:
        self._done = event.done
        self._on_painted(event)
        self.progressed.emit(event)

    def _on_painted(self, event: FramePainted) -> None:
        self.writer.write(event.frame, event.labels)
        self.painted.emit(event.frame)

    def _on_broken(self, error: SurgisamError) -> None:
        self._broken = True
        self.failed.emit(error)

    def _on_propagated(self) -> None:
        running, self._propagation = self._propagation, None
        self.propagating.emit(False)
        self.edited.emit()
        if not self._broken:
            self.finished.emit(self._done, running is not None and running.cancelled)
        self._on_moved()

    def _on_moved(self, event: Any = None) -> None:
        self.writer.watch()
        self._readiness.check()
        self.moved.emit()

    # -- steps of several methods

    def _answer(self, frames: set[int]) -> None:
        session = self.session
        if session is None:
            return
        ordered = sorted(frames, key=lambda f: (f != self.frame, f))
        self._thread.run(
            session_jobs.segment_frames(session, ordered),
            on_event=self._on_answered,
            on_error=self.failed.emit,
            on_end=self._on_settled,
        )
        self.edited.emit()

    def _on_answered(self, event: FramePainted) -> None:
        self._on_painted(event)
        asked = self._said.on(event.frame)
        kept = self.writer.ledger.painted.get(event.frame, frozenset()) & asked
        if kept:
            self.blocked.emit(event.frame, frozenset(kept))

    def _on_settled(self) -> None:
        self.edited.emit()
        self._on_moved()

    def _paint(self, frames: Iterable[int]) -> None:
        session = self.session
        ordered = sorted(frames, key=lambda f: (f != self.frame, f))
        part, later = ordered[:REPAINTED], ordered[REPAINTED:]  # a click need not wait for all
        if session is not None and part:
            self._thread.run(
                session_jobs.paint_frames(session, part),
                on_event=self._on_painted,
                on_error=self.failed.emit,
                on_end=(lambda: self._paint(later)) if later else self.writer.redraw,
            )

    def _repaint(self, before: Annotation) -> None:
        if self.session is not None:
            self._paint(session_jobs.changed_frames(before, self.session.annotation))
        self.edited.emit()


def _waiting(session: Session) -> set[int]:
    """Return the frames with prompts that have no answer yet."""
    known = session.annotation
    return {frame for k, frame in known.book.entries if known.draft(k, frame)}
