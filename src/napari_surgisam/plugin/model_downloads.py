"""Bring a model to this machine while the person goes on working."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_surgisam.jobs import Event
from napari_surgisam.plugin.progress_row import ProgressRow
from napari_surgisam.plugin.runner import JobThread, RunningJob


class ModelDownloads(QObject):
    """Fetches and imports models, one at a time, in a thread of its own."""

    began = Signal(str)  # what
    progressed = Signal(str, object)  # what, Event in bytes
    arrived = Signal(str)  # name of a model that can be used now
    failed = Signal(object)  # SurgisamError
    ended = Signal()

    def __init__(self, thread: JobThread) -> None:
        super().__init__()
        self._thread = thread
        self._running: RunningJob | None = None

    def show_on(self, progress: ProgressRow) -> None:
        """Let a row of progress follow every download."""
        self.began.connect(progress.begin)
        self.progressed.connect(lambda what, event: progress.advance(what, event.done, event.total))
        self.ended.connect(progress.end)

    def fetch(self, name: str) -> None:
        """Download a model by name, or continue to."""
        from napari_surgisam.engine.models import fetch_job

        self._run(fetch_job(name), f"Fetching {name}", [name])

    def import_file(self, path: str) -> None:
        """Take up a model file that the user has."""
        name: list[str] = []

        def job() -> Generator[Event, None, None]:
            from napari_surgisam.engine.importing import import_checkpoint

            name.append(import_checkpoint(path).name)
            yield Event(done=1, total=1)

        self._run(job(), f"Importing {path}", name)

    def cancel(self) -> None:
        """Stop; what has arrived is kept for the next try."""
        if self._running is not None:
            self._running.cancel()

    def _run(self, job: Any, what: str, name: list[str]) -> None:
        last: list[Event] = []

        def on_event(event: Event) -> None:
            last[:] = [event]
            self.progressed.emit(what, event)

        def on_end() -> None:
            self._running = None
            self.ended.emit()
            if last and last[0].done >= last[0].total:
                self.arrived.emit(name[0])

        self.began.emit(f"{what} …")
        self._running = self._thread.run(
            job, on_event=on_event, on_error=self.failed.emit, on_end=on_end
        )
