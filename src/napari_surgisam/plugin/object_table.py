"""The objects that are being segmented, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

VISIBLE_ROWS = 8
COLUMNS = ("id", "name", "prompts", "frames")


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """What the table shows of one object.

    Parameters
    ----------
    object_id : int
    name : str
    colour : tuple of float
        RGBA in [0, 1].
    prompts : str
        For example "3 clicks".
    frames : str
        For example "1,432 ✓" or "stale 40–90".
    stale : bool
        Whether some masks are older than the prompts.
    visible : bool
    """

    object_id: int
    name: str
    colour: tuple[float, float, float, float]
    prompts: str = ""
    frames: str = ""
    stale: bool = False
    visible: bool = True


class ObjectTable(QWidget):
    """Shows `ObjectRow` values; asks for changes in the words of the user and makes none."""

    selected = Signal(int)  # object id
    added = Signal()
    deleted = Signal(int)
    renamed = Signal(int, str)
    jumped = Signal(int)  # to the object's next prompt
    shown = Signal(int, bool)
    box_wanted = Signal()
    labels_offered = Signal()  # the labels on the frame that is shown, as prompts

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ObjectRow, ...] = ()
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self._fit()
        self.table.setToolTip(
            "Click a row to go on with that object; tick to show it; double-click its name to "
            "rename it, another cell to jump to its next prompt."
        )
        top = QHBoxLayout()
        top.addWidget(QLabel("<b>Objects</b>"))
        top.addStretch()
        self.add_button = _tool("+", "Add an object (A)", self.added.emit)
        self.jump_button = _tool("→", "Jump to the object's next prompt", self._jump)
        self.delete_button = _tool("−", "Delete the object, its prompts and masks", self._delete)
        for button in (self.add_button, self.delete_button, self.jump_button):
            top.addWidget(button)
        more = _tool("⋯", "More", lambda: None)
        menu = QMenu(self)
        menu.addAction("Draw a box (B)").triggered.connect(lambda _=False: self.box_wanted.emit())
        menu.addAction("Use the labels on this frame as prompts").triggered.connect(
            lambda _=False: self.labels_offered.emit()
        )
        more.setMenu(menu)
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        top.addWidget(more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        layout.addWidget(self.table)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.table.itemSelectionChanged.connect(self._select)
        self.table.itemChanged.connect(self._edit)
        self.table.cellDoubleClicked.connect(self._double_click)

    @property
    def rows(self) -> tuple[ObjectRow, ...]:
        """What is shown."""
        return self._rows

    def set_rows(self, rows: Sequence[ObjectRow], selected: int | None) -> None:
        """Show objects, one of them selected."""
        with QSignalBlocker(self.table):
            if [r.object_id for r in rows] != [r.object_id for r in self._rows]:
                self.table.setRowCount(len(rows))
                for number in range(len(rows)):
                    for column in range(len(COLUMNS)):
                        self.table.setItem(number, column, QTableWidgetItem())
                self._rows = ()
                self._fit()
            for number, row in enumerate(rows):
                if not self._rows or self._rows[number] != row:
                    self._fill(number, row)
            self._rows = tuple(rows)
            ids = [row.object_id for row in rows]
            self.table.clearSelection()
            if selected in ids:
                self.table.selectRow(ids.index(selected))
        has = selected is not None
        self.delete_button.setEnabled(has)
        self.jump_button.setEnabled(has)

    def selected_id(self) -> int | None:
        """Return the id of the selected object."""
        number = self.table.currentRow()
        ranges = self.table.selectedRanges()
        return self._rows[number].object_id if ranges and 0 <= number < len(self._rows) else None

    def _fit(self) -> None:
        """Take the height of the rows, up to `VISIBLE_ROWS` of them."""
        rows = min(max(self.table.rowCount(), 2), VISIBLE_ROWS)
        height = self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight(rows * height + 2 * self.table.frameWidth())

    def _fill(self, number: int, row: ObjectRow) -> None:
        fixed = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        pixmap = QPixmap(12, 12)
        pixmap.fill(QColor.fromRgbF(*row.colour[:3]))
        first = self.table.item(number, 0)
        first.setIcon(QIcon(pixmap))
        first.setText(str(row.object_id))
        first.setFlags(fixed | Qt.ItemFlag.ItemIsUserCheckable)
        first.setCheckState(Qt.CheckState.Checked if row.visible else Qt.CheckState.Unchecked)
        name = self.table.item(number, 1)
        name.setText(row.name)
        name.setFlags(fixed | Qt.ItemFlag.ItemIsEditable)
        for column, text in ((2, row.prompts), (3, row.frames)):
            item = self.table.item(number, column)
            item.setText(text)
            item.setFlags(fixed)
        colour = QColor("#f2b84b") if row.stale else self.palette().text().color()
        self.table.item(number, 3).setForeground(colour)

    def _select(self) -> None:
        object_id = self.selected_id()
        if object_id is not None:
            self.selected.emit(object_id)

    def _edit(self, item: QTableWidgetItem) -> None:
        row = self._rows[item.row()]
        if item.column() == 1 and item.text() != row.name:
            self.renamed.emit(row.object_id, item.text())
        elif item.column() == 0:
            visible = item.checkState() == Qt.CheckState.Checked
            if visible != row.visible:
                self.shown.emit(row.object_id, visible)

    def _double_click(self, number: int, column: int) -> None:
        if column != 1:
            self.jumped.emit(self._rows[number].object_id)

    def _jump(self) -> None:
        object_id = self.selected_id()
        if object_id is not None:
            self.jumped.emit(object_id)

    def _delete(self) -> None:
        object_id = self.selected_id()
        if object_id is not None:
            self.deleted.emit(object_id)


def _tool(text: str, tip: str, slot: object) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _=False: slot())  # type: ignore[operator]
    return button
