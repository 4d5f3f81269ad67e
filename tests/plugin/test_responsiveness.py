"""The window stays alive while the real architecture computes, and hands and keys reach it."""

import time

import numpy as np
import pytest
import torch
from qtpy.QtCore import QPoint, Qt, QTimer

from napari_surgisam.engine import models
from napari_surgisam.engine.compact_network import CompactConfig, load_compact
from napari_surgisam.plugin.segment_widget import SegmentWidget

pytestmark = [pytest.mark.qt, pytest.mark.sam2]

LONGEST_GAP = 0.1  # seconds
ATTEMPTS = 4  # other processes of the machine may take the processor away, not every time


def longest_gap(widget, qtbot):
    """Propagate; return the longest time that a 10 ms timer had to wait, in seconds."""
    gaps, last = [], [time.perf_counter()]

    def tick():
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(10)
    with qtbot.waitSignal(widget.bench.live.finished, timeout=300_000):
        widget.propagate()
    timer.stop()
    assert len(gaps) > 20
    return max(gaps)


def test_the_window_stays_alive_while_the_model_propagates(make_napari_viewer, qtbot, monkeypatch):
    torch.manual_seed(0)
    network = load_compact(CompactConfig(), None)
    monkeypatch.setattr(models, "load_network", lambda *args, **kwargs: network)
    coarse = np.random.default_rng(0).integers(0, 255, (60, 107, 3), np.uint8)
    image = coarse.repeat(8, 0).repeat(8, 1)[:, :854]
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(800, 600)
    viewer.add_image(
        np.stack([np.roll(image, 3 * frame, axis=1) for frame in range(16)]),
        rgb=True,
        axis_labels=("time", "y", "x"),
    )
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    qtbot.waitUntil(lambda: widget.bench.session is not None, timeout=120_000)
    viewer.dims.set_current_step(0, 3)
    for y, x in ((100, 100), (300, 500)):
        widget.bench.prompts.points.add((3, y, x))
        qtbot.wait(50)
        qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
        widget.bench.add_object()
    found = []
    for _ in range(ATTEMPTS):
        found.append(longest_gap(widget, qtbot))
        if found[-1] <= LONGEST_GAP:
            break
        widget.bench.undo()
        qtbot.waitUntil(lambda: not widget.busy, timeout=60_000)
    assert min(found) <= LONGEST_GAP, f"longest gaps of {len(found)} runs, in seconds: {found}"


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def place(viewer, canvas, y, x):
    """Return where a pixel of the film is on the canvas."""
    camera = viewer.scene.camera
    centre, zoom = camera.center[-2:], camera.zoom
    ratio = canvas.devicePixelRatioF()
    return QPoint(
        round(canvas.width() / 2 + (x - centre[1]) * zoom / ratio),
        round(canvas.height() / 2 + (y - centre[0]) * zoom / ratio),
    )


def test_a_hand_clicks_and_types(desk, qtbot):
    viewer, bench = desk.viewer, desk.widget.bench
    viewer.window.resize(900, 700)
    viewer.window.show()
    canvas = canvas_of(viewer)
    qtbot.waitExposed(canvas)
    viewer.reset_view()
    qtbot.wait(50)
    y, x = desk.discs.centre(230, 0)

    def press(modifier, dy):
        where = place(viewer, canvas, y + dy, x)
        qtbot.mouseMove(canvas, where)
        qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, modifier, where)
        desk.settle()

    press(Qt.KeyboardModifier.NoModifier, 0)
    (prompt,) = bench.session.book
    assert (prompt.points[0].y, prompt.points[0].x) == pytest.approx((y, x), abs=1)
    assert prompt.points[0].positive
    assert (bench.labels.data[0] == 1).any()
    press(Qt.KeyboardModifier.AltModifier, 5)
    press(Qt.KeyboardModifier.NoModifier, -3)
    (prompt,) = bench.session.book
    assert [p.positive for p in prompt.points] == [True, False, True]

    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_T)
    assert bench.prompts.negative
    qtbot.keyClick(canvas, Qt.Key.Key_T)
    qtbot.keyClick(canvas, Qt.Key.Key_A)
    assert bench.objects.selected == 2
    qtbot.keyClick(canvas, Qt.Key.Key_Tab)
    assert bench.objects.selected == 1
    with qtbot.waitSignal(bench.live.finished, timeout=20_000):
        qtbot.keyClick(canvas, Qt.Key.Key_P)
    assert (bench.labels.data == 1).any((1, 2)).all()
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    desk.settle()
    assert np.flatnonzero(bench.labels.data.any((1, 2))).tolist() == [0]


def test_keys_are_listed_and_work_on_our_layers_only(desk):
    from napari_surgisam.plugin.keys import KEYS, UNNAMED

    tip = desk.widget.help_button.toolTip()
    assert all(what in tip for _, _, what in KEYS)
    assert len(desk.widget.bench.prompts.points.keymap) == len(KEYS) - len(UNNAMED)
    assert not desk.film.keymap
