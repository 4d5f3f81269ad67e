"""What can be said about an object besides clicks and boxes, in a real window."""

import numpy as np
import pytest
from fakes import HaloDiscs
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_surgisam.data.prompts import MaskPrompt

pytestmark = pytest.mark.qt


@pytest.fixture
def discs():
    return HaloDiscs(length=12, levels=(230, 140), shape=(96, 128))


def area(desk, frame, object_id=1):
    return int((desk.widget.bench.labels.data[frame] == object_id).sum())


def press(desk, qtbot, key):
    canvas = desk.viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, key)
    desk.settle()


def test_the_size_of_a_clicks_mask_is_chosen_with_a_key_or_the_box(desk, qtbot):
    box, bench = desk.widget.prompt_row.size_box, desk.widget.bench
    assert not box.isEnabled()
    desk.click(230, 2)
    assert box.isEnabled()
    auto = area(desk, 2)
    press(desk, qtbot, Qt.Key.Key_S)
    assert box.currentText() == "small"
    small = area(desk, 2)
    box.setCurrentIndex(3)
    box.activated.emit(3)
    desk.settle()
    assert small < auto < area(desk, 2)
    assert bench.session.book.get(1, 2).mask_size == "large"
    assert list(bench.prompts.points.features["mask_size"]) == ["large"]
    bench.undo()
    desk.settle()
    assert (box.currentText(), area(desk, 2)) == ("small", small)
    assert list(bench.prompts.points.features["mask_size"]) == ["small"]


def test_only_a_single_click_on_what_is_shown_has_a_choice_of_sizes(desk):
    box, tools = desk.widget.prompt_row.size_box, desk.widget.bench.tools
    desk.click(230, 2)
    tools.set_mask_size("large")
    desk.settle()
    desk.viewer.dims.set_current_step(0, 5)
    assert not box.isEnabled()
    tools.next_mask_size()
    assert "single click on the frame that is shown" in desk.widget.line.message.text
    desk.viewer.dims.set_current_step(0, 2)
    assert (box.isEnabled(), box.currentText()) == (True, "large")
    y, x = desk.discs.centre(230, 2)
    desk.widget.bench.prompts.points.add((2, y + 1, x))
    desk.settle()
    assert not box.isEnabled()
    desk.click(140, 7)  # the size is that one click's: the next has its own
    assert desk.widget.bench.session.book.get(1, 7).mask_size == "auto"


# what is drawn


def draw(desk, what, *places, frame=None):
    """Draw as napari's tools do, one shape at once."""
    shapes = desk.widget.bench.prompts.boxes()
    frame = desk.viewer.dims.current_step[0] if frame is None else frame
    shapes.add([[(frame, y, x) for y, x in places]], shape_type=what)
    desk.settle()


def clicks(desk, frame, object_id=1):
    prompt = desk.widget.bench.session.book.get(object_id, frame)
    return [(round(p.y), round(p.x), p.positive) for p in prompt.points]


def test_a_line_becomes_ordinary_clicks_and_undo_brings_the_line_back(desk, qtbot):
    desk.viewer.dims.set_current_step(0, 4)
    y, x = desk.discs.centre(230, 4)
    draw(desk, "path", (y - 6, x), (y + 6, x))
    assert desk.widget.bench.session.book.get(1, 4) is None, "nothing happens unasked"
    assert "A line of object 1" in desk.widget.line.message.text
    press(desk, qtbot, Qt.Key.Key_U)
    bench = desk.widget.bench
    points, shapes = bench.prompts.points, bench.prompts.shapes
    assert clicks(desk, 4) == [(18, round(x), True), (24, round(x), True), (30, round(x), True)]
    assert (len(points.data), len(shapes.data)) == (3, 0)
    assert area(desk, 4) > 100
    bench.undo()
    desk.settle()
    assert (len(points.data), len(shapes.data), area(desk, 4)) == (0, 1, 0)
    bench.redo()
    desk.settle()
    assert (len(points.data), len(shapes.data)) == (3, 0)
    assert area(desk, 4) > 100
    points.data = np.add(points.data, [0, 0, 1])  # they are points like all others
    desk.settle()
    assert clicks(desk, 4)[0] == (18, round(x) + 1, True)


def test_a_line_of_the_other_polarity_says_what_the_object_is_not(desk, qtbot):
    desk.click(230, 4)
    before = area(desk, 4)
    y, x = desk.discs.centre(230, 4)
    desk.widget.bench.tools.toggle_polarity()
    draw(desk, "line", (y - 3, x + 3), (y + 3, x + 3))
    assert "“not this” line" in desk.widget.line.message.text
    desk.widget.bench.tools.drawings.use()
    desk.settle()
    assert [positive for *_, positive in clicks(desk, 4)] == [True, False, False]
    assert area(desk, 4) < before


def test_a_lasso_becomes_a_mask_prompt_in_place_of_clicks(desk, qtbot):
    desk.click(230, 4)
    clicked = area(desk, 4)
    bench = desk.widget.bench
    draw(desk, "polygon", (10, 20), (10, 60), (40, 60), (40, 20))
    press(desk, qtbot, Qt.Key.Key_U)
    prompt = bench.session.book.get(1, 4)
    assert isinstance(prompt, MaskPrompt)
    assert prompt.mask[11:40, 21:60].all()
    assert prompt.mask.sum() < 31 * 42
    assert (len(bench.prompts.points.data), len(bench.prompts.shapes.data)) == (0, 0)
    assert area(desk, 4) == pytest.approx(30 * 40, rel=0.15)
    bench.undo()
    desk.settle()
    assert (len(bench.prompts.points.data), len(bench.prompts.shapes.data)) == (1, 1)
    assert area(desk, 4) == clicked


