"""How long a large saved session takes to open in napari's window, and how it scrubs.

Run from the repository's root, with a display::

    python benchmarks/opening.py [--frames 10000] [--objects 5] [--opened 3] [--shown 200]

A movie and a session of it, every object with a mask on every frame, are written to a temporary
folder. The session is opened as by dropping it on the window, until its prompts, masks and the
loaded model are there; the first time also imports what napari did not. Then random frames are
shown, and the same frames of the same movie beside a Labels layer in memory, without the plugin:
the ratio is what the plugin costs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication
from timeline import SHAPE, annotate

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.benchmark.footage import make_footage
from napari_surgisam.engine.saved_sessions import model_record, saved_state
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.settings import EngineSettings
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_sources import describe_source
from napari_surgisam.formats.sources import open_source
from napari_surgisam.plugin.docks import find_dock
from napari_surgisam.plugin.segment_widget import SegmentWidget

PATIENCE = 120  # seconds


def write_session(path: Path, movie: Path, objects: int) -> None:
    """Save a session of a movie in which every frame has masks."""
    settings = EngineSettings("embedded")
    tracker = settings.tracker()
    frames = open_source(movie)
    session = Session(frames, tracker, annotate(objects, len(frames)))
    record = model_record(settings, tracker.max_conditioning)
    folder = SessionFolder(path, new=True)
    folder.save(saved_state(session, describe_source(frames, movie), record))
    folder.close()


def wait(until: Callable[[], object]) -> None:
    """Let the window live until something holds."""
    end = time.monotonic() + PATIENCE
    while not until():
        if time.monotonic() > end:
            raise SystemExit(f"Nothing came within {PATIENCE} s.")
        QApplication.processEvents()


def open_session(path: Path) -> tuple[Any, float]:
    """Open a session in a new window; return the viewer and the seconds that it took."""
    viewer = napari.Viewer()
    QApplication.processEvents()
    start = time.perf_counter()
    viewer.open(str(path), plugin="napari-surgisam")

    def ready() -> bool:
        widget = find_dock(viewer, SegmentWidget)
        bench = None if widget is None else widget.bench
        return bench is not None and bench.session is not None and not widget.busy

    wait(ready)
    return viewer, time.perf_counter() - start


def scrub(viewer: Any, frames: Sequence[int]) -> list[float]:
    """Show frames; return the milliseconds of each until it is drawn."""
    canvas = viewer.window._qt_viewer.canvas.native  # noqa: SLF001 - nothing public redraws
    times = []
    for frame in frames:
        start = time.perf_counter()
        viewer.dims.set_current_step(0, frame)
        QApplication.processEvents()
        canvas.repaint()
        times.append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    """Write, open, scrub, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--opened", type=int, default=3, help="how often it is opened")
    parser.add_argument("--shown", type=int, default=200, help="frames shown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        footage = make_footage(Path(folder) / "footage", options.frames, SHAPE, pictures=False)
        movie, session = footage.folder / "film.mp4", Path(folder) / "work.surgisam"
        write_session(session, movie, options.objects)
        shown = np.random.default_rng(1).integers(0, options.frames, options.shown).tolist()
        bare = napari.Viewer()
        bare.open(str(movie), plugin="napari-surgisam")
        bare.add_labels(np.ones((options.frames, *SHAPE), np.uint8))
        usual = scrub(bare, shown)
        bare.close()
        for number in range(options.opened):
            viewer, seconds = open_session(session)
            print(f"opened in {seconds:.2f} s" + (" (with imports)" if not number else ""))
            if number + 1 == options.opened:
                ours = scrub(viewer, shown)
                for name, times in (("without the plugin", usual), ("with the session", ours)):
                    low, middle, high = np.quantile(times, (0.05, 0.5, 0.95))
                    print(f"{name}: {middle:.0f} ms a frame ({low:.0f} to {high:.0f})")
                print(f"ratio of the medians {np.median(ours) / np.median(usual):.2f}")
            viewer.close()
        print(describe_machine())


if __name__ == "__main__":
    main()
