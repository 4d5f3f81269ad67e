"""Saves a session while it is being worked on, in a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Event, Thread
from time import monotonic

from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_state import SessionState

SECONDS = 2.0
"""Between two saves, at least; what a kill can cost is this and the time of one save."""

LOG = logging.getLogger(__name__)


class Autosaver:
    """Saves what changed, soon after it changed.

    Parameters
    ----------
    folder : SessionFolder
    snapshot : callable
        Returns the state of this moment, or None where nothing is worth saving; it is called
        in the saver's thread.
    seconds : float
    on_saved : callable, optional
        Called after each save, in the saver's thread.
    on_failed : callable, optional
        Receives the `SurgisamError` of a save that failed; the next change tries again.
    """

    def __init__(
        self,
        folder: SessionFolder,
        snapshot: Callable[[], SessionState | None],
        seconds: float = SECONDS,
        on_saved: Callable[[], None] = lambda: None,
        on_failed: Callable[[SurgisamError], None] = lambda error: None,
    ) -> None:
        self.folder = folder
        self._snapshot, self._seconds = snapshot, seconds
        self._on_saved, self._on_failed = on_saved, on_failed
        self._changed, self._ended = Event(), Event()
        self._thread = Thread(target=self._work, name="surgisam-autosave", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """Say that there is something new to save."""
        self._changed.set()

    def close(self, *, save: bool = True) -> None:
        """End the thread, and save what is not saved yet; the folder stays open.

        Raises
        ------
        DataError
            If the last save fails.
        """
        self._ended.set()
        waiting = self._changed.is_set()
        self._changed.set()
        self._thread.join()
        if save and waiting:
            self._save()

    def _work(self) -> None:
        while self._changed.wait() and not self._ended.is_set():
            self._changed.clear()
            started = monotonic()
            try:
                self._save()
            except SurgisamError as error:
                self._on_failed(error)
            except Exception as error:
                LOG.exception("A session was not saved")
                self._on_failed(DataError(f"The session was not saved: {error}."))
            self._ended.wait(max(started + self._seconds - monotonic(), 0))

    def _save(self) -> None:
        state = self._snapshot()
        if state is not None:
            self.folder.save(state)
            self._on_saved()
