"""Finding an object again that was out of the picture, in a real window."""

import numpy as np
import pytest
import torch
from fakes import FakeNetwork, MovingDiscs
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_surgisam.engine import models

pytestmark = pytest.mark.qt


class TwoChannels(FakeNetwork):
    """Brightness, and what it lacks: so that brightness is a direction of the features."""

    def embed(self, images):
        embeddings = super().embed(images)
        for embedding in embeddings:
            grey = embedding.features
            object.__setattr__(embedding, "features", torch.cat([grey, 255 - grey], dim=1))
        return embeddings


@pytest.fixture
def fake_network(monkeypatch):
    network = TwoChannels()
    monkeypatch.setattr(models, "load_network", lambda *args, **kwargs: network)
    return network


@pytest.fixture
def discs():
    return MovingDiscs(12, (230, 140), (96, 128), hidden={230: range(4, 8)})


def press(desk, qtbot, key):
    canvas = desk.viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, key)
    desk.settle()


def shown(desk):
    return desk.viewer.dims.current_step[0]


def test_a_lost_object_is_proposed_where_it_returns_and_counts_once_confirmed(desk, qtbot):
    desk.click(230, 0)
    bench, points = desk.widget.bench, desk.widget.bench.prompts.points
    desk.viewer.dims.set_current_step(0, 4)
    press(desk, qtbot, Qt.Key.Key_F)
    assert shown(desk) == 8
    assert "object 1 may be back on frame 8" in desk.widget.line.message.text
    assert "similarity 1.00" in desk.widget.line.message.text
    assert list(points.features["polarity"]) == ["positive", "proposed"]
    assert [str(s) for s in points.symbol] == ["disc", "star"]
    _, y, x = points.data[1]
    assert desk.discs.mask(230, 8)[round(y), round(x)]
    assert bench.session.book.frames(1) == (0,), "it says nothing yet"
    assert not (bench.labels.data[8] == 1).any()
    points.data = np.add(points.data, [[0, 0, 0], [0, 1, 1]])  # it can be moved
    desk.settle()
    assert bench.session.book.frames(1) == (0,)
    press(desk, qtbot, Qt.Key.Key_Y)
    (point,) = bench.session.book.get(1, 8).points
    assert (point.y, point.x, point.positive) == (pytest.approx(y + 1), pytest.approx(x + 1), True)
    assert [str(s) for s in points.symbol] == ["disc", "disc"]
    assert (bench.labels.data[8] == 1).any()
    bench.undo()
    desk.settle()
    assert bench.session.book.frames(1) == (0,)
    assert len(points.data) == 1
    press(desk, qtbot, Qt.Key.Key_Y)
    assert "No place is proposed" in desk.widget.line.message.text


def test_the_search_goes_on_behind_a_proposal_and_can_be_discarded(desk, qtbot):
    desk.click(230, 0)
    points = desk.widget.bench.prompts.points
    desk.viewer.dims.set_current_step(0, 4)
    desk.widget.prompt_row.find_button.click()
    desk.settle()
    desk.click(140, 9, object_id=1)  # prompts of other frames leave a proposal alone
    desk.viewer.dims.set_current_step(0, 8)
    assert sorted(points.features["polarity"]) == ["positive", "positive", "proposed"]
    desk.widget.bench.undo()
    desk.settle()
    assert sorted(points.features["polarity"]) == ["positive", "proposed"]
    press(desk, qtbot, Qt.Key.Key_F)
    assert shown(desk) == 9
    assert points.data[1, 0] == 9
    buttons = {b.text(): b for b in desk.widget.line.findChildren(QPushButton)}
    buttons["Discard"].click()
    assert list(points.features["polarity"]) == ["positive"]


def test_where_nothing_is_like_the_object_the_nearest_is_told_and_shown_on_request(desk):
    desk.discs.hidden[230] = range(4, 12)
    desk.film.data[8:][desk.film.data[8:] == 230] = 20
    desk.click(230, 0)
    desk.viewer.dims.set_current_step(0, 8)
    desk.widget.bench.tools.finder.find()
    desk.settle()
    assert "No frame looks enough like object 1" in desk.widget.line.message.text
    assert len(desk.widget.bench.prompts.points.data) == 1
    buttons = {b.text(): b for b in desk.widget.line.findChildren(QPushButton)}
    buttons["Show it"].click()
    assert list(desk.widget.bench.prompts.points.features["polarity"])[1] == "proposed"


def test_an_object_that_nobody_has_shown_cannot_be_found(desk):
    desk.widget.bench.tools.finder.find()
    desk.settle()
    assert "click on it where it is seen" in desk.widget.line.message.text


def test_escape_ends_a_search(desk, qtbot):
    desk.click(230, 0)
    bench = desk.widget.bench
    finder = bench.tools.finder
    bench.live.session.tracker.cache.clear()
    looked = []
    finder.progressed.connect(lambda event: looked.append(event.frame))
    finder.progressed.connect(lambda event: bench.escape())
    desk.viewer.dims.set_current_step(0, 1)
    desk.settle()
    with qtbot.waitSignal(finder.running_changed, timeout=20_000):
        finder.find()
    assert desk.widget.progress.isVisibleTo(desk.widget)
    desk.settle()
    assert not finder.running
    assert len(looked) < 3
    assert not desk.widget.progress.isVisibleTo(desk.widget)
