"""Suggested objects in the real window: looked for, chosen among, kept."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_surgisam.engine import suggesting
from napari_surgisam.engine.suggesting import Suggesting
from napari_surgisam.plugin import suggester

pytestmark = pytest.mark.qt


@pytest.fixture
def suggested(desk, qtbot, monkeypatch):
    """Suggestions for the two discs of frame 3; the fake network finds their rims, too: small."""
    monkeypatch.setattr(suggesting, "usual_suggesting", lambda model: Suggesting(least=100))
    desk.viewer.dims.set_current_step(0, 3)
    desk.settle()
    desk.widget.table.menu.suggestions_wanted.emit()
    assert desk.widget.progress.isVisible() or desk.widget.busy
    desk.settle()
    desk.suggester = desk.widget.desk.suggester
    return desk


def click(desk, place, *, to=None):
    """Press and release the mouse where a suggestion is, as napari's canvas reports it."""
    event = SimpleNamespace(
        pos=(10, 10), type="mouse_press", position=place, view_direction=None,
        dims_displayed=[1, 2],
    )  # fmt: skip
    steps = desk.suggester._press(desk.suggester.layer, event)
    next(steps)
    if to is not None:
        event.type, event.pos = "mouse_move", to
        next(steps)
    event.type = "mouse_release"
    assert next(steps, None) is None


def colours(desk):
    table = desk.suggester.layer.colormap.color_dict
    return {n: float(table[n][3]) for n in range(1, len(desk.suggester.suggestions) + 1)}


def test_suggestions_are_shown_on_their_frame_and_nothing_is_changed_yet(suggested):
    found = suggested.suggester.suggestions
    assert len(found) == 2 and suggested.suggester.row.isVisibleTo(suggested.widget)
    layer = suggested.suggester.layer
    assert suggested.viewer.layers.selection.active is layer
    shown = np.asarray(layer.data)
    assert set(np.unique(shown[3])) == {0, 1, 2} and not shown[2].any()
    assert suggested.widget.bench.session.object_ids == ()
    assert suggested.suggester.row.keep_button.text() == "Keep 2"


def test_a_click_drops_one_and_a_drag_does_not(suggested):
    place = (3, *suggested.discs.centre(230, 3))
    click(suggested, place, to=(40, 40))
    assert len(suggested.suggester.chosen()) == 2
    click(suggested, place)
    assert sorted(colours(suggested).values()) == pytest.approx([suggester.FAINT, 1])
    click(suggested, place)
    assert set(colours(suggested).values()) == {1.0}
    suggested.suggester.row.least.setValue(1.0)
    assert suggested.suggester.chosen() == []
    assert not suggested.suggester.row.keep_button.isEnabled()
    click(suggested, place)
    assert len(suggested.suggester.chosen()) == 1


def test_kept_ones_are_objects_that_can_be_clicked_and_propagated(suggested):
    click(suggested, (3, *suggested.discs.centre(140, 3)))
    bench, session = suggested.widget.bench, suggested.widget.bench.session
    suggested.suggester.row.kept.emit()
    suggested.settle()
    assert suggested.suggester.layer is None and not suggested.suggester.suggestions
    assert [row.prompts for row in suggested.widget.table.rows] == ["1 click"]
    assert session.object_ids == (1,), "the empty object did not make room"
    assert len(bench.prompts.points.data) == 1
    truth = suggested.discs.mask(230, 3)
    found = np.asarray(bench.labels.data[3]) == 1
    assert (found & truth).sum() > 0.8 * truth.sum()
    suggested.widget.propagate()
    suggested.settle()
    assert (np.asarray(bench.labels.data[9]) == 1).any()
    bench.undo()
    bench.undo()
    suggested.settle()
    assert session.object_ids == () and len(bench.prompts.points.data) == 0
    assert len(suggested.viewer.layers) == 3


def test_what_is_an_object_is_not_suggested_and_dropping_changes_nothing(suggested):
    suggested.suggester.row.kept.emit()
    suggested.settle()
    before = suggested.widget.bench.session.annotation
    suggested.widget.table.menu.suggestions_wanted.emit()
    suggested.settle()
    assert suggested.suggester.layer is None
    assert "Nothing on this frame" in suggested.widget.line.message.text
    assert suggested.widget.bench.session.annotation is before


@pytest.mark.parametrize("how", ["button", "layer", "image"])
def test_suggestions_go_without_a_trace(suggested, how):
    layer = suggested.suggester.layer
    if how == "button":
        suggested.suggester.row.dropped.emit()
    else:
        suggested.viewer.layers.remove(layer if how == "layer" else suggested.film)
    assert suggested.suggester.layer is None and layer not in suggested.viewer.layers
    assert not suggested.suggester.row.isVisibleTo(suggested.widget)


def test_looking_can_be_cancelled(desk, slow, qtbot):
    desk.widget.table.menu.suggestions_wanted.emit()
    qtbot.waitUntil(lambda: desk.widget.progress.isVisibleTo(desk.widget))
    desk.widget.progress.cancelled.emit()
    desk.settle()
    assert desk.widget.desk.suggester.layer is None
    assert not desk.widget.progress.isVisibleTo(desk.widget)
