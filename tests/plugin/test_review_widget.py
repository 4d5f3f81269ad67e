"""The dock widget Review beside Segment: what it shows, and what its buttons do to the masks."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt

from napari_surgisam.plugin import review_widget
from napari_surgisam.plugin.review_widget import ReviewWidget
from napari_surgisam.plugin.segment_widget import SegmentWidget
from napari_surgisam.plugin.timeline import Selection

pytestmark = pytest.mark.qt


@pytest.fixture
def doubted(desk, monkeypatch):
    """Let the network doubt its masks on some frames, which it knows by where the disc is."""
    frames = set()
    segment = desk.network.segment

    def doubting(embedding, queries):
        answers = []
        for answer in segment(embedding, queries):
            columns = torch.nonzero((answer.logits[0] > 0).any(0)).float()
            x = (columns.mean() + 0.5) * 4 - 0.5 if len(columns) else torch.tensor(-1.0)
            frame = round(float((x - 8) / (128 - 16) * 11))
            doubtful = frame in frames and not answer.prompted
            answers.append(replace(answer, ious=answer.ious * 0.05) if doubtful else answer)
        return answers

    monkeypatch.setattr(desk.network, "segment", doubting)
    return frames


@pytest.fixture
def review(desk, qtbot):
    desk.viewer.window._qt_window.show()
    _, review = desk.viewer.window.add_plugin_dock_widget("napari-surgisam", "Review")
    qtbot.waitUntil(lambda: review._bench is desk.widget.bench, timeout=5000)
    return review


@pytest.fixture
def propagate(desk, qtbot):
    def propagate():
        with qtbot.waitSignal(desk.widget.bench.live.finished, timeout=20_000):
            desk.widget.propagate()
        desk.settle()

    return propagate


def accepted(desk):
    return dict(desk.widget.bench.session.annotation.accepted)


def test_it_follows_segment_and_goes_below_the_canvas(desk, review, qtbot, propagate):
    window = desk.viewer.window._qt_window
    assert "no masks yet" in review.summary.text()
    dock = desk.viewer.window._wrapped_dock_widgets["Review (napari-surgisam)"]
    qtbot.waitUntil(
        lambda: window.dockWidgetArea(dock) == Qt.DockWidgetArea.BottomDockWidgetArea, timeout=5000
    )
    desk.click(230, 0)
    desk.widget.bench.rename(1, "gallbladder")
    propagate()
    qtbot.waitUntil(lambda: review.timeline.object_ids == (1,), timeout=5000)
    qtbot.waitUntil(lambda: review.timeline._sheet.curves[1].known.all(), timeout=5000)
    ticks = review.timeline.plot.getAxis("left")._tickLevels
    qtbot.waitUntil(
        lambda: review.timeline.plot.getAxis("left")._tickLevels[0] == [(0.5, "gallbladder")],
        timeout=5000,
    )
    assert len(ticks) == 1
    assert "No frame is doubtful" in review.summary.text()


def test_n_shows_first_where_a_click_mends_most_and_the_status_counts_the_places(
    desk, review, qtbot, propagate, doubted
):
    doubted.update((2, 3, 11))
    desk.click(230, 0)
    propagate()
    assert "2 doubtful places: press N." in desk.widget.line.message.text
    qtbot.waitUntil(lambda: "2 doubtful places" in review.summary.text(), timeout=5000)
    assert "first frame 3 of object 1" in review.summary.text()
    keymap = {str(key): action for key, action in desk.widget.bench.prompts.points.keymap.items()}
    shown = []
    for _ in range(3):
        keymap["N"](desk.widget.bench.prompts.points)
        desk.settle()
        shown.append(desk.viewer.dims.current_step[0])
    assert shown == [3, 11, 3]
    assert "all were shown" in desk.widget.line.message.text
    qtbot.waitUntil(lambda: review.timeline._here.value() == 3, timeout=5000)
    desk.widget.bench.review.accept([1], range(2, 4))
    desk.widget.bench.review.next_doubtful()
    assert desk.viewer.dims.current_step[0] == 11
    desk.widget.bench.review.accept([1], range(0, 12))
    desk.widget.bench.review.next_doubtful()
    assert "No doubtful frame" in desk.widget.line.message.text


def test_a_click_on_a_row_goes_to_its_frame_and_object(desk, review, qtbot, propagate):
    desk.click(230, 0)
    desk.widget.bench.add_object()
    desk.click(140, 0)
    propagate()
    qtbot.waitUntil(lambda: review.timeline.object_ids == (1, 2), timeout=5000)
    review.timeline.click_at(7, 0.5)
    assert (desk.viewer.dims.current_step[0], desk.widget.bench.objects.selected) == (7, 1)
    review.timeline.click_at(2, 1.5)
    assert (desk.viewer.dims.current_step[0], desk.widget.bench.objects.selected) == (2, 2)


def test_accepted_masks_survive_a_correction_and_undo_opens_them(desk, review, qtbot, propagate):
    desk.click(230, 0)
    propagate()
    labels = desk.widget.bench.labels.data
    qtbot.waitUntil(lambda: review.timeline.object_ids == (1,), timeout=5000)
    before, masks = labels.copy(), desk.widget.bench.session.masklets[1]
    review.timeline.select(Selection((1,), range(4, 8)))
    assert review.span_label.text() == "object 1, frames 4–7:"
    assert not review.reopen_button.isVisible()
    qtbot.mouseClick(review.accept_button, Qt.MouseButton.LeftButton)
    assert accepted(desk) == {1: (range(4, 8),)}
    assert "accepted" in desk.widget.line.message.text
    y, x = desk.discs.centre(230, 2)
    desk.viewer.dims.set_current_step(0, 2)
    desk.widget.bench.tools.toggle_polarity()
    desk.widget.bench.prompts.points.add((2, y, x + 3))
    desk.settle()
    propagate()
    after = desk.widget.bench.session.masklets[1]
    assert [after[f] is masks[f] for f in range(1, 9)] == [*[False] * 3, *[True] * 4, False]
    assert not (labels[2] == before[2]).all()
    review.timeline.select(Selection((1,), range(0, 12)))
    assert review.reopen_button.isVisible()
    qtbot.mouseClick(review.reopen_button, Qt.MouseButton.LeftButton)
    assert accepted(desk) == {}
    desk.widget.bench.undo()
    assert accepted(desk) == {1: (range(4, 8),)}
    for _ in range(3):  # the propagation, the click, the acceptance
        desk.widget.bench.undo()
        desk.settle()
    assert accepted(desk) == {}
    np.testing.assert_array_equal(labels, before)


def test_clear_takes_the_masks_out_of_the_layer_and_undo_brings_them_back(
    desk, review, qtbot, propagate
):
    desk.click(230, 0)
    propagate()
    labels = desk.widget.bench.labels.data
    before = labels.copy()
    desk.widget.bench.review.accept([1], range(6, 7))
    qtbot.waitUntil(lambda: review.timeline.object_ids == (1,), timeout=5000)
    review.timeline.select(Selection((1,), range(0, 9)))
    qtbot.mouseClick(review.clear_button, Qt.MouseButton.LeftButton)
    desk.settle()
    assert np.flatnonzero(labels.any((1, 2))).tolist() == [0, 6, 9, 10, 11]
    assert desk.widget.propagate_button.text() == "Propagate 7 frames"
    desk.widget.bench.undo()
    desk.settle()
    np.testing.assert_array_equal(labels, before)


def test_propagate_again_does_the_selected_frames_of_the_selected_objects(
    desk, review, qtbot, propagate
):
    desk.click(230, 0)
    desk.widget.bench.add_object()
    desk.click(140, 0)
    propagate()
    qtbot.waitUntil(lambda: review.timeline.object_ids == (1, 2), timeout=5000)
    live, steps = desk.widget.bench.live, []
    masks = desk.widget.bench.session.masklets
    live.progressed.connect(lambda event: steps.append(event.frame))
    review.timeline.select(Selection((2,), range(5, 9)))
    with qtbot.waitSignal(live.finished, timeout=20_000):
        qtbot.mouseClick(review.again_button, Qt.MouseButton.LeftButton)
    assert [f for f in steps if f] == [5, 6, 7, 8]
    after = desk.widget.bench.session.masklets
    assert after[1] is masks[1]
    assert [f for f in range(12) if after[2][f] is not masks[2][f]] == [5, 6, 7, 8]
    assert review.timeline.selection is None


def test_a_propagation_costs_few_redraws(desk, review, qtbot, propagate, monkeypatch):
    desk.click(230, 0)
    qtbot.waitUntil(lambda: review.timeline.object_ids == (1,), timeout=5000)
    drawn = []
    show = review._show
    monkeypatch.setattr(review, "_show", lambda bench: (drawn.append(1), show(bench)))
    monkeypatch.setattr(review_widget, "LOOK_MILLISECONDS", 60_000)
    propagate()
    assert len(drawn) <= 1, "a look that was due before, and no more"
    review.look()
    assert review.timeline._sheet.curves[1].known.all()
    count = len(drawn)
    review.look()
    assert len(drawn) == count, "nothing changed"


def test_without_segment_it_offers_to_open_it(make_napari_viewer, qtbot, add_film, fake_network):
    viewer = make_napari_viewer(show=True)
    add_film(viewer)
    _, review = viewer.window.add_plugin_dock_widget("napari-surgisam", "Review")
    qtbot.waitUntil(review.open_button.isVisible, timeout=5000)
    review.timeline.click_at(3, 0.5)
    review.accept()
    review.propagate_again()
    qtbot.mouseClick(review.open_button, Qt.MouseButton.LeftButton)
    segment = next(w for w in viewer.window.dock_widgets.values() if isinstance(w, SegmentWidget))
    qtbot.waitUntil(lambda: review._bench is segment.bench is not None, timeout=10_000)
    qtbot.waitUntil(lambda: segment.bench.session is not None, timeout=20_000)
    assert not review.open_button.isVisible()
    thread = segment.thread
    viewer.close()
    gc.collect()
    qtbot.waitUntil(lambda: not thread.busy, timeout=20_000)


def test_the_button_in_segment_opens_it_and_closing_segment_empties_it(desk, qtbot, propagate):
    desk.viewer.window._qt_window.show()
    desk.click(230, 0)
    propagate()
    qtbot.mouseClick(desk.widget.review_button, Qt.MouseButton.LeftButton)
    docked = desk.viewer.window.dock_widgets.values()
    (review,) = [w for w in docked if isinstance(w, ReviewWidget)]
    qtbot.waitUntil(lambda: review.timeline.object_ids == (1,), timeout=5000)
    qtbot.mouseClick(desk.widget.review_button, Qt.MouseButton.LeftButton)
    assert len([w for w in docked if isinstance(w, ReviewWidget)]) == 1
    thread = desk.widget.thread
    desk.viewer.window.remove_dock_widget(desk.dock)
    qtbot.waitUntil(lambda: review.timeline.object_ids == (), timeout=5000)
    assert review.open_button.isVisible()
    qtbot.waitUntil(lambda: not thread.busy, timeout=20_000)
