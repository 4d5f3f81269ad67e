"""Classes, locks, merging and splitting in the real window."""

import numpy as np
import pytest

from napari_surgisam.data.classes import ClassList, ObjectClass
from napari_surgisam.formats.labels import read_labels

pytestmark = pytest.mark.qt

CLASSES = ClassList((ObjectClass("tool", 5, (0, 0, 255), priority=1),))


@pytest.fixture
def two(desk):
    """Two objects, tracked through the film."""
    desk.click(230, 0)
    desk.widget.bench.add_object()
    desk.click(140, 0)
    desk.widget.propagate()
    desk.settle()
    return desk


def labels(desk, frame):
    return np.asarray(desk.widget.bench.labels.data[frame])


def rows(desk):
    return {row.object_id: row for row in desk.widget.table.rows}


def colour(desk, object_id):
    return tuple(np.round(desk.widget.bench.labels.colormap.color_dict[object_id], 2))


def test_a_class_is_chosen_shown_and_undone(two, qtbot, tmp_path):
    widget, bench = two.widget, two.widget.bench
    widget.desk.edit_classes()
    widget.desk.dialog.editor.join(CLASSES)
    widget.desk.dialog.accept()
    widget.table.menu.classed.emit((2,), "tool")
    two.settle()
    assert (rows(two)[2].class_name, rows(two)[1].class_name) == ("tool", "")
    own = colour(two, 2)
    widget.table.menu.by_class_wanted.emit(True)
    assert colour(two, 2)[:3] == (0, 0, 1) and colour(two, 1)[:3] == (0.6, 0.6, 0.6)
    widget.table.menu.by_class_wanted.emit(False)
    assert colour(two, 2) == own
    widget.desk.save_class_labels(tmp_path / "classes.tif")
    expected = np.where(labels(two, 3) == 2, 5, 0)
    np.testing.assert_array_equal(read_labels(tmp_path / "classes.tif")[3], expected)
    bench.undo()
    assert rows(two)[2].class_name == "" and bench.objects.catalogue.classes == CLASSES
    bench.undo()
    assert len(bench.objects.catalogue.classes) == 0
    bench.redo()
    bench.redo()
    assert rows(two)[2].class_name == "tool"


def test_a_locked_object_is_not_clicked_painted_or_deleted(two, qtbot):
    widget, bench = two.widget, two.widget.bench
    widget.table.menu.locked.emit((1,), True)
    two.settle()
    assert rows(two)[1].locked
    before = [labels(two, f) == 1 for f in range(12)]
    count = len(bench.prompts.points.data)
    two.click(140, 4, object_id=1)
    assert "Object 1 is locked" in widget.line.message.text
    assert len(bench.prompts.points.data) == count, "the click stayed"
    widget.table.menu.deleted.emit((1,))
    assert 1 in rows(two) and "cannot be deleted" in widget.line.message.text
    two.viewer.dims.set_current_step(0, 2)
    two.settle()
    y, x = (int(v) for v in two.discs.centre(230, 2))
    bench.labels.selected_label = 2
    bench.labels.paint((2, y, x), 2)  # over the locked object
    bench.labels.selected_label = 1
    bench.labels.paint((2, 2, 2), 1)  # with its label, elsewhere
    two.settle()
    np.testing.assert_array_equal(labels(two, 2) == 1, before[2])
    two.click(140, 6, object_id=2)
    widget.propagate()
    two.settle()
    for frame in range(12):
        np.testing.assert_array_equal(labels(two, frame) == 1, before[frame])
    widget.table.menu.locked.emit((1,), False)
    widget.table.menu.deleted.emit((1,))
    two.settle()
    assert 1 not in rows(two) and not (labels(two, 5) == 1).any()


def test_hiding_does_not_stop_a_propagation_and_is_undone(two, slow, qtbot):
    widget, bench = two.widget, two.widget.bench
    two.click(140, 6, object_id=2)
    widget.propagate()
    qtbot.waitUntil(lambda: bench.live.is_propagating)
    widget.table.menu.shown.emit((1,), False)
    assert not rows(two)[1].visible and colour(two, 1)[3] == 0
    assert bench.live.is_propagating
    two.settle()
    assert bench.session.stale(2) == ()
    widget.table.menu.shown.emit((1,), True)
    bench.undo()
    assert not rows(two)[1].visible


