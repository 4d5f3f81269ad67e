"""Write the pictures of the documentation, from a real window.

Needs a display: ``xvfb-run -a -s "-screen 0 1400x900x24" python docs/make_screenshots.py``.
Preferences, sessions and tuned models of the person who runs it are left alone.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_surgisam.data.prompts import ObjectId, Point
from napari_surgisam.engine import models
from napari_surgisam.engine.importing import import_checkpoint
from napari_surgisam.plugin.docks import find_dock, open_dock
from napari_surgisam.plugin.evaluate_widget import EvaluateWidget
from napari_surgisam.plugin.finetune_widget import FinetuneWidget
from napari_surgisam.plugin.review_widget import ReviewWidget
from napari_surgisam.plugin.segment_widget import SegmentWidget
from napari_surgisam.plugin.timeline import Selection
from napari_surgisam.resources import sample_data

if TYPE_CHECKING:
    import napari

IMAGES = Path(__file__).parent / "images"
SIZE = (1360, 840)
PATIENCE = 600  # seconds
TRAINING_PATIENCE = 3600
EPOCHS, STEPS = 12, 24  # the picture is taken after so many steps
HOMES = {
    "NAPARI_CONFIG": "settings.yaml",
    "SURGISAM_CACHE": "models",
    "SURGISAM_CACHE_DIR": "embeddings",
    "SURGISAM_SESSIONS": "sessions",
}
"""What would be the person's own, and where it is instead."""


