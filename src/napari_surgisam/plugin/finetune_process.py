"""`surgisam finetune` in a process of its own: the viewer outlives whatever happens to it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, QTimer, Signal

PATIENCE_MS = 4000
"""How long a process that was asked to end may take before it is killed."""


class TuningProcess(QObject):
    """Runs the command, and passes on the events that it writes.

    A process of its own costs a few seconds to start. It gives back all its memory, cannot
    slow down the window by Python's lock, and may be killed by the system.
    """

    told = Signal(dict)  # an event of `surgisam finetune --events -`
    ended = Signal(str)  # why it failed; empty where it did not, or was cancelled

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.cancelled = False
        self._failure = ""
        self._words = bytearray()
        self._line = bytearray()
        self._process: Any = None

    @property
    def running(self) -> bool:
        """Whether the process has been started, and has not ended."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Number of the process; 0 where none runs."""
        return int(self._process.processId()) if self._process is not None else 0

    def start(self, arguments: Sequence[str]) -> None:
        """Run ``surgisam finetune`` with arguments; one at a time."""
        if self._process is not None:
            return
        self.cancelled, self._failure = False, ""
        self._words.clear()
        self._line.clear()
        process = self._process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONUNBUFFERED", "1")
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._hear)
        process.finished.connect(self._finish)
        process.errorOccurred.connect(self._fail_to_start)
        command = ["-m", "napari_surgisam", "finetune", *arguments, "--events", "-", "--quiet"]
        process.start(sys.executable, command)

    def cancel(self) -> None:
        """Ask the process to end, then make it; the best weights stay."""
        if self._process is None:
            return
        self.cancelled = True
        self._process.terminate()
        QTimer.singleShot(PATIENCE_MS, partial(self._kill, self._process))

    def close(self) -> None:
        """End the process now, and tell nobody."""
        process, self._process = self._process, None
        if process is None:
            return
        for signal in (process.finished, process.errorOccurred):
            signal.disconnect()
        process.kill()
        process.waitForFinished(2000)

    def _kill(self, process: Any) -> None:
        if self._process is process:
            process.kill()

    def _read(self) -> None:
        if self._process is None:
            return
        self._line += bytes(self._process.readAllStandardOutput())
        *lines, rest = self._line.split(b"\n")
        self._line = bytearray(rest)
        for line in lines:
            event = _event(bytes(line))
            if event.get("event") == "failed":
                self._failure = str(event.get("message", ""))
            if event:
                self.told.emit(event)

    def _hear(self) -> None:
        if self._process is not None:
            self._words += bytes(self._process.readAllStandardError())
            del self._words[:-4000]

    def _finish(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read()
        self._hear()
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        if self.cancelled or (code == 0 and status == QProcess.ExitStatus.NormalExit):
            reason = ""
        elif self._failure:
            reason = self._failure
        elif status == QProcess.ExitStatus.CrashExit:
            reason = (
                "The training process was killed, perhaps because the memory ran out. Use a "
                "smaller image size or base model, or the recipe decoder-only."
            )
        else:
            words = self._words.decode(errors="replace").strip().splitlines()
            reason = f"The training process ended with code {code}: {words[-1] if words else '?'}"
        self.ended.emit(reason)

    def _fail_to_start(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            why = self._process.errorString()
            self._process = None
            self.ended.emit(f"The training process could not be started: {why}.")


def _event(line: bytes) -> dict[str, Any]:
    """Return the event of a line; nothing for words that a library printed between."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
