"""Opening files from the dock widget: no question which reader is meant."""

import time
from threading import current_thread, main_thread

import nibabel as nib
import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_surgisam.errors import DataError
from napari_surgisam.formats import sources
from napari_surgisam.formats.video import VideoFrames
from napari_surgisam.plugin.files import SOURCE
from napari_surgisam.plugin.opening import open_file
from napari_surgisam.plugin.segment_widget import SegmentWidget
from napari_surgisam.resources import sample_data

pytestmark = pytest.mark.qt


def test_a_movie_opens_at_once_though_napari_claims_it_too(make_napari_viewer):
    viewer = make_napari_viewer()
    open_file(viewer, sample_data() / "clip.mp4")
    (layer,) = viewer.layers
    assert SOURCE in layer.metadata, "another reader opened it"
    assert layer.axis_labels == ("time", "y", "x")


@pytest.mark.parametrize("name", ["clip.mp4", "volume.nii.gz"])
def test_the_window_lives_while_a_long_file_is_opened(make_napari_viewer, monkeypatch, name):
    viewer = make_napari_viewer()
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(QGuiApplication.overrideCursor()))
    timer.start(10)
    during = []

    def slowly(read):
        def reading(*args, **kwargs):
            assert current_thread() is not main_thread()
            before = len(ticks)
            time.sleep(0.3)  # as a movie of hours takes
            during.append(len(ticks) - before)
            return read(*args, **kwargs)

        return reading

    monkeypatch.setattr(sources, "open_source", slowly(sources.open_source))
    monkeypatch.setattr(nib, "load", slowly(nib.load))
    open_file(viewer, sample_data() / name)
    assert len(viewer.layers) == 1
    assert during[0] >= 5, "the window stood still"
    assert any(cursor and cursor.shape() == Qt.CursorShape.BusyCursor for cursor in ticks)
    assert QGuiApplication.overrideCursor() is None
    timer.stop()


def test_the_frame_that_is_shown_first_is_decoded_beside_the_window(
    make_napari_viewer, monkeypatch
):
    viewer = make_napari_viewer()
    readers, read = {}, VideoFrames.read

    def reading(self, frame):
        readers.setdefault(frame, current_thread())
        return read(self, frame)

    monkeypatch.setattr(VideoFrames, "read", reading)
    open_file(viewer, sample_data() / "clip.mp4")
    shown = viewer.dims.current_step[0]
    assert shown > 0
    assert readers[shown] is not main_thread()


def test_what_we_do_not_read_goes_to_the_other_readers(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    stack = np.arange(5 * 8 * 9, dtype=np.uint16).reshape(5, 8, 9)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    open_file(viewer, tmp_path / "stack.tif")
    np.testing.assert_array_equal(viewer.layers[0].data, stack)


def test_a_file_that_nobody_reads_is_named(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    path = tmp_path / "notes.unknown"
    path.write_text("nothing to see")
    with pytest.raises(DataError, match=r"notes\.unknown cannot be opened"):
        open_file(viewer, path)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no movie at all")
    with pytest.raises(DataError, match=r"broken\.mp4"):
        open_file(viewer, broken)
    assert not viewer.layers


def test_an_empty_viewer_offers_to_open_something(
    make_napari_viewer, qtbot, fake_network, monkeypatch, tmp_path
):
    viewer = make_napari_viewer()
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    offered = {button.text(): button for button in widget.line.findChildren(QPushButton)}
    assert list(offered) == ["Open…", "Sample clip"]
    assert widget.plan.isHidden()
    path = str(tmp_path / "broken.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"no movie at all")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *args: (path, ""))
    qtbot.mouseClick(widget.open_button, Qt.MouseButton.LeftButton)
    assert widget.line.message.kind == "error"
    assert "broken.mp4" in widget.line.message.text
    widget.opener.open_sample()
    qtbot.waitUntil(
        lambda: widget.bench is not None and widget.bench.session is not None, timeout=20_000
    )
    assert viewer.layers[0].name == "clip"
