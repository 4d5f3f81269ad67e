"""The dock widget in a real window: what a person does, and what the layers hold then."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_surgisam.data.prompts import MaskPrompt, ObjectId, Point, Prompt
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.plugin.plan_widget import plan_for

pytestmark = pytest.mark.qt


def overlap(labels, object_id, truth):
    mask = labels == object_id
    return 2 * (mask & truth).sum() / max(mask.sum() + truth.sum(), 1)


def test_it_opens_ready_for_the_first_click(desk):
    widget, viewer = desk.widget, desk.viewer
    assert widget.image_box.currentText() == "film"
    assert widget.axis_label.text() == "time, 12 frames"
    assert [row.name for row in widget.table.rows] == ["object 1"]
    assert viewer.layers.selection.active is widget.bench.prompts.points
    assert widget.bench.prompts.points.mode == "add"
    assert "Click on the object" in widget.line.message.text
    assert not widget.propagate_button.isEnabled()
    assert "no prompts" in widget.propagate_button.toolTip()
    assert widget.models._combo.currentText().startswith("embedded · ")


def test_a_click_shows_the_mask_of_its_frame_at_once(desk):
    desk.click(230, 0)
    labels = desk.widget.bench.labels.data
    assert overlap(labels[0], 1, desk.discs.mask(230, 0)) > 0.85
    assert not labels[1:].any()
    (row,) = desk.widget.table.rows
    assert (row.prompts, row.frames) == ("1 click", "1 of 12")
    assert desk.widget.propagate_button.isEnabled()


def test_propagate_fills_every_frame_for_every_object(desk, qtbot):
    desk.click(230, 3)
    desk.widget.bench.add_object()
    desk.click(140, 5)
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        qtbot.mouseClick(desk.widget.propagate_button, Qt.MouseButton.LeftButton)
    labels = desk.widget.bench.labels.data
    for object_id, level in ((1, 230), (2, 140)):
        for frame in range(12):
            assert overlap(labels[frame], object_id, desk.discs.mask(level, frame)) > 0.8
    assert [row.frames for row in desk.widget.table.rows] == ["12 ✓", "12 ✓"]
    assert "12 of 12 frames have masks" in desk.widget.line.message.text
    assert not desk.widget.progress.isVisible()


def test_a_movie_prompted_from_its_start_is_tracked_forward(desk):
    session = desk.widget.bench.session
    desk.click(230, 0)
    desk.click(230, 8)
    assert plan_for(Plan("outward"), session) == Plan("first-n")
    assert plan_for(Plan("outward", Span(2)), session).order == "first-n"
    assert plan_for(Plan("backward"), session).order == "backward"
    desk.widget.bench.undo()
    desk.widget.bench.undo()
    desk.settle()
    desk.click(230, 3)
    assert plan_for(Plan("outward"), session).order == "outward"


def test_only_the_selected_object_in_a_span(desk, qtbot):
    desk.click(230, 3)
    desk.widget.bench.add_object()
    desk.click(140, 3)
    desk.widget.bench.select(2)
    desk.widget.plan.set_value(Plan("forward", Span(3, 7)))
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        qtbot.mouseClick(desk.widget.selected_button, Qt.MouseButton.LeftButton)
    labels = desk.widget.bench.labels.data
    assert np.flatnonzero((labels == 2).any((1, 2))).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero((labels == 1).any((1, 2))).tolist() == [3]


def test_cancel_keeps_what_is_done_and_undo_takes_the_whole_run_back(desk, qtbot, slow):
    desk.click(230, 0)
    live = desk.widget.bench.live
    before = desk.widget.bench.labels.data.copy()
    steps = []

    def on_progress(event):
        steps.append(event.frame)
        if len(steps) == 4:
            desk.widget.cancel()

    live.progressed.connect(on_progress)
    with qtbot.waitSignal(live.finished, timeout=20_000) as finished:
        desk.widget.propagate()
    assert finished.args[1], "it does not know that it was cancelled"
    desk.settle()
    labels = desk.widget.bench.labels.data
    done = np.flatnonzero(labels.any((1, 2))).tolist()
    assert 4 <= len(done) < 12
    assert done == [0, *sorted(steps)]  # the click's own frame was done before
    assert "Stopped" in desk.widget.line.message.text
    desk.widget.bench.undo()
    desk.settle()
    np.testing.assert_array_equal(desk.widget.bench.labels.data, before)
    desk.widget.bench.redo()
    desk.settle()
    assert np.flatnonzero(desk.widget.bench.labels.data.any((1, 2))).tolist() == done


def test_a_click_during_a_propagation_stops_it_and_counts(desk, qtbot, slow):
    desk.click(230, 0)
    live = desk.widget.bench.live
    y, x = desk.discs.centre(230, 9)
    live.progressed.connect(
        lambda event: event.done == 3 and desk.widget.bench.prompts.points.add((9, y, x))
    )
    with qtbot.waitSignal(live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.settle()
    assert len(np.flatnonzero(desk.widget.bench.labels.data.any((1, 2)))) < 12
    assert desk.widget.bench.session.book.frames(1) == (0, 9)
    assert overlap(desk.widget.bench.labels.data[9], 1, desk.discs.mask(230, 9)) > 0.8


def test_undo_takes_a_click_out_of_its_layer_too(desk):
    desk.click(230, 0)
    desk.click(230, 4)
    desk.widget.bench.undo()
    desk.settle()
    points = desk.widget.bench.prompts.points
    assert points.data[:, 0].tolist() == [0]
    assert not desk.widget.bench.labels.data[4].any()
    desk.widget.bench.redo()
    desk.settle()
    assert points.data[:, 0].tolist() == [0, 4]
    assert desk.widget.bench.labels.data[4].any()


def test_undo_to_before_an_answer_came_asks_again(desk):
    desk.click(230, 0)
    bench = desk.widget.bench
    for frame in (4, 6):  # the next thing is done before the model has answered
        y, x = desk.discs.centre(230, frame)
        bench.session.set_prompt(Prompt(ObjectId(1), frame, (Point(y, x),)))
    bench.undo()
    desk.settle()
    assert bench.labels.data[4].any() and not bench.labels.data[6].any()
    bench.redo()
    desk.settle()
    assert bench.labels.data[4].any() and bench.labels.data[6].any()


def test_moving_and_deleting_points_with_naparis_tools(desk):
    desk.click(230, 0)
    points = desk.widget.bench.prompts.points
    y, x = desk.discs.centre(140, 0)
    points.data = np.array([(0, y, x)])
    desk.settle()
    assert overlap(desk.widget.bench.labels.data[0], 1, desk.discs.mask(140, 0)) > 0.75
    points.selected_data = {0}
    points.remove_selected()
    desk.settle()
    assert not desk.widget.bench.labels.data.any()
    assert not len(desk.widget.bench.session.book)


def test_a_negative_click_removes_what_it_marks(desk, qtbot):
    desk.click(230, 0)
    before = (desk.widget.bench.labels.data[0] == 1).sum()
    desk.widget.bench.tools.toggle_polarity()
    y, x = desk.discs.centre(230, 0)
    desk.widget.bench.prompts.points.feature_defaults = {"object_id": 1, "polarity": "negative"}
    desk.widget.bench.prompts.points.add((0, y + 4, x))
    desk.settle()
    (prompt,) = desk.widget.bench.session.book
    assert [p.positive for p in prompt.points] == [True, False]
    assert 0 < (desk.widget.bench.labels.data[0] == 1).sum() < before


def test_a_correction_marks_its_surroundings_stale(desk, qtbot):
    desk.click(230, 0)
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.settle()
    desk.click(230, 6)
    (row,) = desk.widget.table.rows
    assert row.stale
    assert row.frames.startswith("stale")
    assert "older than your clicks" in desk.widget.line.message.text
    assert "Press Propagate" in desk.widget.line.message.text


def test_a_box_is_a_prompt(desk):
    desk.widget.table.menu.box_wanted.emit()
    shapes = desk.widget.bench.prompts.shapes
    assert shapes.mode == "add_rectangle"
    y, x = desk.discs.centre(230, 2)
    corners = [(2, y - 8, x - 8), (2, y - 8, x + 8), (2, y + 8, x + 8), (2, y + 8, x - 8)]
    shapes.add_rectangles(np.array(corners))
    desk.settle()
    (prompt,) = desk.widget.bench.session.book
    assert prompt.box is not None
    assert overlap(desk.widget.bench.labels.data[2], 1, desk.discs.mask(230, 2)) > 0.8
    desk.widget.bench.undo()
    desk.settle()
    assert len(shapes.data) == 0
    desk.viewer.layers.remove(shapes)
    desk.settle()
    assert desk.widget.bench.prompts.shapes is None


def test_escape_ends_drawing_boxes(desk):
    bench = desk.widget.bench
    bench.tools.draw_box()
    desk.settle()
    assert "Esc" in desk.widget.line.message.text
    shapes = bench.prompts.shapes
    next(action for key, action in shapes.keymap.items() if str(key) == "Escape")(shapes)
    assert desk.viewer.layers.selection.active is bench.prompts.points
    assert bench.prompts.points.mode == "add"
    assert "Click on the object" in desk.widget.line.message.text


@pytest.mark.parametrize(
    ("where", "message"), [((0, 400, 20), "outside"), ((20, 20, 20), "frames 0 to 11")]
)
def test_a_click_beside_the_image_is_refused(desk, where, message):
    desk.widget.bench.prompts.points.add(where)
    desk.settle()
    assert message in desk.widget.line.message.text
    assert desk.widget.line.message.kind == "error"
    assert len(desk.widget.bench.prompts.points.data) == 0


def test_a_click_in_3d_is_refused(desk):
    desk.viewer.dims.ndisplay = 3
    desk.widget.bench.prompts.points.add((0, 20, 20))
    desk.settle()
    assert "switch to 2D" in desk.widget.line.message.text
    assert len(desk.widget.bench.prompts.points.data) == 0
    desk.viewer.dims.ndisplay = 2


def test_a_painted_frame_is_kept_and_offered_as_a_prompt(desk, qtbot):
    desk.click(230, 0)
    labels = desk.widget.bench.labels
    desk.viewer.dims.set_current_step(0, 5)
    desk.settle()
    y, x = (round(v) for v in desk.discs.centre(230, 5))
    labels.brush_size = 13
    labels.paint((5, y, x), 1)
    qtbot.wait(20)
    painted = labels.data[5].copy()
    assert painted.any()
    assert "painted by hand" in desk.widget.line.message.text
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.settle()
    np.testing.assert_array_equal(labels.data[5], painted)
    assert labels.data[6].any()
    desk.widget.bench.live.use_painted(5, [1])
    desk.settle()
    prompt = desk.widget.bench.session.book.get(1, 5)
    assert isinstance(prompt, MaskPrompt)
    np.testing.assert_array_equal(prompt.mask, painted == 1)
    np.testing.assert_array_equal(labels.data[5], painted)
    ledger = desk.widget.bench.live.writer.ledger
    assert 5 in ledger.painted
    desk.widget.bench.live.overwrite_painted(5)
    desk.settle()
    assert 5 not in ledger.painted  # the model's mask, which the prompt made the same


def test_undo_takes_back_a_stroke_before_a_click(desk):
    desk.click(230, 0)
    labels = desk.widget.bench.labels
    before = labels.data.copy()
    labels.paint((0, 80, 100), 1)
    desk.settle()
    desk.widget.bench.undo()
    desk.settle()
    np.testing.assert_array_equal(labels.data, before)
    assert len(desk.widget.bench.prompts.points.data) == 1
    assert not desk.widget.bench.live.writer.ledger.painted


def test_a_labels_layer_of_the_user_keeps_its_ids(desk, qtbot):
    mine = desk.viewer.add_labels(np.zeros((12, 96, 128), np.int32), name="mine")
    mine.data[:, 80:90, 5:20] = 7
    before = mine.data.copy()
    box = desk.widget.masks_box
    box.setCurrentIndex(box.findText("mine"))
    desk.settle()
    assert desk.widget.bench.labels is mine
    desk.widget.bench.add_object()
    assert desk.widget.bench.objects.selected == 9  # 8 was added when the layer was taken up
    desk.click(230, 0)
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.settle()
    np.testing.assert_array_equal(mine.data == 7, before == 7)
    assert all((mine.data[frame] == 9).any() for frame in range(12))


def test_masks_can_go_to_a_new_layer(desk):
    desk.click(230, 0)
    first = desk.widget.bench.labels
    box = desk.widget.masks_box
    box.setCurrentIndex(box.findText("new layer"))
    desk.settle()
    second = desk.widget.bench.labels
    assert second is not first
    assert first.data[0].any()
    np.testing.assert_array_equal(second.data, first.data)  # the clicks are answered there
    assert box.currentText() == second.name


def test_labels_of_the_frame_become_prompts(desk):
    labels = desk.widget.bench.labels
    labels.data[0][desk.discs.mask(230, 0)] = 3
    desk.widget.table.menu.labels_offered.emit()
    desk.settle()
    assert [row.object_id for row in desk.widget.table.rows] == [1, 3]
    assert isinstance(desk.widget.bench.session.book.get(3, 0), MaskPrompt)


def test_objects_are_added_renamed_hidden_and_deleted(desk, qtbot):
    widget = desk.widget
    desk.click(230, 0)
    qtbot.mouseClick(widget.table.add_button, Qt.MouseButton.LeftButton)
    desk.click(140, 0)
    assert [row.object_id for row in widget.table.rows] == [1, 2]
    widget.table.table.item(1, 1).setText("grasper")
    assert widget.bench.objects.names[2] == "grasper"
    assert widget.selected_button.text() == "only grasper"
    widget.table.table.item(0, 0).setCheckState(Qt.CheckState.Unchecked)
    assert widget.bench.labels.get_color(1) is None or widget.bench.labels.get_color(1)[3] == 0
    widget.table.table.selectRow(1)
    qtbot.mouseClick(widget.table.delete_button, Qt.MouseButton.LeftButton)
    desk.settle()
    assert [row.object_id for row in widget.table.rows] == [1]
    assert not (widget.bench.labels.data == 2).any()
    assert set(widget.bench.prompts.points.features["object_id"]) == {1}
    widget.bench.undo()
    desk.settle()
    assert (widget.bench.labels.data == 2).any()
    assert [row.object_id for row in widget.table.rows] == [1, 2]


def test_jump_goes_round_the_prompts_of_an_object(desk):
    desk.click(230, 2)
    desk.click(230, 9)
    seen = []
    for _ in range(3):
        desk.widget.bench.jump(1)
        seen.append(desk.widget.bench.live.frame)
    assert seen == [2, 9, 2]


def test_the_dot_says_when_the_frame_is_ready(desk, qtbot):
    states = []
    desk.widget.bench.live.ready_changed.connect(states.append)
    embedded = desk.network.embedded
    for frame in range(1, 9):  # scrubbing: nothing is computed before the slider rests
        desk.viewer.dims.set_current_step(0, frame)
    assert desk.network.embedded == embedded
    qtbot.waitUntil(lambda: bool(states) and states[-1] == "ready", timeout=5000)
    assert desk.network.embedded == embedded + 1
    assert states[0] == "waiting"
    assert "embedding" in states


def test_deleting_a_layer_in_mid_run_ends_the_run(desk, qtbot):
    desk.click(230, 0)
    bench = desk.widget.bench
    bench.live.progressed.connect(
        lambda event: event.done == 2 and desk.viewer.layers.remove(bench.labels)
    )
    desk.widget.propagate()
    qtbot.waitUntil(lambda: not desk.widget.busy, timeout=20_000)
    qtbot.wait(50)
    assert desk.widget.bench is None
    assert "was deleted" in desk.widget.line.message.text
    assert len(desk.viewer.layers) == 2  # nothing is added anew
    assert "was deleted" in desk.widget.propagate_button.toolTip()  # why it is off
    (again,) = desk.widget.line.findChildren(QPushButton)
    assert again.text() == "Start again"
    again.click()
    desk.settle()
    assert len(desk.widget.bench.session.book) == 1  # the clicks are still there
    assert desk.widget.bench.labels.data[0].any()


def test_deleting_the_object_in_mid_run_goes_back_to_the_first_step(desk, qtbot, slow):
    desk.click(230, 0)
    bench = desk.widget.bench
    bench.live.progressed.connect(lambda event: event.done == 2 and bench.editor.delete([1]))
    with qtbot.waitSignal(bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.settle()
    assert "Click on the object" in desk.widget.line.message.text
    assert not bench.labels.data.any()


def test_closing_the_viewer_in_mid_run_ends_the_thread(desk, qtbot):
    desk.click(230, 0)
    thread, network = desk.widget.thread, desk.network
    desk.widget.bench.live.progressed.connect(lambda event: event.done == 2 and desk.viewer.close())
    desk.widget.propagate()
    qtbot.waitUntil(lambda: not thread.busy, timeout=20_000)
    assert len(network.remembered) < 12


def test_closing_the_dock_ends_the_run_and_leaves_the_viewer_alone(desk, qtbot, slow):
    desk.click(230, 0)
    thread = desk.widget.thread
    desk.widget.bench.live.progressed.connect(
        lambda event: event.done == 2 and desk.viewer.window.remove_dock_widget(desk.dock)
    )
    desk.widget.propagate()
    qtbot.waitUntil(lambda: not thread.busy, timeout=20_000)
    masks = desk.viewer.layers["film masks"].data
    assert 0 < masks.any((1, 2)).sum() < 12
    desk.viewer.add_image(np.zeros((4, 4)))
    desk.viewer.dims.set_current_step(0, 5)
    assert len(desk.viewer.layers) == 4


def test_an_error_is_shown_where_it_happened(desk, qtbot, monkeypatch):
    desk.click(230, 0)

    def fail(*args):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(desk.network, "segment", fail)
    desk.widget.propagate()
    desk.settle()
    qtbot.wait(20)
    assert desk.widget.line.message.kind == "error"
    assert "memory" in desk.widget.line.message.text
    assert desk.widget.propagate_button.isEnabled()
    assert desk.widget.bench.labels.data[0].any()


def test_another_image_has_its_own_session(desk, qtbot):
    desk.click(230, 0)
    first = desk.widget.bench
    desk.viewer.add_image(desk.film.data[:, ::-1], name="other", contrast_limits=(0, 255))
    box = desk.widget.image_box
    box.setCurrentIndex(box.findText("other"))
    desk.settle()
    assert desk.widget.bench is not first
    assert not len(desk.widget.bench.session.book)
    box.setCurrentIndex(box.findText("film"))
    desk.settle()
    assert desk.widget.bench is first
    assert desk.widget.table.rows[0].prompts == "1 click"


def test_a_picture_has_nothing_to_carry_masks_through(desk):
    assert not desk.widget.plan.isHidden()
    desk.viewer.add_image(desk.film.data[0], name="still", contrast_limits=(0, 255))
    box = desk.widget.image_box
    box.setCurrentIndex(box.findText("still"))
    desk.settle()
    assert desk.widget.axis_label.text() == "one picture"
    assert desk.widget.plan.isHidden()
    assert "Propagate" not in desk.widget.line.message.text
    desk.widget.bench.prompts.points.add(desk.discs.centre(230, 0))
    desk.settle()
    assert overlap(desk.widget.bench.labels.data, 1, desk.discs.mask(230, 0)) > 0.85
    assert "Propagate" not in desk.widget.line.message.text
    box.setCurrentIndex(box.findText("film"))
    desk.settle()
    assert not desk.widget.plan.isHidden()


def test_other_settings_keep_prompts_and_mark_masks_stale(desk, qtbot):
    desk.click(230, 0)
    with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
        desk.widget.propagate()
    desk.settle()
    desk.widget.advanced.set_image_size(512)
    desk.settle()
    (row,) = desk.widget.table.rows
    assert (row.prompts, row.stale) == ("1 click", True)
    assert desk.widget.bench.labels.data.any((1, 2)).all()


def test_clicks_that_were_there_before_are_taken_up(
    make_napari_viewer, qtbot, fake_network, discs, add_film
):
    from napari_surgisam.plugin.segment_widget import SegmentWidget

    viewer = make_napari_viewer()
    add_film(viewer)
    viewer.add_points(
        np.array([(0, *discs.centre(230, 0)), (3, *discs.centre(140, 3))]),
        name="clicks.csv",
        features={"object_id": [4, 6], "polarity": ["positive", "positive"]},
    )
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: widget.bench.session is not None and not widget.busy, timeout=20_000)
    qtbot.wait(50)
    assert [row.object_id for row in widget.table.rows] == [4, 6]
    assert (widget.bench.labels.data[0] == 4).any()
    assert (widget.bench.labels.data[3] == 6).any()


def test_another_depth_is_worked_on_when_asked(make_napari_viewer, qtbot, fake_network, discs):
    from napari_surgisam.plugin.segment_widget import SegmentWidget

    viewer = make_napari_viewer()
    film = np.stack([discs.read(frame)[..., 0] for frame in range(len(discs))])
    viewer.add_image(
        np.stack([film, film[:, ::-1]], axis=1),
        axis_labels=("t", "z", "y", "x"),
        contrast_limits=(0, 255),
    )
    viewer.dims.set_point((0, 1), (0, 0))
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)

    def settle():
        qtbot.wait(50)
        qtbot.waitUntil(
            lambda: widget.bench.session is not None and not widget.busy, timeout=20_000
        )

    settle()
    assert (widget.bench.grid.axis, dict(widget.bench.grid.fixed)) == (0, {1: 0})
    viewer.dims.set_point(1, 1)
    y, x = discs.centre(230, 0)
    widget.bench.prompts.points.add((0, 1, 95 - y, x))
    settle()
    assert "another depth" in widget.line.message.text
    assert not len(widget.bench.session.book)
    widget.line.findChildren(QPushButton)[0].click()
    settle()
    assert dict(widget.bench.grid.fixed) == {1: 1}
    assert len(widget.bench.session.book) == 1
    labels = widget.bench.labels.data
    assert overlap(labels[0, 1], 1, discs.mask(230, 0)[::-1]) > 0.8
    assert not labels[:, 0].any()


@pytest.fixture
def class_desk(desk, fake_network, monkeypatch):
    """The desk with a model that knows two classes by name: its label is their brightness."""
    monkeypatch.setattr(fake_network, "classes", {"bright": 230, "dim": 140}, raising=False)
    desk.widget._renew()
    return desk


def test_a_model_without_classes_offers_no_labelling(desk):
    assert desk.widget.classes_button.isHidden()


def test_label_classes_fills_every_frame_without_a_click(class_desk, qtbot):
    desk, widget = class_desk, class_desk.widget
    assert not widget.classes_button.isHidden()
    assert "bright, dim" in widget.classes_button.toolTip()
    widget.bench.hint()
    assert "press Label classes: this model knows bright, dim" in widget.line.message.text
    with qtbot.waitSignal(widget.bench.live.finished, timeout=20_000):
        qtbot.mouseClick(widget.classes_button, Qt.MouseButton.LeftButton)
    desk.settle()
    assert {row.object_id: row.name for row in widget.table.rows} == {140: "dim", 230: "bright"}
    labels = widget.bench.labels.data
    for frame in range(12):
        for level in (230, 140):
            assert overlap(labels[frame], level, desk.discs.mask(level, frame)) > 0.7
    assert [row.frames for row in widget.table.rows] == ["12 ✓", "12 ✓"]
    assert "12 of 12 frames have masks" in widget.line.message.text
    assert widget.classes_button.isEnabled()
    widget.guide.look()
    steps = [step.done for step in widget.guide_panel.steps.steps]
    assert steps == [True, True, False], "no click is called for"
    widget.bench.undo()
    desk.settle()
    assert not widget.bench.labels.data.any()


def test_labelling_keeps_clicks_heeds_the_range_and_can_be_cancelled(class_desk, qtbot, slow):
    desk, widget = class_desk, class_desk.widget
    desk.click(140, 2)
    clicked = widget.bench.labels.data[2].copy()
    widget.plan.set_value(Plan("forward", Span(1, 9)))
    steps = []

    def on_progress(event):
        steps.append(event.frame)
        assert not widget.classes_button.isEnabled()
        if len(steps) == 3:
            widget.cancel()

    widget.bench.live.progressed.connect(on_progress)
    with qtbot.waitSignal(widget.bench.live.finished, timeout=20_000) as finished:
        qtbot.mouseClick(widget.classes_button, Qt.MouseButton.LeftButton)
    assert finished.args[1]
    desk.settle()
    labels = widget.bench.labels.data
    done = np.flatnonzero((labels == 230).any((1, 2))).tolist()
    assert done == steps[:3] + steps[3:] and done[0] == 1 and len(done) < 8
    assert set(widget.bench.objects.names.values()) == {"object 1", "bright", "dim"}
    assert len(widget.bench.session.book) == 1
    assert clicked.any()


def test_a_correction_after_labelling_changes_its_frame_alone(class_desk, qtbot):
    desk, widget = class_desk, class_desk.widget
    with qtbot.waitSignal(widget.bench.live.finished, timeout=20_000):
        qtbot.mouseClick(widget.classes_button, Qt.MouseButton.LeftButton)
    desk.settle()
    before = widget.bench.labels.data.copy()
    desk.click(140, 6, object_id=230)
    after = widget.bench.labels.data
    changed = np.flatnonzero((before != after).any((1, 2))).tolist()
    assert changed in ([], [6])
    assert widget.bench.session.stale(230) == ()
    assert "stale" not in "".join(row.frames for row in widget.table.rows)
