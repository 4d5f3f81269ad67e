"""Typing which values become black and white."""

import pytest
from qtpy.QtCore import Qt

from napari_surgisam.plugin.advanced_panel import AdvancedPanel
from napari_surgisam.plugin.window_widget import WRONG, WindowWidget

pytestmark = pytest.mark.qt


@pytest.fixture
def widget(qtbot):
    widget = WindowWidget()
    qtbot.addWidget(widget)
    widget.show()
    widget.said = []
    widget.value_changed.connect(widget.said.append)
    return widget


def type_in(qtbot, edit, text):
    edit.clear()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


def test_two_numbers_are_a_window_once_both_are_there(widget, qtbot):
    assert widget.value() == "shown"
    assert not widget.low.isVisible()
    widget._kind.setCurrentIndex(2)
    assert widget.low.isVisible()
    type_in(qtbot, widget.low, "-160")
    assert (widget.value(), widget.said) == ("shown", [])
    type_in(qtbot, widget.high, "240.5")
    assert widget.value() == (-160.0, 240.5)
    assert widget.said == [(-160.0, 240.5)]


def test_black_above_white_is_refused_and_the_last_window_stays(widget, qtbot):
    widget.set_value((0, 1))
    type_in(qtbot, widget.low, "3")
    assert widget.value() == (0.0, 1.0)
    assert widget.high.toolTip() == WRONG
    type_in(qtbot, widget.low, "no number")
    assert widget.value() == (0.0, 1.0)
    type_in(qtbot, widget.low, "0.5")
    assert widget.value() == (0.5, 1.0)
    assert widget.high.toolTip() != WRONG
    assert widget.said == [(0.0, 1.0), (0.5, 1.0)]


def test_going_back_to_the_layers_own_window(widget):
    widget.set_value("auto")
    widget.set_value("shown")
    assert not widget.low.isVisible()
    assert widget.said == ["auto", "shown"]


def test_the_settings_hold_a_typed_window(qtbot):
    panel = AdvancedPanel()
    qtbot.addWidget(panel)
    with qtbot.waitSignal(panel.value_changed) as changed:
        panel._window.set_value((-160, 240))
    assert changed.args[0].window == (-160.0, 240.0)
    assert panel.value().window == (-160.0, 240.0)
