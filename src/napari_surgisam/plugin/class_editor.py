"""The list of classes, to be edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_surgisam.data.class_presets import PRESETS
from napari_surgisam.data.classes import ClassList, ObjectClass, Overlap
from napari_surgisam.data.prompts import MAX_OBJECT_ID
from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_lists import read_class_list, write_class_list

HEADERS = ("Colour", "Name", "Label", "Where objects overlap", "Priority")
COLOUR, NAME, LABEL, OVERLAP, PRIORITY = range(len(HEADERS))
FILES = "Lists of classes (*.csv *.json)"

_RULES: tuple[tuple[Overlap, str], ...] = (
    ("surest", "the surest mask"),
    ("first", "the first in the list"),
)


class ClassEditor(QWidget):
    """Edits a `ClassList`, and knows which class had which name before."""

    value_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: list[ObjectClass] = []
        self._before: list[str] = []  # the first name of each, empty where it is new
        self.table = QTableWidget(0, len(HEADERS))
        self.table.setHorizontalHeaderLabels(HEADERS)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setStyleSheet("color: #e06c5a;")
        self.message.hide()
        buttons = QHBoxLayout()
        for text, tip, slot in (
            ("+", "Add a class", self.add),
            ("−", "Remove the selected classes; objects of theirs have none then", self.remove),
            ("↑", "Move up", lambda: self.move(-1)),
            ("↓", "Move down", lambda: self.move(1)),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.setMaximumWidth(36)
            button.clicked.connect(lambda _=False, slot=slot: slot())
            buttons.addWidget(button)
        buttons.addStretch()
        load, save = QPushButton("Load"), QPushButton("Save…")
        load.setToolTip("Add a list to begin with, or one from a file")
        save.setToolTip("Write the list as CSV or JSON")
        menu = QMenu(self)
        for name, known in PRESETS.items():
            menu.addAction(name).triggered.connect(lambda _=False, known=known: self.join(known))
        menu.addSeparator()
        menu.addAction("From a file…").triggered.connect(lambda _=False: self._browse())
        load.setMenu(menu)
        save.clicked.connect(lambda _=False: self._save())
        buttons.addWidget(load)
        buttons.addWidget(save)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addWidget(self.message)
        layout.addLayout(buttons)
        self.table.itemChanged.connect(self._rename)
        self.table.cellDoubleClicked.connect(self._double_click)

    def value(self) -> ClassList:
        """Return the classes.

        Raises
        ------
        DataError
            If two share a name or a label.
        """
        return ClassList(tuple(self._classes))

    def renamed(self) -> dict[str, str]:
        """Return the new names of classes by the old ones."""
        pairs = zip(self._before, self._classes, strict=True)
        return {old: known.name for old, known in pairs if old and old != known.name}

    def set_value(self, classes: ClassList) -> None:
        """Show classes."""
        self._classes = list(classes)
        self._before = [known.name for known in classes]
        self._show()

    def join(self, classes: ClassList) -> None:
        """Add the classes of a list that are not there by name."""
        self._try(lambda: self._put(ClassList(tuple(self._classes)).joined(classes).classes))

    def read(self, path: Path) -> None:
        """Add the classes of a file."""
        self._try(lambda: self.join(read_class_list(path)))

    def write(self, path: Path) -> None:
        """Write the classes to a file."""
        self._try(lambda: write_class_list(path, self.value()))

    def add(self) -> None:
        """Add a class, and begin to name it."""
        known = ClassList(tuple(self._classes))
        name = next(f"class {n}" for n in range(1, 10_000) if f"class {n}" not in known)
        self._put((*self._classes, known.new(name)))
        self.table.editItem(self.table.item(len(self._classes) - 1, NAME))

    def remove(self) -> None:
        """Remove the selected classes."""
        gone = {index.row() for index in self.table.selectedIndexes()}
        kept = [n for n in range(len(self._classes)) if n not in gone]
        self._before = [self._before[n] for n in kept]
        self._put([self._classes[n] for n in kept])

    def move(self, by: int) -> None:
        """Move the current class up (-1) or down (1)."""
        number = self.table.currentRow()
        place = number + by
        if 0 <= number < len(self._classes) and 0 <= place < len(self._classes):
            for listed in (self._classes, self._before):
                listed[number], listed[place] = listed[place], listed[number]
            self._show()
            self.table.selectRow(place)

    def change(self, number: int, **changes: object) -> None:
        """Change what is said of the class in a row."""
        before = self._classes[number]
        try:
            self._classes[number] = replace(before, **changes)  # type: ignore[arg-type]
            self.value()
        except DataError as error:
            self._classes[number] = before
            self._say(str(error))
            self._show()
            return
        self._say("")
        self._show_row(number)
        self.value_changed.emit()

    def _put(self, classes: Sequence[ObjectClass]) -> None:
        self._before += [""] * (len(classes) - len(self._before))
        self._classes = list(classes)
        self._show()
        self.value_changed.emit()

    def _show(self) -> None:
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(self._classes))
            for number, known in enumerate(self._classes):
                self.table.setItem(number, COLOUR, QTableWidgetItem())
                self.table.setItem(number, NAME, QTableWidgetItem())
                label, priority, rule = QSpinBox(), QSpinBox(), QComboBox()
                label.setRange(1, MAX_OBJECT_ID)
                priority.setRange(-99, 99)
                priority.setToolTip("Classes with a higher one lie in front, whatever the rule")
                for value, text in _RULES:
                    rule.addItem(text, value)
                label.setValue(known.label)
                priority.setValue(known.priority)
                rule.setCurrentIndex(rule.findData(known.overlap))
                label.valueChanged.connect(lambda v, n=number: self.change(n, label=v))
                priority.valueChanged.connect(lambda v, n=number: self.change(n, priority=v))
                rule.currentIndexChanged.connect(
                    lambda _, n=number, rule=rule: self.change(n, overlap=rule.currentData())
                )
                self.table.setCellWidget(number, LABEL, label)
                self.table.setCellWidget(number, OVERLAP, rule)
                self.table.setCellWidget(number, PRIORITY, priority)
                self._show_row(number)

    def _show_row(self, number: int) -> None:
        known, fixed = self._classes[number], Qt.ItemFlag.ItemIsEnabled
        with QSignalBlocker(self.table):
            colour = self.table.item(number, COLOUR)
            colour.setBackground(QColor(*known.colour))
            colour.setFlags(fixed | Qt.ItemFlag.ItemIsSelectable)
            colour.setToolTip("Double-click for another colour")
            self.table.item(number, NAME).setText(known.name)

    def _rename(self, item: QTableWidgetItem) -> None:
        if item.column() == NAME and item.text() != self._classes[item.row()].name:
            self.change(item.row(), name=item.text())

    def _double_click(self, number: int, column: int) -> None:
        if column == COLOUR:
            chosen = QColorDialog.getColor(QColor(*self._classes[number].colour), self)
            if chosen.isValid():
                self.change(number, colour=(chosen.red(), chosen.green(), chosen.blue()))

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load classes", "", FILES)
        if path:
            self.read(Path(path))

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save classes", "classes.csv", FILES)
        if path:
            self.write(Path(path))

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def _try(self, action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except DataError as error:
            self._say(str(error))
        else:
            self._say("")


class ClassDialog(QDialog):
    """A window for the list of classes; `finished_with` carries it and the new names."""

    finished_with = Signal(object, object)  # ClassList, mapping of old names to new ones

    def __init__(self, classes: ClassList, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Classes")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 420)
        self.editor = ClassEditor()
        self.editor.set_value(classes)
        box = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        box.accepted.connect(self.accept)
        box.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.editor)
        layout.addWidget(box)

    def accept(self) -> None:
        """Hand the list over and close."""
        self.finished_with.emit(self.editor.value(), self.editor.renamed())
        super().accept()
