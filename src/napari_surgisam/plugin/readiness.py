"""Whether a click on the frame that is shown would be answered at once, and seeing to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_surgisam.plugin import session_jobs
from napari_surgisam.plugin.runner import JobThread, RunningJob

if TYPE_CHECKING:
    from napari_surgisam.plugin.live_session import LiveSession

REST_MILLISECONDS = 150
"""How long the slider rests before the frame that it shows is embedded."""


class Readiness(QObject):
    """Embeds the frame on which the slider rests.

    Parameters
    ----------
    live : LiveSession
    thread : JobThread
    """

    changed = Signal(str)  # "waiting", "embedding", "ready"
    failed = Signal(object)  # SurgisamError

    def __init__(self, live: LiveSession, thread: JobThread) -> None:
        super().__init__()
        self._live, self._thread = live, thread
        self._job: RunningJob | None = None
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self.embed)

    def check(self) -> None:
        """Say whether the frame that is shown is ready; where it is not, embed it soon."""
        session, frame = self._live.session, self._live.frame
        if session is None or frame is None:
            self.changed.emit("waiting")
            return
        known = session.tracker.is_embedded(session.frames, frame)
        self.changed.emit("ready" if known else "waiting")
        if not known:
            self._rest.start(REST_MILLISECONDS)

    def embed(self) -> None:
        """Embed the frame that is shown now, unless something else is being computed."""
        session, frame = self._live.session, self._live.frame
        if session is None or frame is None or self._live.is_propagating:
            return
        if self._job is not None and self._job.running:
            self._rest.start(REST_MILLISECONDS)
            return
        if session.tracker.is_embedded(session.frames, frame):
            self.changed.emit("ready")
            return
        self.changed.emit("embedding")
        self._job = self._thread.run(
            session_jobs.embed_frame(session, frame),
            on_error=self.failed.emit,
            on_end=self.check,
        )

    def pause(self) -> None:
        """Start nothing until the next `check`."""
        self._rest.stop()

    def close(self) -> None:
        """End what runs, silently."""
        self._rest.stop()
        if self._job is not None:
            self._job.cancel()
        self.blockSignals(True)