def wait(until: Callable[[], object] = lambda: False, seconds: float = PATIENCE) -> None:
    """Let the window live until something holds, or for some seconds."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def click(
    widget: SegmentWidget, file: str, names: dict[int, str], frames: range = range(1_000_000)
) -> None:
    """Make the clicks of a prompts file one after the other, as a person would."""
    bench = widget.bench
    with (sample_data() / file).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for object_id, name in names.items():
        if object_id not in bench.objects:
            bench.add_object()
        bench.select(object_id)
        bench.rename(object_id, name)
        mine = [row for row in rows if int(row["object_id"]) == object_id]
        for row in (row for row in mine if float(row["axis-0"]) in frames):
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


def open_viewer(key: str) -> napari.Viewer:
    """Open a viewer with a sample."""
    import napari  # not before its preferences are ours

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    viewer.open_sample("napari-surgisam", key)
    return viewer


def open_sample(key: str) -> tuple[napari.Viewer, SegmentWidget]:
    """Open a viewer with a sample and the widget, its model loaded."""
    viewer = open_viewer(key)
    _, widget = viewer.window.add_plugin_dock_widget("napari-surgisam", "Segment")
    wait(lambda: widget.bench.session is not None)
    viewer.dims.set_current_step(0, 0)
    wait(seconds=1)
    viewer.reset_view()
    return viewer, widget


def propagate(widget: SegmentWidget) -> None:
    """Propagate, and wait until it is done."""
    widget.propagate()
    wait(lambda: not widget.bench.live.is_propagating)


def clip() -> None:
    """Take pictures of the first minute with the sample clip."""
    viewer, widget = open_sample("clip")
    shoot(viewer, "segment-start.png")
    click(widget, "clip_prompts.csv", {1: "cat"}, frames=range(1))
    viewer.dims.set_current_step(0, 0)
    shoot(viewer, "segment-first-click.png")
    click(widget, "clip_prompts.csv", {2: "retina", 3: "cup"})
    done: list[int] = []
    widget.bench.live.progressed.connect(lambda event: done.append(event.done))
    widget.propagate()
    wait(lambda: len(done) >= 24)
    viewer.dims.set_current_step(0, 12)
    shoot(viewer, "segment-propagating.png")
    wait(lambda: not widget.bench.live.is_propagating)
    viewer.dims.set_current_step(0, 30)
    shoot(viewer, "segment.png")
    widget.guide.toggle_help()
    shoot(viewer, "segment-help.png")
    viewer.close()


def review() -> None:
    """Take a picture of the timeline: accepted frames, stale ones, and a selection."""
    viewer, widget = open_sample("clip")
    click(widget, "clip_prompts.csv", {1: "cat", 2: "retina", 3: "cup"})
    open_dock(viewer, "Review")
    timeline = find_dock(viewer, ReviewWidget).timeline
    propagate(widget)
    widget.bench.review.accept([ObjectId(1), ObjectId(3)], range(0, 8))
    widget.bench.session.add_point(ObjectId(3), 40, Point(300, 300))
    wait(seconds=1)
    widget.bench.review.next_doubtful()
    timeline.select(Selection((ObjectId(2),), range(12, 21)))
    shoot(viewer, "review.png")
    viewer.close()


ORGANS = {1: "liver", 2: "left kidney", 3: "gallbladder"}


def volume() -> None:
    """Take a picture of the sample volume."""
    viewer, widget = open_sample("volume")
    click(widget, "volume_prompts.csv", ORGANS)
    propagate(widget)
    viewer.dims.set_current_step(0, 16)
    shoot(viewer, "segment-volume.png")
    viewer.close()


def evaluate() -> None:
    """Take a picture of masks of the clip, compared with the truth."""
    viewer, widget = open_sample("clip")
    click(widget, "clip_prompts.csv", {1: "cat", 2: "retina", 3: "cup"}, frames=range(1))
    propagate(widget)
    truth = viewer.open(
        str(sample_data() / "clip_labels.tif"), layer_type="labels", plugin="napari"
    )
    truth[0].name, truth[0].visible = "truth", False
    open_dock(viewer, "Evaluate")
    scores = find_dock(viewer, EvaluateWidget)
    scores.reference_box.setCurrentIndex(scores.reference_box.findData(truth[0]))
    scores.labels_box.setCurrentIndex(scores.labels_box.findData(widget.bench.labels))
    scores.compare()
    wait(lambda: not scores.busy)
    viewer.window.resize(*SIZE)  # it grew before the dock became a tab
    viewer.dims.set_current_step(0, 30)
    shoot(viewer, "evaluate.png")
    viewer.close()


def finetune() -> None:
    """Take a picture of a training on the sample volume."""
    viewer = open_viewer("volume")
    labels = viewer.open(
        str(sample_data() / "volume_labels.nii.gz"), layer_type="labels", plugin="napari-surgisam"
    )[0]
    labels.name = "volume labels"
    labels.features = {"index": list(ORGANS), "class": list(ORGANS.values())}
    viewer.dims.set_current_step(0, 16)
    open_dock(viewer, "Fine-tune")
    tuning = find_dock(viewer, FinetuneWidget)
    tuning.samples_box.setCurrentText("all")
    tuning.fraction_box.setValue(0)
    tuning.epochs_box.setValue(EPOCHS)
    tuning.name_edit.setText("organs")
    tuning.add_pair()
    tuning.run(check=True)
    wait(lambda: not tuning.busy)
    tuning.run()
    wait(lambda: len(tuning.plot.losses) >= STEPS or not tuning.busy, TRAINING_PATIENCE)
    shoot(viewer, "finetune.png")
    tuning.cancel()
    wait(lambda: not tuning.busy)
    viewer.close()


def classes(model: Path) -> None:
    """Take a picture of the sample volume, labelled by names without a click."""
    name = import_checkpoint(model).name
    viewer, widget = open_sample("volume")
    widget.models.set_value(name)
    wait(lambda: widget.classes_button.isVisible() and not widget.busy)
    widget.classes_button.click()
    wait(seconds=1)
    wait(lambda: not widget.bench.live.is_propagating)
    viewer.dims.set_current_step(0, 16)
    shoot(viewer, "segment-classes.png")
    viewer.close()


def main() -> None:
    """Write all pictures."""
    pictures = {f.__name__: f for f in (clip, review, volume, evaluate, finetune)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a model file in place of the embedded one")
    parser.add_argument(
        "--named",
        type=Path,
        help="a model of the sample volume's classes, for their picture",
    )
    parser.add_argument("--only", nargs="*", choices=pictures)
    arguments = parser.parse_args()
    if arguments.model is not None:
        load = models.load_network

        def load_file(_: str, **kwargs: object) -> object:
            return load(arguments.model, **kwargs)

        models.load_network = load_file
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        for variable, name in HOMES.items():
            os.environ[variable] = str(Path(home) / name)
        for name in pictures if arguments.only is None else arguments.only:
            pictures[name]()
        if arguments.named is not None:
            classes(arguments.named)


if __name__ == "__main__":
    main()
