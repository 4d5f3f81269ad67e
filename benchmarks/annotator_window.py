"""The scripted annotator of `annotator.py`, in napari's own window, through the widgets.

Every step is a person's: points are added to the Points layer, *Propagate* is pressed, the key N
shows the next doubtful frame, *accept* marks what is right. What is scored is the Labels layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cases
import napari
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_surgisam.data.clicks import correction_click, spread_clicks
from napari_surgisam.data.prompts import Point
from napari_surgisam.engine import models
from napari_surgisam.metrics.masks import dsc
from napari_surgisam.metrics.video import j_and_f
from napari_surgisam.plugin.docks import open_dock
from napari_surgisam.plugin.segment_widget import SegmentWidget

CASES = ("vid_davis_dog", "vol_spine_t2_cord")
SOURCES = {"vid_davis_dog": "frames", "vol_spine_t2_cord": "image.nii.gz"}
PATIENCE = 600  # seconds


class Annotator:
    """A person at the window of one case."""

    def __init__(self, data: Path, name: str) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1360, 860)
        self.viewer.open(data / name / SOURCES[name], plugin="napari-surgisam")
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-surgisam", "Segment")
        self.widget: SegmentWidget = widget
        self.wait(lambda: widget.bench is not None and widget.bench.session is not None)
        self.wait(seconds=1)
        open_dock(self.viewer, "Review")

    def wait(self, until: Callable[[], object] = lambda: False, seconds: float = PATIENCE) -> None:
        """Let the window live until something holds, or for some seconds."""
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def go(self, frame: int) -> None:
        """Show a frame."""
        self.viewer.dims.set_current_step(0, frame)
        self.wait(seconds=0.2)

    @property
    def frame(self) -> int:
        """The frame that is shown."""
        return int(self.viewer.dims.current_step[0])

    def click(self, point: Point) -> None:
        """Add a point to the Points layer of the selected object, on the frame that is shown."""
        bench = self.widget.bench
        bench.prompts.points.feature_defaults = {
            "object_id": bench.objects.selected,
            "polarity": "positive" if point.positive else "negative",
        }
        image = bench.image
        where = image.data_to_world(np.array([self.frame, point.y, point.x], float))
        bench.prompts.points.add(image.world_to_data(where))
        self.wait(seconds=0.2)
        self.wait(lambda: not self.widget.busy)

    def propagate(self) -> float:
        """Press the button; return how long it took, in seconds."""
        start = time.monotonic()
        self.widget.propagate()
        self.wait(lambda: not self.widget.bench.live.is_propagating and not self.widget.busy)
        return time.monotonic() - start

    def masks(self) -> NDArray[np.bool_]:
        """Return the Labels layer's (T, H, W) masks of the object."""
        bench = self.widget.bench
        return np.asarray(bench.labels.data) == bench.objects.selected

    def press(self, key: str) -> None:
        """Press a key that is bound on the Points layer."""
        points = self.widget.bench.prompts.points
        keymap = {str(name): action for name, action in points.keymap.items()}
        keymap[key](points)
        self.wait(seconds=0.3)


def work_in_window(data: Path, model: str, clicks: int, rounds: int, out: Path | None) -> None:
    """Correct two cases round by round, print scores, and write pictures of the window."""
    if model != "embedded":
        load = models.load_network

        def load_file(_: str, **options: object) -> object:
            return load(Path(model), **options)

        models.load_network = load_file
    for clip in (c for c in cases.clips(data, 1) if c.name in CASES):
        person = Annotator(data, clip.name)
        person.go(clip.prompted)
        for point in spread_clicks(clip.truth[clip.prompted], clicks):
            person.click(point)
        seconds = person.propagate()
        print(f"{clip.name}: {_score(person, clip):.3f} after {seconds:.1f} s")
        for number in range(rounds):
            person.press("N")
            frame = person.frame
            clicked: list[Point] = []
            while len(clicked) < clicks:
                mask = person.masks()[frame]
                point = correction_click(mask, clip.truth[frame], clicked=clicked)
                if point is None:
                    break
                person.click(point)
                clicked.append(point)
            if clicked:
                did, seconds = f"clicked {len(clicked)} times", person.propagate()
            else:
                bench = person.widget.bench
                bench.review.accept([bench.objects.selected], range(frame, frame + 1))
                did, seconds = "accepted", 0.0
            score = _score(person, clip)
            print(f"  round {number + 1}: frame {frame} {did}: {score:.3f} after {seconds:.1f} s")
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            person.wait(seconds=1)
            pixels = person.viewer.screenshot(canvas_only=False, flash=False)
            Image.fromarray(pixels[..., :3]).save(out.with_name(f"{out.name}-{clip.name}.png"))
        person.viewer.close()


def _score(person: Annotator, clip: cases.Clip) -> float:
    masks = person.masks()
    return j_and_f(masks, clip.truth) if clip.frames.temporal else dsc(masks, clip.truth)
