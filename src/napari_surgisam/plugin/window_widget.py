"""Which values of a grey image become black and white."""

from __future__ import annotations

from typing import Literal

from qtpy.QtCore import QLocale, Signal
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_surgisam.plugin.message_line import ERROR_COLOUR

Choice = Literal["shown", "auto"] | tuple[float, float]

TYPED = "typed"
WRONG = "The value shown as black must be the smaller one."


class WindowWidget(QWidget):
    """Edits a window: the layer's own, an automatic one, or two numbers.

    While the numbers are missing or in the wrong order, the last window stays.
    """

    value_changed = Signal(object)  # Choice

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kind = QComboBox()
        for text, kind in (
            ("as the layer shows it", "shown"),
            ("automatic", "auto"),
            ("from … to …", TYPED),
        ):
            self._kind.addItem(text, kind)
        self._kind.setToolTip(
            "Which values become black and white, for all frames alike. Automatic takes the "
            "0.5 to 99.5 percentile. Colour images are taken as they are."
        )
        self.low, self.high = QLineEdit(), QLineEdit()
        self._numbers = QWidget()
        row = QHBoxLayout(self._numbers)
        row.setContentsMargins(0, 0, 0, 0)
        for edit, text in ((self.low, "black"), (self.high, "white")):
            validator = QDoubleValidator(edit)
            validator.setLocale(QLocale.c())
            edit.setValidator(validator)
            edit.setPlaceholderText(text)
            edit.setToolTip(f"The value shown as {text}, for example −160 or 240 in CT")
            edit.editingFinished.connect(self._emit)
        row.addWidget(self.low)
        row.addWidget(QLabel("to"))
        row.addWidget(self.high)
        self._numbers.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._kind)
        layout.addWidget(self._numbers)
        self._value: Choice = "shown"
        self._kind.currentIndexChanged.connect(self._emit)

    def value(self) -> Choice:
        """Return the window."""
        return self._value

    def set_value(self, window: Choice) -> None:
        """Choose a window."""
        kind = window if isinstance(window, str) else TYPED
        if not isinstance(window, str):
            for edit, number in zip((self.low, self.high), window, strict=True):
                edit.setText(f"{number:g}")
        self._kind.setCurrentIndex(self._kind.findData(kind))
        self._emit()

    def _emit(self, _: int = 0) -> None:
        kind = self._kind.currentData()
        self._numbers.setVisible(kind == TYPED)
        window = self._typed() if kind == TYPED else kind
        if window is not None and window != self._value:
            self._value = window
            self.value_changed.emit(window)

    def _typed(self) -> tuple[float, float] | None:
        """Return the two numbers, or None where they are no window."""
        both = self.low.hasAcceptableInput() and self.high.hasAcceptableInput()
        low, high = (float(e.text()) for e in (self.low, self.high)) if both else (0.0, 0.0)
        wrong = both and low >= high
        self.high.setStyleSheet(f"border: 1px solid {ERROR_COLOUR};" if wrong else "")
        self.high.setToolTip(WRONG if wrong else "The value shown as white")
        return (low, high) if low < high else None
