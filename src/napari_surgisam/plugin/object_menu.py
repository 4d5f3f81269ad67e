"""What can be done to the objects that are selected, and to all: the menus of their table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QPoint, Signal
from qtpy.QtGui import QAction, QColor, QIcon, QPixmap
from qtpy.QtWidgets import QMenu, QWidget

from napari_surgisam.data.classes import ClassList, ObjectClass

if TYPE_CHECKING:
    from napari_surgisam.plugin.object_table import ObjectRow

Offer = tuple[ClassList, bool]
"""The classes that there are, and whether objects have their colours."""


class ObjectMenu(QObject):
    """Fills menus; asks for changes in the words of the user and makes none.

    Attributes
    ----------
    offer : callable
        Returns the classes to choose from, and whether colours stand for classes.
    """

    classed = Signal(object, str)  # ids, class: empty for none
    shown = Signal(object, bool)
    locked = Signal(object, bool)
    merged = Signal(object)
    split = Signal(int)
    split_here = Signal(int)
    deleted = Signal(object)
    classes_wanted = Signal()
    by_class_wanted = Signal(bool)  # colours
    class_labels_wanted = Signal()  # a file
    box_wanted = Signal()
    suggestions_wanted = Signal()
    labels_offered = Signal()  # the labels on the frame that is shown, as prompts

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.offer: Callable[[], Offer] = lambda: (ClassList(), False)

    def fill(self, menu: QMenu, rows: Sequence[ObjectRow]) -> None:
        """Offer what concerns all objects, and below it what concerns the selected ones."""
        classes, by_class = self.offer()
        menu.clear()
        _add(menu, "Draw a box (B)", self.box_wanted.emit)
        _add(menu, "Use the labels on this frame as prompts", self.labels_offered.emit)
        _add(menu, "Suggest objects on this frame", self.suggestions_wanted.emit)
        menu.addSeparator()
        _add(menu, "Classes…", self.classes_wanted.emit)
        colours = menu.addAction("Colour by class")
        colours.setCheckable(True)
        colours.setChecked(by_class)
        colours.toggled.connect(self.by_class_wanted.emit)
        save = _add(menu, "Save labels by class…", self.class_labels_wanted.emit)
        save.setEnabled(bool(len(classes)))
        if rows:
            menu.addSeparator()
            word = rows[0].name if len(rows) == 1 else f"{len(rows)} objects"
            self.fill_for(menu.addMenu(word), rows)

    def fill_for(self, menu: QMenu, rows: Sequence[ObjectRow]) -> None:
        """Offer what can be done to some objects."""
        ids = tuple(row.object_id for row in rows)
        locked, hidden = all(r.locked for r in rows), not any(r.visible for r in rows)
        self._fill_classes(menu.addMenu("Class"), rows)
        _add(menu, "Show" if hidden else "Hide", partial(self.shown.emit, ids, hidden))
        _add(menu, "Unlock" if locked else "Lock", partial(self.locked.emit, ids, not locked))
        menu.addSeparator()
        merge = _add(menu, f"Merge into {rows[0].name}", partial(self.merged.emit, ids))
        merge.setToolTip("Make one object of those that are selected: hold Ctrl to select more")
        merge.setEnabled(len(ids) > 1)
        free = len(ids) == 1 and not locked
        for text, signal in (
            ("Split into its pieces", self.split),
            ("Split on this frame only", self.split_here),
        ):
            _add(menu, text, partial(signal.emit, ids[0])).setEnabled(free)
        menu.addSeparator()
        _add(menu, "Delete", partial(self.deleted.emit, ids)).setEnabled(not locked)

    def choose_class(self, rows: Sequence[ObjectRow], place: QPoint) -> None:
        """Pop up the classes that objects may have."""
        menu = QMenu(self.parent())
        self._fill_classes(menu, rows)
        menu.popup(place)

    def _fill_classes(self, menu: QMenu, rows: Sequence[ObjectRow]) -> None:
        ids, (classes, _) = tuple(row.object_id for row in rows), self.offer()
        names = {row.class_name for row in rows}
        for known in classes:
            action = _add(menu, known.name, partial(self.classed.emit, ids, known.name))
            action.setIcon(class_swatch(known))
            action.setCheckable(True)
            action.setChecked(names == {known.name})
        if len(classes):
            _add(menu, "none", partial(self.classed.emit, ids, ""))
            menu.addSeparator()
        _add(menu, "Edit classes…", self.classes_wanted.emit)


def class_swatch(known: ObjectClass) -> QIcon:
    """Return a small square of a class's colour."""
    pixmap = QPixmap(12, 12)
    pixmap.fill(QColor(*known.colour))
    return QIcon(pixmap)


def _add(menu: QMenu, text: str, slot: Callable[[], object]) -> QAction:
    action = menu.addAction(text.replace("&", "&&"))
    action.triggered.connect(lambda _=False: slot())
    return action
