"""How many suggestions there are, how sure they must be, and what becomes of them."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget


class SuggestionRow(QWidget):
    """Shows that objects are suggested; hidden while none are."""

    value_changed = Signal(float)  # the least score
    kept = Signal()
    dropped = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.least = QDoubleSpinBox()
        self.least.setRange(0.0, 1.0)
        self.least.setSingleStep(0.02)
        self.least.setToolTip(
            "How sure a suggestion must be: the IoU that the model predicts, times how stable the "
            "mask is"
        )
        self.keep_button, drop = QPushButton("Keep"), QPushButton("Drop all")
        self.keep_button.setToolTip("Make the suggestions that are coloured objects")
        drop.setToolTip("Take the suggestions away (nothing changes)")
        row = QHBoxLayout()
        row.addWidget(QLabel("at least"))
        row.addWidget(self.least)
        row.addStretch()
        row.addWidget(self.keep_button)
        row.addWidget(drop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(row)
        self.least.valueChanged.connect(self.value_changed.emit)
        self.keep_button.clicked.connect(lambda _=False: self.kept.emit())
        drop.clicked.connect(lambda _=False: self.dropped.emit())
        self.hide()

    def value(self) -> float:
        """Return the least score."""
        return float(self.least.value())

    def set_value(self, least: float) -> None:
        """Show another least score."""
        with QSignalBlocker(self.least):
            self.least.setValue(least)

    def show_counts(self, kept: int, found: int) -> None:
        """Say how many of the suggestions would be kept."""
        self.text.setText(
            f"{kept} of {found} suggestions are coloured. Click one to drop it, or to take it back."
        )
        self.keep_button.setText(f"Keep {kept}")
        self.keep_button.setEnabled(kept > 0)
        self.show()
