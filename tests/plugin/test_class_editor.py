"""The list of classes and the menus of the table, each on its own."""

import pytest
from qtpy.QtWidgets import QMenu

from napari_surgisam.data.class_presets import PRESETS
from napari_surgisam.data.classes import ClassList, ObjectClass
from napari_surgisam.formats.class_lists import read_class_list
from napari_surgisam.plugin.class_editor import LABEL, NAME, OVERLAP, ClassDialog, ClassEditor
from napari_surgisam.plugin.object_menu import ObjectMenu
from napari_surgisam.plugin.object_table import CLASS, ObjectRow, ObjectTable

pytestmark = pytest.mark.qt

CLASSES = ClassList((ObjectClass("tool", 5, (0, 0, 255)), ObjectClass("liver", 2, (200, 0, 0))))
ROWS = [
    ObjectRow(1, "object 1", (0, 1, 0, 1), class_name="tool", class_colour=(0, 0, 1, 1)),
    ObjectRow(2, "object 2", (1, 0, 0, 1), frames="12 ✓", locked=True),
    ObjectRow(4, "object 4", (0, 0, 1, 1)),
]


@pytest.fixture
def editor(qtbot):
    widget = ClassEditor()
    qtbot.addWidget(widget)
    widget.set_value(CLASSES)
    return widget


def test_classes_are_edited_in_the_table(editor):
    editor.table.item(0, NAME).setText("grasper")
    editor.table.cellWidget(1, LABEL).setValue(9)
    editor.table.cellWidget(1, OVERLAP).setCurrentIndex(1)
    editor.change(0, colour=(1, 2, 3), priority=4)
    assert editor.value().classes == (
        ObjectClass("grasper", 5, (1, 2, 3), priority=4),
        ObjectClass("liver", 9, (200, 0, 0), "first"),
    )
    editor.add()
    editor.table.item(2, NAME).setText("new one")
    assert editor.renamed() == {"tool": "grasper"}
    editor.table.selectRow(2)
    editor.move(-1)
    assert [c.name for c in editor.value()] == ["grasper", "new one", "liver"]
    editor.table.selectRow(0)
    editor.remove()
    assert editor.renamed() == {} and [c.name for c in editor.value()] == ["new one", "liver"]


def test_what_cannot_be_is_refused_and_said(editor):
    editor.table.item(0, NAME).setText("liver")
    assert editor.value() == CLASSES and "the name liver" in editor.message.text()
    assert editor.table.item(0, NAME).text() == "tool"
    editor.table.cellWidget(0, LABEL).setValue(2)
    assert editor.value() == CLASSES and editor.table.cellWidget(0, LABEL).value() == 5


def test_lists_are_loaded_and_saved(editor, tmp_path):
    editor.join(PRESETS["Cells"])
    assert [c.name for c in editor.value()][:3] == ["tool", "liver", "cell"]
    editor.write(tmp_path / "mine.csv")
    assert read_class_list(tmp_path / "mine.csv") == editor.value()
    editor.set_value(ClassList())
    editor.read(tmp_path / "mine.csv")
    assert len(editor.value()) == 7
    editor.read(tmp_path / "none.csv")
    assert "cannot be read" in editor.message.text() and len(editor.value()) == 7


def test_the_dialog_hands_over_the_list_and_the_new_names(qtbot):
    dialog = ClassDialog(CLASSES)
    qtbot.addWidget(dialog)
    dialog.editor.change(0, name="hook")
    with qtbot.waitSignal(dialog.finished_with) as got:
        dialog.accept()
    classes, renamed = got.args
    assert [c.name for c in classes] == ["hook", "liver"] and renamed == {"tool": "hook"}


def texts(menu):
    return [a.text() for a in menu.actions() if a.text()]


def choose(menu, *words):
    for word in words:
        action = next(a for a in menu.actions() if a.text() == word)
        menu = action.menu()
    assert action.isEnabled()
    action.trigger()


def test_the_menu_asks_for_what_suits_the_selection(qtbot):
    table = ObjectTable()
    qtbot.addWidget(table)
    table.menu.offer = lambda: (CLASSES, True)
    table.set_rows(ROWS, 1)
    assert not table.table.isColumnHidden(CLASS)
    assert table.table.item(1, 4).text() == "12 ✓ · locked"
    asked = []
    for name in ("classed", "merged", "split", "locked", "by_class_wanted"):
        getattr(table.menu, name).connect(lambda *a, name=name: asked.append((name, *a)))
    menu = QMenu()
    table.menu.fill(menu, table.selected_rows())
    choose(menu, "object 1", "Class", "liver")
    choose(menu, "object 1", "Class", "none")
    choose(menu, "object 1", "Split into its pieces")
    choose(menu, "object 1", "Lock")
    choose(menu, "Colour by class")
    table.table.selectAll()
    assert table.selected_ids() == (1, 2, 4)
    table.set_rows([*ROWS[:2], ObjectRow(4, "four", (0, 0, 1, 1))], 1)
    assert table.selected_ids() == (1, 2, 4), "a change of the table took the selection away"
    table.menu.fill(menu, table.selected_rows())
    choose(menu, "3 objects", "Merge into object 1")
    assert asked == [
        ("classed", (1,), "liver"), ("classed", (1,), ""), ("split", 1), ("locked", (1,), True),
        ("by_class_wanted", False), ("merged", (1, 2, 4)),
    ]  # fmt: skip
    only = QMenu()
    table.menu.fill_for(only, ROWS[1:2])
    assert "Unlock" in texts(only)
    off = {a.text() for a in only.actions() if a.text() and not a.isEnabled()}
    assert off == {"Merge into object 2", "Split into its pieces", "Split on this frame only",
                   "Delete"}  # fmt: skip


def test_a_menu_without_classes_leads_to_them(qtbot):
    menu, wanted = ObjectMenu(None), []
    menu.classes_wanted.connect(lambda: wanted.append(True))
    shown = QMenu()
    menu.fill_for(shown, ROWS[2:])
    choose(shown, "Class", "Edit classes…")
    assert wanted == [True]
