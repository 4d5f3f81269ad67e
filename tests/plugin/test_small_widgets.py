"""The small widgets, each on its own."""

from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_surgisam.engine import registry
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.plugin.advanced_panel import AdvancedPanel
from napari_surgisam.plugin.grid import NO_AXIS
from napari_surgisam.plugin.message_line import Message, MessageLine
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.plugin.object_table import ObjectRow, ObjectTable
from napari_surgisam.plugin.objects import Objects, colour_of
from napari_surgisam.plugin.plan_widget import PlanWidget
from napari_surgisam.plugin.progress_row import ProgressRow
from napari_surgisam.plugin.span_widget import SpanWidget

pytestmark = pytest.mark.qt

ROWS = [
    ObjectRow(1, "gallbladder", (0, 1, 0, 1), "3 clicks", "48 ✓"),
    ObjectRow(5, "grasper", (1, 0, 0, 1), "1 click", "stale 4–9", stale=True),
]


@pytest.fixture
def make(qtbot):
    def build(kind):
        widget = kind()
        qtbot.addWidget(widget)
        return widget

    return build


def test_a_span_is_edited_and_reset(make, qtbot):
    widget = make(SpanWidget)
    widget.set_length(48)
    assert widget.value() == Span()
    with qtbot.waitSignal(widget.value_changed):
        widget.set_value(Span(10, 20))
    assert widget.value() == Span(10, 20)
    widget.set_value(Span(-8))
    assert widget.value() == Span(40, 48)
    widget.reset()
    assert widget.value() == Span()
    widget.set_length(1)
    assert not widget.isEnabled()
    assert widget.value().frames(1) == range(1)


def test_a_plan_is_a_way_and_a_span(make, qtbot):
    widget = make(PlanWidget)
    widget.span.set_length(48)
    assert widget.value() == Plan("outward")
    with qtbot.waitSignal(widget.value_changed):
        widget.set_value(Plan("backward", Span(3, 30)))
    assert widget.value() == Plan("backward", Span(3, 30))
    widget.set_value(Plan("first-n"))
    assert widget.value().order == "forward"


