"""Under which name the work is saved, and how long ago."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMenu, QToolButton, QWidget


class SessionRow(QWidget):
    """Shows a session's name; asks for saving and opening in the words of the user."""

    save_wanted = Signal()
    save_as_wanted = Signal()
    open_wanted = Signal()
    resume_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel()
        self.save_button = QToolButton()
        self.save_button.setText("Save")
        self.save_button.setToolTip("Save clicks, masks and settings, to go on another day")
        self.save_button.clicked.connect(lambda _=False: self.save_wanted.emit())
        more = QToolButton()
        more.setText("⋯")
        more.setToolTip("Open a session, save under another name")
        menu = QMenu(self)
        menu.addAction("Open session…").triggered.connect(lambda _=False: self.open_wanted.emit())
        self.save_as = menu.addAction("Save session as…")
        self.save_as.triggered.connect(lambda _=False: self.save_as_wanted.emit())
        self.resume = menu.addAction("Resume last session")
        self.resume.setToolTip("What was not closed properly, as it was saved by itself")
        self.resume.triggered.connect(lambda _=False: self.resume_wanted.emit())
        menu.setToolTipsVisible(True)
        more.setMenu(menu)
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label, stretch=1)
        layout.addWidget(self.save_button)
        layout.addWidget(more)
        self.show_name("", "", possible=False)

    def show_name(self, name: str, where: str, *, possible: bool = True) -> None:
        """Show a name and, in the tooltip, where it is.

        Parameters
        ----------
        name : str
            Empty where there is none yet.
        where : str
        possible : bool
            Whether there is anything to save.
        """
        self.label.setText(name or "not saved yet")
        self.label.setToolTip(where)
        self.save_button.setEnabled(possible)
        self.save_as.setEnabled(possible)

    def offer_resuming(self, offered: bool) -> None:
        """Say whether there is a session that was not closed properly."""
        self.resume.setEnabled(offered)
