"""What can be said about an object besides clicks and boxes, in a real window."""

import pytest
from fakes import HaloDiscs
from qtpy.QtCore import Qt

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