def test_the_table_asks_in_the_words_of_the_user(make, qtbot):
    widget = make(ObjectTable)
    widget.set_rows(ROWS, 1)
    assert widget.selected_id() == 1
    asked = []
    widget.selected.connect(lambda i: asked.append(("select", i)))
    widget.renamed.connect(lambda i, name: asked.append(("rename", i, name)))
    widget.menu.shown.connect(lambda ids, on: asked.append(("show", *ids, on)))
    widget.menu.deleted.connect(lambda ids: asked.append(("delete", *ids)))
    widget.jumped.connect(lambda i: asked.append(("jump", i)))
    widget.table.selectRow(1)
    widget.table.item(1, 1).setText("hook")
    widget.table.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
    qtbot.mouseClick(widget.delete_button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(widget.jump_button, Qt.MouseButton.LeftButton)
    assert asked == [
        ("select", 5),
        ("rename", 5, "hook"),
        ("show", 1, False),
        ("delete", 5),
        ("jump", 5),
    ]
    assert widget.table.item(0, 0).checkState() == Qt.CheckState.Checked  # nobody did it
    widget.set_rows(ROWS[:1], None)
    assert widget.selected_id() is None
    assert not widget.delete_button.isEnabled()


def test_progress_shows_rate_and_time_left(make):
    widget = make(ProgressRow)
    widget.begin("Getting ready …")
    for done in range(1, 11):
        widget.advance(f"frame {done}", done, 150, seconds=done * 0.5)
    assert widget.text == "frame 10 · 2.0/s · 1:10 left"
    widget.advance("frame 11", 11, 150, seconds=5.01)  # too soon to be worth a repaint
    assert widget.text.startswith("frame 10")
    widget.stopping()
    assert "stopping" in widget.text
    widget.begin("again")
    widget.advance("frame 1", 1, 9000, seconds=0)
    widget.advance("frame 2", 2, 9000, seconds=2)
    assert widget.text == "frame 2 · 2.0 s each · 4:59:56 left"


def test_a_message_has_buttons_that_help(make, qtbot):
    widget, helped = make(MessageLine), []
    widget.show_message(
        Message("What happened.", "error", (("Import file…", lambda: helped.append(True)),))
    )
    (button,) = widget.findChildren(QPushButton)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert helped == [True]
    widget.show_message(Message("Next."))
    qtbot.waitUntil(lambda: not widget.findChildren(QPushButton))


def test_models_that_are_missing_are_greyed_and_can_be_fetched(make, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv(registry.CACHE_VARIABLE, str(tmp_path))
    widget = make(ModelChooser)
    assert widget.value() == registry.EMBEDDED
    index = widget._combo.findData("sam2.1_hiera_tiny")
    assert "fetch 156 MB" in widget._combo.itemText(index)
    assert not widget._combo.model().item(index).isEnabled()
    widget.set_value("sam2.1_hiera_tiny")
    assert widget.value() == registry.EMBEDDED
    (action,) = [a for a in widget._menu.actions() if "sam2.1_hiera_tiny " in a.text()]
    with qtbot.waitSignal(widget.fetch_requested) as asked:
        action.trigger()
    assert asked.args == ["sam2.1_hiera_tiny"]
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(b"weights")
    widget.refresh()
    with qtbot.waitSignal(widget.value_changed):
        widget.set_value("sam2.1_hiera_tiny")
    assert widget.value() == "sam2.1_hiera_tiny"


def test_the_chosen_model_says_where_it_computes(make, tmp_path, monkeypatch):
    monkeypatch.setenv(registry.CACHE_VARIABLE, str(tmp_path))
    (tmp_path / "sam2.1_hiera_tiny.pt").write_bytes(b"weights")
    widget = make(ModelChooser)
    widget.show_device("cpu")
    assert widget._combo.currentText() == "embedded · CPU"
    widget.refresh()
    assert widget._combo.currentText() == "embedded · CPU"
    widget.set_value("sam2.1_hiera_tiny")
    assert widget._combo.currentText() == "sam2.1_hiera_tiny", "it is not loaded yet"
    widget.show_device("cuda")
    assert widget._combo.currentText() == "sam2.1_hiera_tiny · GPU"
    assert widget._combo.itemText(widget._combo.findData("embedded")) == "embedded"


def test_settings_are_announced_once(make, qtbot):
    widget, seen = make(AdvancedPanel), []
    widget.value_changed.connect(seen.append)
    widget.offer([("time", 0), ("z", 1)], 2)
    assert seen == []
    widget.set_image_size(512)
    widget.set_image_size(512)
    widget._axis.setCurrentIndex(widget._axis.findData(NO_AXIS))
    assert [(s.image_size, s.axis) for s in seen] == [(512, None), (512, NO_AXIS)]
    widget.offer([("time", 0)], 1)
    assert widget.value().axis is None
    assert widget.value().focus == "default"
    widget._focus.setCurrentIndex(widget._focus.findData("off"))
    assert seen[-1].focus == "off"
    assert widget.value().policy == "auto"
    widget._policy.setCurrentIndex(widget._policy.findData("confident"))
    assert seen[-1].policy == "confident"


def test_all_memory_policies_are_offered_with_what_they_do(make):
    from napari_surgisam.engine.policies import POLICIES

    combo = make(AdvancedPanel)._policy
    offered = {combo.itemData(n): combo.itemData(n, Qt.ItemDataRole.ToolTipRole)
               for n in range(1, combo.count())}  # fmt: skip
    assert offered == {name: spec.summary for name, spec in POLICIES.items()}


def test_objects_go_round_and_keep_their_colours():
    objects = Objects()
    assert objects.next_id() is None
    assert objects.add() == 1
    assert objects.add([7]) == 8
    assert objects.next_id() == 1
    objects.hidden.add(1)
    colours = objects.colours()
    assert colours[1][3] == 0
    assert colours[8] == colour_of(8)
    objects.remove(8)
    assert objects.selected == 1
    assert len({colour_of(i) for i in range(1, 9)}) == 8


def test_advanced_settings_are_shown_as_they_were_saved(make, qtbot):
    widget = make(AdvancedPanel)
    widget.offer([("z (20)", 1)], 2)
    saved = replace(
        widget.value(), axis=1, level=1, window=(-160.0, 240.0), image_size=448, focus="off",
        policy="diverse", max_conditioning=3,
    )  # fmt: skip
    with qtbot.waitSignal(widget.value_changed) as told:
        widget.set_value(saved)
    assert widget.value() == saved and told.args == [saved]
    with qtbot.assertNotEmitted(widget.value_changed):
        widget.set_value(saved)
    widget.offer([], 1)
    widget.set_value(replace(saved, axis=7, level=5, policy="sam2:slots=3"))
    assert (widget.value().axis, widget.value().level) == (None, 0)
    assert widget.value().policy == "sam2:slots=3"


def test_classes_become_objects_of_their_names():
    objects = Objects()
    objects.add()
    assert objects.include_classes({"liver": 1, "hook": 4}, used=()) == {1: "liver", 4: "hook"}
    assert objects.names == {1: "liver", 4: "hook"}
    assert objects.selected == 1


def test_classes_leave_the_objects_of_a_person_alone():
    objects = Objects()
    objects.add()
    objects.add()
    objects.names[2] = "fat"
    found = objects.include_classes({"liver": 1, "fat": 7, "hook": 9}, used=(1,))
    assert found == {3: "liver", 2: "fat", 9: "hook"}
    assert objects.names == {1: "object 1", 2: "fat", 3: "liver", 9: "hook"}
    assert objects.include_classes({"hook": 9}, used=(1, 9)) == {9: "hook"}


def test_classes_get_ids_above_those_of_a_persons_labels():
    found = Objects().include_classes({"liver": 1, "hook": 9}, used=(), taken=[3])
    assert found == {4: "liver", 9: "hook"}
