"""A window with a film, the Segment widget, and a network that needs no weights."""

import gc
import time
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.engine import models


@pytest.fixture(autouse=True)
def no_files(monkeypatch, tmp_path_factory):
    """Keep embeddings, sessions and preferences out of the user's folders."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("SURGISAM_CACHE_DIR", str(folder / "embeddings"))
    monkeypatch.setenv("SURGISAM_SESSIONS", str(folder / "sessions"))
    monkeypatch.setattr("napari.settings._CFG_PATH", str(folder / "settings.yaml"))
    monkeypatch.setattr("napari.settings._PLUGIN_SETTINGS", {})


@pytest.fixture
def fake_network(monkeypatch):
    network = FakeNetwork()
    monkeypatch.setattr(models, "load_network", lambda *args, **kwargs: network)
    return network


@pytest.fixture
def slow(monkeypatch, fake_network):
    """Let the network take 30 ms a frame, so that a person can interfere."""
    segment = fake_network.segment

    def slowly(*args):
        time.sleep(0.03)
        return segment(*args)

    monkeypatch.setattr(fake_network, "segment", slowly)


@pytest.fixture
def discs():
    return MovingDiscs(length=12, levels=(230, 140), shape=(96, 128))


@pytest.fixture
def add_film(discs):
    """Add a film of moving discs as a grey (T, Y, X) layer."""

    def add(viewer, **kwargs):
        data = np.stack([discs.read(frame)[..., 0] for frame in range(len(discs))])
        kwargs = {"name": "film", "axis_labels": ("time", "y", "x"), **kwargs}
        return viewer.add_image(data, contrast_limits=(0, 255), **kwargs)

    return add


@pytest.fixture
def desk(make_napari_viewer, qtbot, fake_network, discs, add_film):
    """A viewer with a film and the widget, its model loaded, frame 0 on screen."""
    viewer = make_napari_viewer()
    film = add_film(viewer)
    # As from the menu: napari then hands the widget a proxy of the viewer, not the viewer.
    dock, widget = viewer.window.add_plugin_dock_widget("napari-surgisam", "Segment")
    desk = SimpleNamespace(
        viewer=viewer, widget=widget, dock=dock, film=film, discs=discs, network=fake_network
    )

    def settled():
        bench = desk.widget.bench
        return bench is not None and bench.session is not None and not desk.widget.busy

    def settle():
        qtbot.wait(20)  # the layers' events are read when the event loop comes round
        qtbot.waitUntil(settled, timeout=20_000)

    def click(level, frame, *, object_id=None):
        if object_id is not None:
            desk.widget.bench.select(object_id)
        y, x = discs.centre(level, frame)
        viewer.dims.set_current_step(0, frame)
        desk.widget.bench.prompts.points.add((frame, y, x))
        settle()

    desk.settle, desk.click = settle, click
    settle()
    viewer.dims.set_current_step(0, 0)
    settle()
    yield desk
    thread = widget.thread
    viewer.close()
    del desk.widget, desk.dock, widget, dock
    gc.collect()
    qtbot.waitUntil(lambda: not thread.busy, timeout=20_000)
