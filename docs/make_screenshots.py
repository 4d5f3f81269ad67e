"""Write the pictures that README shows, from a real window.

Needs a display: ``xvfb-run -a -s "-screen 0 1400x900x24" python docs/make_screenshots.py``.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_surgisam.data.prompts import ObjectId, Point
from napari_surgisam.engine import models
from napari_surgisam.plugin.docks import find_dock, open_dock
from napari_surgisam.plugin.review_widget import ReviewWidget
from napari_surgisam.plugin.segment_widget import SegmentWidget
from napari_surgisam.plugin.timeline import Selection
from napari_surgisam.resources import sample_data

IMAGES = Path(__file__).parent / "images"
SIZE = (1360, 840)
PATIENCE = 600  # seconds


def wait(until: Callable[[], object] = lambda: False, seconds: float = PATIENCE) -> None:
    """Let the window live until something holds, or for some seconds."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def click(widget: SegmentWidget, file: str, names: dict[int, str]) -> None:
    """Make the clicks of a prompts file one after the other, as a person would."""
    bench = widget.bench
    with (sample_data() / file).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for object_id, name in names.items():
        if object_id not in bench.objects:
            bench.add_object()
        bench.select(object_id)
        bench.rename(object_id, name)
        for row in (r for r in rows if int(r["object_id"]) == object_id):
            bench.prompts.points.feature_defaults = {
                "object_id": object_id,
                "polarity": row["polarity"],
            }
            where = np.array([float(row[f"axis-{k}"]) for k in range(3)])
            widget.viewer.dims.set_current_step(0, int(where[0]))
            bench.prompts.points.add(bench.image.world_to_data(bench.image.data_to_world(where)))
            wait(seconds=0.1)
            wait(lambda: not widget.busy)
    wait(seconds=0.3)


def shoot(viewer: napari.Viewer, name: str) -> None:
    """Write a picture of the window."""
    wait(seconds=0.6)
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(pixels[..., :3]).quantize(256).save(IMAGES / name, optimize=True)
    print(IMAGES / name)


def open_sample(key: str) -> tuple[napari.Viewer, SegmentWidget]:
    """Open a viewer with a sample and the widget, its model loaded."""
    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open_sample("napari-surgisam", key)
    _, widget = viewer.window.add_plugin_dock_widget("napari-surgisam", "Segment")
    wait(lambda: widget.bench.session is not None)
    viewer.dims.set_current_step(0, 0)
    wait(seconds=1)
    viewer.reset_view()
    return viewer, widget


def clip() -> None:
    """Take pictures of the first minute with the sample clip."""
    viewer, widget = open_sample("clip")
    shoot(viewer, "segment-first-click.png")
    click(widget, "clip_prompts.csv", {1: "cat", 2: "retina", 3: "cup"})
    done: list[int] = []
    widget.bench.live.progressed.connect(lambda event: done.append(event.done))
    widget.propagate()
    wait(lambda: len(done) >= 24)
    viewer.dims.set_current_step(0, 12)
    shoot(viewer, "segment-propagating.png")
    wait(lambda: not widget.bench.live.is_propagating)
    viewer.dims.set_current_step(0, 30)
    shoot(viewer, "segment.png")
    viewer.close()


def review() -> None:
    """Take a picture of the timeline: accepted frames, stale ones, and a selection."""
    viewer, widget = open_sample("clip")
    click(widget, "clip_prompts.csv", {1: "cat", 2: "retina", 3: "cup"})
    open_dock(viewer, "Review")
    timeline = find_dock(viewer, ReviewWidget).timeline
    widget.propagate()
    wait(lambda: not widget.bench.live.is_propagating)
    widget.bench.review.accept([ObjectId(1), ObjectId(3)], range(0, 8))
    widget.bench.session.add_point(ObjectId(3), 40, Point(300, 300))
    wait(seconds=1)
    widget.bench.review.next_doubtful()
    timeline.select(Selection((ObjectId(2),), range(12, 21)))
    shoot(viewer, "review.png")
    viewer.close()


def volume() -> None:
    """Take a picture of the sample volume."""
    viewer, widget = open_sample("volume")
    with (sample_data() / "volume_prompts.csv").open(newline="") as lines:
        ids = sorted({int(row["object_id"]) for row in csv.DictReader(lines)})
    click(widget, "volume_prompts.csv", {i: f"organ {i}" for i in ids})
    widget.propagate()
    wait(lambda: not widget.bench.live.is_propagating)
    shoot(viewer, "segment-volume.png")
    viewer.close()


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a model file in place of the embedded one")
    parser.add_argument("--only", nargs="+", choices=("clip", "review", "volume"))
    arguments = parser.parse_args()
    if arguments.model is not None:
        load = models.load_network

        def load_file(_: str, **kwargs: object) -> object:
            return load(arguments.model, **kwargs)

        models.load_network = load_file
    IMAGES.mkdir(exist_ok=True)
    pictures = {"clip": clip, "review": review, "volume": volume}
    for name in arguments.only or pictures:
        pictures[name]()


if __name__ == "__main__":
    main()
