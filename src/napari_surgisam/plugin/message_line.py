"""One line under the widget: what to do next, or what went wrong and a button that helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

ERROR_COLOUR = "#ff6b6b"
NOTE_COLOUR = "#f2b84b"


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence for the user.

    Parameters
    ----------
    text : str
        What happened, where, what can be done.
    kind : {"status", "note", "error"}
    remedies : sequence of (str, callable)
        Buttons that do what can be done.
    """

    text: str
    kind: str = "status"
    remedies: Sequence[tuple[str, Callable[[], None]]] = ()


class MessageLine(QWidget):
    """Shows the latest `Message`; an error stays until something else succeeds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._buttons = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._label)
        layout.addLayout(self._buttons)
        self.message = Message("")

    def show_message(self, message: Message) -> None:
        """Show a message in place of the last one."""
        self.message = message
        colour = {"error": ERROR_COLOUR, "note": NOTE_COLOUR}.get(message.kind)
        self._label.setStyleSheet(f"color: {colour};" if colour else "")
        self._label.setText(message.text)
        self.setVisible(bool(message.text))
        while (item := self._buttons.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()  # it is drawn until Qt deletes it
                widget.deleteLater()
        for text, remedy in message.remedies:
            button = QPushButton(text)
            button.clicked.connect(lambda _=False, remedy=remedy: remedy())
            self._buttons.addWidget(button)
        if message.remedies:
            self._buttons.addStretch()
