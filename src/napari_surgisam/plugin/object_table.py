"""The objects that are being segmented, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPoint, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QCursor, QIcon, QPixmap
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

from napari_surgisam.plugin.object_menu import ObjectMenu

VISIBLE_ROWS = 8
COLUMNS = ("id", "name", "class", "prompts", "frames")
NAME, CLASS, PROMPTS, FRAMES = 1, 2, 3, 4


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
    locked : bool
    class_name : str
        Empty where it has no class.
    class_colour : tuple of float
    """

    object_id: int
    name: str
    colour: tuple[float, float, float, float]
    prompts: str = ""
    frames: str = ""
    stale: bool = False
    visible: bool = True
    locked: bool = False
    class_name: str = ""
    class_colour: tuple[float, float, float, float] = (0.6, 0.6, 0.6, 1.0)


class ObjectTable(QWidget):
    """Shows `ObjectRow` values; asks for changes in the words of the user and makes none."""

    selected = Signal(int)  # object id
    added = Signal()
    renamed = Signal(int, str)
    jumped = Signal(int)  # to the object's next prompt

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ObjectRow, ...] = ()
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnHidden(CLASS, True)
        self._fit()
        self.table.setToolTip(
            "Click a row to go on with that object; tick to show it; double-click its name to "
            "rename it, its class to choose another, another cell to jump to its next prompt. "
            "Right-click for more; hold Ctrl or Shift to choose several."
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
        self.menu = ObjectMenu(self)
        menu = QMenu(self)
        menu.aboutToShow.connect(lambda: self.menu.fill(menu, self.selected_rows()))
        more.setMenu(menu)
        self.table.customContextMenuRequested.connect(self._pop_up)
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
            self.table.setColumnHidden(CLASS, not any(row.class_name for row in rows))
            if selected is None or selected not in self.selected_ids():
                self.table.clearSelection()
                if selected in ids:
                    self.table.selectRow(ids.index(selected))
        has = selected is not None
        self.delete_button.setEnabled(has)
        self.jump_button.setEnabled(has)

    def selected_id(self) -> int | None:
        """Return the id of the object that was selected last."""
        number = self.table.currentRow()
        chosen = self.selected_ids()
        if 0 <= number < len(self._rows) and self._rows[number].object_id in chosen:
            return chosen[chosen.index(self._rows[number].object_id)]
        return chosen[0] if chosen else None

    def selected_rows(self) -> tuple[ObjectRow, ...]:
        """Return the selected objects, from above."""
        numbers = sorted({index.row() for index in self.table.selectedIndexes()})
        return tuple(self._rows[n] for n in numbers if n < len(self._rows))

    def selected_ids(self) -> tuple[int, ...]:
        """Return the ids of the selected objects, from above."""
        return tuple(row.object_id for row in self.selected_rows())

    def _fit(self) -> None:
        """Take the height of the rows, up to `VISIBLE_ROWS` of them."""
        rows = min(max(self.table.rowCount(), 2), VISIBLE_ROWS)
        height = self.table.verticalHeader().defaultSectionSize()
        self.table.setFixedHeight(rows * height + 2 * self.table.frameWidth())

    def _fill(self, number: int, row: ObjectRow) -> None:
        fixed = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        first = self.table.item(number, 0)
        first.setIcon(swatch(row.colour))
        first.setText(str(row.object_id))
        first.setFlags(fixed | Qt.ItemFlag.ItemIsUserCheckable)
        first.setCheckState(Qt.CheckState.Checked if row.visible else Qt.CheckState.Unchecked)
        name = self.table.item(number, NAME)
        name.setText(row.name)
        name.setFlags(fixed | Qt.ItemFlag.ItemIsEditable)
        known = self.table.item(number, CLASS)
        known.setIcon(swatch(row.class_colour) if row.class_name else QIcon())
        frames = " · ".join(filter(None, (row.frames, "locked" if row.locked else "")))
        for column, text in ((CLASS, row.class_name), (PROMPTS, row.prompts), (FRAMES, frames)):
            item = self.table.item(number, column)
            item.setText(text)
            item.setFlags(fixed)
        colour = QColor("#f2b84b") if row.stale else self.palette().text().color()
        self.table.item(number, FRAMES).setForeground(colour)

    def _select(self) -> None:
        object_id = self.selected_id()
        if object_id is not None:
            self.selected.emit(object_id)

    def _edit(self, item: QTableWidgetItem) -> None:
        row = self._rows[item.row()]
        if item.column() == NAME and item.text() != row.name:
            self.renamed.emit(row.object_id, item.text())
        elif item.column() == 0:
            visible = item.checkState() == Qt.CheckState.Checked
            if visible != row.visible:
                self.menu.shown.emit((row.object_id,), visible)
                with QSignalBlocker(self.table):
                    self._fill(item.row(), self._rows[item.row()])  # it may have been refused

    def _double_click(self, number: int, column: int) -> None:
        row = self._rows[number]
        if column == CLASS:
            self.menu.choose_class((row,), QCursor.pos())
        elif column != NAME:
            self.jumped.emit(row.object_id)

    def _pop_up(self, place: QPoint) -> None:
        rows = self.selected_rows()
        if rows:
            menu = QMenu(self)
            self.menu.fill_for(menu, rows)
            menu.popup(self.table.viewport().mapToGlobal(place))

    def _jump(self) -> None:
        object_id = self.selected_id()
        if object_id is not None:
            self.jumped.emit(object_id)

    def _delete(self) -> None:
        if ids := self.selected_ids():
            self.menu.deleted.emit(ids)


def swatch(colour: tuple[float, float, float, float]) -> QIcon:
    """Return a small square of a colour."""
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor.fromRgbF(*colour[:3]))
    return QIcon(pixmap)


def _tool(text: str, tip: str, slot: object) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _=False: slot())  # type: ignore[operator]
    return button
