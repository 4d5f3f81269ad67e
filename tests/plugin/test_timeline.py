"""The timeline in a window: clicks, drags and zoom, and how it stays quick with much to show."""

import numpy as np
import pytest
from pyqtgraph import Point
from qtpy.QtCore import Qt

from napari_surgisam.data.curves import Curve
from napari_surgisam.data.doubtful_places import DoubtfulPlace
from napari_surgisam.plugin.timeline import Selection, Timeline

pytestmark = pytest.mark.qt


def curves(objects=3, length=100):
    iou = np.full(length, 0.9, np.float32)
    logits, areas = np.full(length, 9, np.float32), np.full(length, 50, np.float32)
    return {k: Curve(k, iou, logits, areas, prompted=(0, 5)) for k in range(1, objects + 1)}


def show(timeline, shown, places=()):
    names = {k: f"object {k}" for k in shown}
    timeline.set_curves(shown, names, dict.fromkeys(shown, (0, 180, 240)), places)


@pytest.fixture
def timeline(qtbot):
    timeline = Timeline()
    qtbot.addWidget(timeline)
    timeline.resize(800, 200)
    timeline.show()
    qtbot.waitExposed(timeline)
    show(timeline, curves())
    qtbot.wait(50)
    return timeline


def at(timeline, frame, row):
    """Return where a frame of a row is on the plot's viewport."""
    return timeline.plot.mapFromScene(timeline._box.mapViewToScene(Point(frame, row + 0.5)))


def test_a_click_asks_for_its_frame_and_object(timeline, qtbot):
    viewport = timeline.plot.viewport()
    for frame, row in ((0, 0), (42, 1), (99, 2)):
        with qtbot.waitSignal(timeline.frame_clicked, timeout=2000) as clicked:
            qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=at(timeline, frame, row))
        assert clicked.args == [row + 1, frame]


def test_a_drag_selects_frames_of_the_rows_it_crosses_and_a_click_ends_that(timeline, qtbot):
    viewport = timeline.plot.viewport()
    start, stop = at(timeline, 60, 1), at(timeline, 20, 0)
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 6):
        qtbot.mouseMove(viewport, start + (stop - start) * (step / 5))
        qtbot.wait(20)
    with qtbot.waitSignal(timeline.selected, timeout=2000):
        qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=stop)
    assert timeline.selection == Selection((1, 2), range(20, 61))
    assert timeline._chosen.isVisible()
    timeline.click_at(3, 0.5)
    assert timeline.selection is None
    assert not timeline._chosen.isVisible()


def test_places_outside_are_brought_inside(timeline):
    assert timeline.between((-30, -2), (500, 9)) == Selection((1, 2, 3), range(100))
    assert timeline.between((41.4, 1.2), (41.4, 1.2)) == Selection((2,), range(41, 42))


def test_zooming_stays_within_the_frames_and_new_masks_do_not_undo_it(timeline):
    timeline._box.setXRange(-400, 30, padding=0)
    assert timeline.shown[0] >= -0.5
    timeline._box.setXRange(20, 40, padding=0)
    show(timeline, curves())
    assert timeline.shown == (20, 40)
    show(timeline, curves(objects=2))
    assert timeline.shown == (-0.5, 99.5)


def test_clicks_worst_place_and_shown_frame_are_marked(timeline):
    places = [DoubtfulPlace(0.1, 2, 30, 28, 33), DoubtfulPlace(0.15, 1, 70, 70, 71)]
    show(timeline, curves(), places)
    x, y = timeline._clicks.getData()
    assert sorted({*zip(x, np.floor(y), strict=True)}) == [(f, n) for f in (0, 5) for n in range(3)]
    marks = {(p.pos().x(), int(p.pos().y())): p.symbol() for p in timeline._doubts.points()}
    assert marks == {(30, 1): "star", (70, 0): "t1"}
    timeline.show_frame(17)
    assert (timeline._here.isVisible(), timeline._here.value()) == (True, 17)
    timeline.show_frame(None)
    assert not timeline._here.isVisible()


def test_nothing_to_show_is_no_error(timeline):
    timeline.select(Selection((1,), range(3)))
    show(timeline, {})
    assert timeline.selection is None
    assert timeline.between((0, 0), (1, 1)) is None
    timeline.click_at(3, 0.5)
    timeline.show_lines([])
