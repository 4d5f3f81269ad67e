"""How far a job is, how fast, how long it still takes, and a button that stops it."""

from __future__ import annotations

from collections import deque
from time import monotonic

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

RATE_EVENTS = 20
"""Events over which the rate is averaged."""


REDRAW_SECONDS = 0.1
"""Shortest time between two changes of the row: a fast job must not cost its own time."""


class ProgressRow(QWidget):
    """A progress bar with rate and time left; hidden while nothing runs."""

    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setMaximumHeight(8)
        self._text = QElidingLabel()
        self._cancel = QPushButton("Cancel")
        self._cancel.setToolTip("Stop at the next frame and keep what is done (Esc)")
        self._cancel.clicked.connect(lambda _=False: self.cancelled.emit())
        row = QHBoxLayout()
        row.addWidget(self._text, stretch=1)
        row.addWidget(self._cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._bar)
        layout.addLayout(row)
        self._times: deque[tuple[int, float]] = deque(maxlen=RATE_EVENTS)
        self._drawn = 0.0
        self.hide()

    @property
    def text(self) -> str:
        """The sentence beside the bar."""
        return str(self._text.text())

    def begin(self, text: str) -> None:
        """Show that a job started; its length is not known yet."""
        self._times.clear()
        self._drawn = 0.0
        self._bar.setRange(0, 0)
        self._text.setText(text)
        self._cancel.setEnabled(True)
        self.show()

    def advance(self, what: str, done: int, total: int, *, seconds: float | None = None) -> None:
        """Show a step.

        Parameters
        ----------
        what : str
            For example "frame 612".
        done, total : int
        seconds : float, optional
            When the step ended; now, unless told.
        """
        now = monotonic() if seconds is None else seconds
        self._times.append((done, now))
        if done < total and now - self._drawn < REDRAW_SECONDS:
            return
        self._drawn = now
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        parts = [what]
        (first, _), elapsed = self._times[0], now - self._times[0][1]
        if done > first and elapsed > 0:
            rate = (done - first) / elapsed
            parts += [_rate(rate), f"{_clock((total - done) / rate)} left"]
        self._text.setText(" · ".join(parts))

    def stopping(self) -> None:
        """Show that the job was asked to stop."""
        self._cancel.setEnabled(False)
        self._text.setText("stopping after this frame …")

    def end(self) -> None:
        """Hide the row."""
        self.hide()


def _rate(rate: float) -> str:
    if rate >= 10:
        return f"{rate:.0f}/s"
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
