"""The figures of each object, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_surgisam.evaluation.rows import ScoreRow

SHOWN = ("dsc", "iou", "nsd", "hd95", "hd95_px", "j", "f", "j_and_f", "clicks", "noc85")
MEAN = "mean"
VISIBLE_ROWS = 7


class ScoreTable(QWidget):
    """Shows `ScoreRow` values by object and class, and their means; changes nothing."""

    selected = Signal(int)  # object id

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[ScoreRow, ...] = ()
        self._table = QTableWidget(0, 2)
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.verticalHeader().hide()
        self._table.setToolTip("A row an object; click it to see its line in the plot")
        height = self._table.verticalHeader().defaultSectionSize()
        self._table.setMinimumHeight(height * VISIBLE_ROWS)
        self._table.itemSelectionChanged.connect(self._on_selection)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)

    def set_rows(self, rows: Sequence[ScoreRow]) -> None:
        """Show the figures of some objects, and their means in the last row."""
        from napari_surgisam.evaluation.figures import TITLES
        from napari_surgisam.evaluation.rows import mean

        self.rows = tuple(rows)
        names = [n for n in SHOWN if any(n in row.figures for row in rows)]
        with QSignalBlocker(self._table):
            self._table.setColumnCount(2 + len(names))
            self._table.setHorizontalHeaderLabels(
                ["object", "class", *(TITLES.get(name, name) for name in names)]
            )
            self._table.setRowCount(len(rows) + (len(rows) > 1))
            for number, row in enumerate(rows):
                figures = [row.figures.get(name, float("nan")) for name in names]
                self._fill(number, str(row.object_id), row.class_name, figures)
            if len(rows) > 1:
                columns = ([row.figures.get(n, float("nan")) for row in rows] for n in names)
                self._fill(len(rows), MEAN, "", [mean(column) for column in columns])
            header = self._table.horizontalHeader()
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)

    def text(self, row: int, column: int) -> str:
        """Return what a cell shows."""
        item = self._table.item(row, column)
        return "" if item is None else str(item.text())

    def select(self, object_id: int) -> None:
        """Select the row of an object."""
        for number, row in enumerate(self.rows):
            if row.object_id == object_id:
                self._table.selectRow(number)

    def _fill(self, number: int, name: str, class_name: str, figures: Sequence[float]) -> None:
        texts = [name, class_name, *map(_written, figures)]
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            if column > 1:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            font = item.font()
            font.setBold(name == MEAN)
            item.setFont(font)
            self._table.setItem(number, column, item)

    def _on_selection(self) -> None:
        number = self._table.currentRow()
        if 0 <= number < len(self.rows):
            self.selected.emit(self.rows[number].object_id)


def _written(value: float) -> str:
    if value != value:
        return "–"
    if not isfinite(value):
        return "∞"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.1f}"
