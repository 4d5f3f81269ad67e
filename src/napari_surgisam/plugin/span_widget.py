"""Which frames to propagate through."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget
from superqt import QLabeledRangeSlider

from napari_surgisam.engine.plan import Span


class SpanWidget(QWidget):
    """A range slider over the frames of a source; edits a `Span` and knows nothing else."""

    value_changed = Signal(object)  # Span

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QLabeledRangeSlider(Qt.Orientation.Horizontal)
        self._slider.setToolTip("Only these frames are computed; the others keep what they have.")
        self._all = QPushButton("all")
        self._all.setToolTip("Take every frame")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, stretch=1)
        layout.addWidget(self._all)
        self._slider.valueChanged.connect(lambda _: self.value_changed.emit(self.value()))
        self._all.clicked.connect(self.reset)
        self.set_length(1)

    @property
    def length(self) -> int:
        """Number of frames in the source."""
        return int(self._slider.maximum()) + 1

    def set_length(self, length: int) -> None:
        """Take a source of another length: all its frames are chosen."""
        with QSignalBlocker(self._slider):
            self._slider.setRange(0, max(length - 1, 1))
            self._slider.setValue((0, max(length - 1, 1)))
        self._length = length
        self.setEnabled(length > 1)
        self.value_changed.emit(self.value())

    def value(self) -> Span:
        """Return the chosen frames."""
        first, last = (int(v) for v in self._slider.value())
        return Span() if (first, last) == (0, self.length - 1) else Span(first, last + 1)

    def set_value(self, span: Span) -> None:
        """Choose frames."""
        frames = span.frames(self.length)
        if frames:
            self._slider.setValue((frames[0], frames[-1]))

    def reset(self) -> None:
        """Choose all frames."""
        self.set_value(Span())