def test_a_negative_lasso_is_cut_out_of_the_mask(desk):
    desk.click(230, 4)
    before = area(desk, 4)
    y, x = desk.discs.centre(230, 4)
    desk.widget.bench.tools.toggle_polarity()
    draw(desk, "polygon", (y - 30, x), (y - 30, x + 30), (y + 30, x + 30), (y + 30, x))
    desk.widget.bench.tools.drawings.use()
    desk.settle()
    assert before / 4 < area(desk, 4) < 3 * before / 4
    assert not (desk.widget.bench.labels.data[4, :, int(x) + 5 :] == 1).any()


@pytest.mark.parametrize("areas", ["inside", "middle"])
def test_an_area_becomes_clicks_where_that_is_wanted(desk, areas):
    desk.viewer.dims.set_current_step(0, 4)
    draw(desk, "ellipse", (10, 20), (10, 60), (40, 60), (40, 20))
    buttons = {b.text(): b for b in desk.widget.line.findChildren(QPushButton)}
    buttons["Clicks inside" if areas == "inside" else "Clicks along its middle"].click()
    desk.settle()
    found = clicks(desk, 4)
    assert 2 <= len(found) <= 8
    assert all(((y - 25) / 15) ** 2 + ((x - 40) / 20) ** 2 < 1 for y, x, _ in found)


def test_drawings_of_other_frames_and_boxes_are_left_alone(desk):
    draw(desk, "path", (10, 10), (30, 30), frame=7)
    desk.viewer.dims.set_current_step(0, 4)
    y, x = desk.discs.centre(230, 4)
    draw(desk, "rectangle", (y - 8, x - 8), (y - 8, x + 8), (y + 8, x + 8), (y + 8, x - 8))
    box = desk.widget.bench.session.book.get(1, 4).box
    desk.widget.bench.tools.drawings.use()
    assert "Nothing is drawn on this frame" in desk.widget.line.message.text
    draw(desk, "path", (y, x), (y, x + 2))
    desk.widget.bench.tools.drawings.use()
    desk.settle()
    assert desk.widget.bench.session.book.get(1, 4).box == box
    assert sorted(desk.widget.bench.prompts.shapes.shape_type) == ["path", "rectangle"]
    desk.widget.bench.undo()
    desk.settle()
    assert sorted(desk.widget.bench.prompts.shapes.shape_type) == ["path", "path", "rectangle"]


def test_a_lasso_on_a_locked_object_stays_drawn(desk):
    desk.click(230, 4)
    desk.widget.bench.session.lock([1])
    draw(desk, "polygon", (10, 20), (10, 60), (40, 60), (40, 20))
    desk.widget.bench.tools.drawings.use()
    desk.settle()
    assert "locked" in desk.widget.line.message.text
    assert len(desk.widget.bench.prompts.shapes.data) == 1
    assert len(desk.widget.bench.prompts.points.data) == 1


def test_paint_becomes_clicks_along_its_middle(desk, qtbot):
    bench = desk.widget.bench
    desk.viewer.dims.set_current_step(0, 4)
    bench.viewer.layers.selection.active = bench.labels
    bench.labels.brush_size = 4
    bench.labels.selected_label = 1
    for x in range(20, 90):
        bench.labels.paint((4, 60, x), 1)
    bench.live.writer.notice_stroke()
    bench.painted.middle_wanted.emit(4, [1])
    desk.settle()
    found = clicks(desk, 4)
    assert len(found) >= 4
    assert all(58 <= y <= 62 and 18 <= x <= 92 for y, x, _ in found)
    assert (bench.labels.data[4, 60, 30:80] == 1).all(), "the paint stays"


# prompts of other frames


def test_the_nearest_prompt_is_copied_with_a_key_and_a_chosen_one_from_the_menu(desk, qtbot):
    row, bench = desk.widget.prompt_row, desk.widget.bench
    assert not row.copy_button.isEnabled()
    desk.click(230, 1)
    bench.tools.set_mask_size("large")
    desk.settle()
    desk.click(230, 8)
    assert row.copy_button.isEnabled()
    desk.viewer.dims.set_current_step(0, 7)
    press(desk, qtbot, Qt.Key.Key_C)
    assert clicks(desk, 7) == clicks(desk, 8)
    assert len(bench.prompts.points.data) == 3
    assert area(desk, 7) > 0
    bench.undo()
    desk.settle()
    assert bench.session.book.frames(1) == (1, 8)
    assert len(bench.prompts.points.data) == 2
    row.copy_button.menu().actions()[1].trigger()
    desk.settle()
    assert clicks(desk, 7) == clicks(desk, 1)
    assert bench.session.book.get(1, 7).mask_size == "large"
    assert "frame 1 is copied" in desk.widget.line.message.text
    row.copy_button.click()
    desk.settle()
    assert clicks(desk, 7) == clicks(desk, 8)
    assert "in place of what was said here" in desk.widget.line.message.text


def test_a_mask_prompt_is_copied_as_it_is(desk):
    desk.viewer.dims.set_current_step(0, 4)
    draw(desk, "polygon", (10, 20), (10, 60), (40, 60), (40, 20))
    desk.widget.bench.tools.drawings.use()
    desk.settle()
    desk.viewer.dims.set_current_step(0, 9)
    desk.widget.bench.tools.copy_here()
    desk.settle()
    assert area(desk, 9) == area(desk, 4) > 0
    desk.widget.bench.add_object()
    desk.widget.bench.tools.copy_here()
    assert "object 2 has no prompt on another frame" in desk.widget.line.message.text