def test_objects_are_merged_and_come_back_with_their_names(two, qtbot):
    widget, bench = two.widget, two.widget.bench
    bench.rename(2, "grasper")
    before = [labels(two, f) for f in range(12)]
    widget.table.menu.merged.emit((1, 2))
    two.settle()
    assert set(rows(two)) == {1} and bench.objects.selected == 1
    for frame in range(12):
        np.testing.assert_array_equal(labels(two, frame) == 1, before[frame] > 0)
    assert len(bench.prompts.points.data) == 0, "both are on frame 0: a mask is the prompt"
    assert rows(two)[1].prompts == "1 mask"
    bench.undo()
    two.settle()
    assert rows(two)[2].name == "grasper" and len(bench.prompts.points.data) == 2
    for frame in range(12):
        np.testing.assert_array_equal(labels(two, frame), before[frame])


def test_an_object_is_split_on_all_frames_or_on_one(two, qtbot):
    widget, bench = two.widget, two.widget.bench
    widget.table.menu.merged.emit((1, 2))
    two.settle()
    merged = [labels(two, f) for f in range(12)]
    bench.rename(1, "discs")
    widget.table.menu.split.emit(1)
    two.settle()
    assert len(rows(two)) >= 2 and [r.name for r in list(rows(two).values())[:2]] == [
        "discs", "discs (2)"
    ]  # fmt: skip
    for frame in range(12):
        np.testing.assert_array_equal(labels(two, frame) > 0, merged[frame] > 0)
    assert {1, 2} <= set(np.unique(labels(two, 5)))
    bench.undo()
    two.settle()
    assert set(rows(two)) == {1}, "objects that undo took away are still listed"
    two.viewer.dims.set_current_step(0, 5)
    two.settle()
    widget.table.menu.split_here.emit(1)
    two.settle()
    assert {1, 2} <= set(np.unique(labels(two, 5)))
    assert set(np.unique(labels(two, 4))) == {0, 1}
    assert rows(two)[1].stale
    widget.table.menu.split_here.emit(2)
    assert "one piece on frame 5" in widget.line.message.text


def test_undo_leaves_an_object_to_go_on_with(desk, qtbot):
    widget, bench = desk.widget, desk.widget.bench
    desk.click(230, 0)
    widget.table.menu.deleted.emit((1,))
    desk.settle()
    desk.click(230, 4)
    bench.undo()
    desk.settle()
    assert set(rows(desk)) == {1} and widget.table.isEnabled()
    desk.click(230, 4)
    bench.prompts.points.selected_data = {0}
    bench.prompts.points.remove_selected()
    desk.settle()
    assert set(rows(desk)) == {1}, "it went with its click"
    bench.add_object()
    desk.click(140, 0)
    widget.table.menu.deleted.emit((2,))
    bench.undo()
    desk.settle()
    bench.select(2)
    bench.redo()
    desk.settle()
    assert set(rows(desk)) == {1}
    assert bench.objects.selected == bench.labels.selected_label == 1, "the brush has no object"


def test_what_was_said_of_an_object_goes_with_it(desk, qtbot):
    bench = desk.widget.bench
    desk.click(230, 0)
    bench.add_object()
    bench.editor.show([2], False)
    bench.editor.delete([2])
    assert bench.session.annotation.catalogue.hidden == frozenset()
    bench.undo()
    assert not rows(desk)[2].visible
    bench.redo()
    bench.add_object()
    assert all(row.visible for row in rows(desk).values())


def test_a_saved_session_has_classes_and_colours(two, qtbot, tmp_path):
    bench = two.widget.bench
    bench.editor.set_classes(CLASSES, {})
    bench.editor.set_class([1], "tool")
    bench.editor.lock([2], True)
    bench.editor.colour_by_class(True)
    keeper = two.widget.sessions._keeper()
    keeper.save_as(tmp_path / "film.surgisam")
    state = keeper.snapshot()
    assert (state.objects[1].category, state.objects[2].locked) == ("tool", True)
    assert state.view["colours"] == "class"
    assert state.annotation.catalogue.classes == CLASSES
