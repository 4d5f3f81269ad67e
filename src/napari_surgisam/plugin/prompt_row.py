"""Below the objects: what else can be said about the selected one on the frame that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QMenu, QToolButton, QWidget

from napari_surgisam.data.prompts import MASK_SIZES, MaskSize

SIZE_TIPS = {
    "auto": "the mask that the model trusts most",
    "small": "the smallest of the three masks that one click may mean, mostly a part",
    "medium": "the middle one, mostly the whole object",
    "large": "the largest one, mostly the object and what belongs to it",
}
DRAW = (
    ("Draw a box (B)", "box"),
    ("Draw a line along the object (L)", "scribble"),
    ("Draw a lasso around it (O)", "lasso"),
)
USE = (
    ("Use what is drawn: lines as clicks, areas as a mask (U)", "mask"),
    ("Use what is drawn: clicks inside areas", "inside"),
    ("Use what is drawn: clicks along the middle of areas", "middle"),
)
SOURCES = 30
"""Frames that the menu lists at most, the nearest ones."""

COPY_TIP = "Copy the object's prompt from the nearest prompted {unit} to this one (C)"
NO_COPY_TIP = "Copies the object's prompt from another {unit} (C): there is none yet"
NO_SIZE_TIP = "For an object with a single click on what is shown: which mask is meant (S)"


class PromptRow(QWidget):
    """Drawing, and the size of a click's mask; asks for changes and makes none."""

    size_chosen = Signal(str)  # MaskSize
    draw_wanted = Signal(str)  # "box", "scribble", "lasso"
    copy_wanted = Signal(object)  # frame to copy from; None is the nearest
    find_wanted = Signal()
    use_wanted = Signal(str)  # what areas become: "mask", "inside", "middle"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offered: tuple[object, ...] = ()
        self.size_box = QComboBox()
        for size in MASK_SIZES:
            self.size_box.addItem(size, size)
            tip = f"{size.capitalize()}: {SIZE_TIPS[size]}"
            self.size_box.setItemData(self.size_box.count() - 1, tip, 3)  # Qt.ToolTipRole
        self._size_label = QLabel("Mask size")
        self.draw_button = QToolButton()
        self.draw_button.setText("Draw")
        self.draw_button.setToolTip("Draw a box, a line or a lasso, and make prompts of it")
        self.draw_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.draw_button.setMenu(self._draw_menu())
        self.copy_button = QToolButton()
        self.copy_button.setText("Copy  ")
        self.copy_button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self._copy_menu = QMenu(self)
        self.copy_button.setMenu(self._copy_menu)
        self.copy_button.clicked.connect(lambda _=False: self.copy_wanted.emit(None))
        self.find_button = QToolButton()
        self.find_button.setText("Find again")
        self.find_button.setToolTip(
            "Search what follows for the object where it has no mask or a doubtful one, by its "
            "look on prompted and accepted places, and propose a click (F)"
        )
        self.find_button.clicked.connect(lambda _=False: self.find_wanted.emit())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.draw_button)
        layout.addWidget(self.copy_button)
        layout.addWidget(self.find_button)
        layout.addWidget(self._size_label)
        layout.addWidget(self.size_box)
        layout.addStretch()
        self.size_box.activated.connect(self._choose)
        self.show_size(None)
        self.show_sources((), "frame")

    def _draw_menu(self) -> QMenu:
        menu = QMenu(self)
        for words, what in DRAW:
            action = menu.addAction(words)
            action.triggered.connect(lambda _=False, what=what: self.draw_wanted.emit(what))
        menu.addSeparator()
        for words, what in USE:
            action = menu.addAction(words)
            action.triggered.connect(lambda _=False, what=what: self.use_wanted.emit(what))
        return menu

    def show_size(self, size: MaskSize | None) -> None:
        """Show which mask the click means; None where there is no choice."""
        with QSignalBlocker(self.size_box):
            self.size_box.setCurrentIndex(self.size_box.findData(size or "auto"))
        for widget in (self.size_box, self._size_label):
            widget.setEnabled(size is not None)
        tip = NO_SIZE_TIP if size is None else f"{SIZE_TIPS[size].capitalize()} (S: the next)"
        self.size_box.setToolTip(tip)

    def show_sources(self, frames: Sequence[int], unit: str) -> None:
        """Offer the frames from which a prompt can be copied to the one that is shown."""
        self.copy_button.setEnabled(bool(frames))
        tip = COPY_TIP if frames else NO_COPY_TIP
        self.copy_button.setToolTip(tip.format(unit=unit))
        offered = (unit, *frames)
        if offered == self._offered:
            return
        self._offered = offered
        self._copy_menu.clear()
        for frame in frames[:SOURCES]:
            action = self._copy_menu.addAction(f"From {unit} {frame:,}")
            action.triggered.connect(lambda _=False, f=frame: self.copy_wanted.emit(f))

    def _choose(self, index: int) -> None:
        self.size_chosen.emit(self.size_box.itemData(index))
