"""How long the review timeline takes to redraw while masks of many objects stream in.

Run from the repository's root, with a display::

    python benchmarks/timeline.py [--frames 10000] [--objects 20] [--columns 1300]

Every step gives every object a new mask on one frame; then figures are read, doubtful places
ranked, rows painted and brought to the screen. Median milliseconds, of the clock and of the
processor: the latter hardly depend on what else runs on the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.curves import CurveReader
from napari_surgisam.data.doubtful_places import find_doubtful
from napari_surgisam.data.mask_chunks import MaskChunk
from napari_surgisam.data.masklets import CHUNK, Masklet
from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.plugin.timeline import Timeline

SHAPE = (480, 640)
BETWEEN_PROMPTS = 900  # frames
STEPS = 15
random = np.random.default_rng(0)
LOGITS = np.pad(np.full((8, 8), 5, np.float32), 4, constant_values=-9)
MASK = StoredMask.from_logits(
    LOGITS, iou=0.9, presence=8, pointer=np.zeros(4), conditioning=False, direction=1
)


def mask(object_id: int, frame: int) -> StoredMask:
    """Return a mask whose figures wander."""
    iou = 0.9 + 0.1 * np.sin(frame / 300 + object_id) + random.normal(0, 0.03)
    return replace(MASK, iou=float(np.clip(iou, 0, 1)), presence=float(random.normal(9, 1)))


def annotate(objects: int, frames: int) -> Annotation:
    """Return prompts, masks on all frames, a stale span and an accepted one of each object."""
    annotation, masklets = Annotation(), {}
    for object_id in map(ObjectId, range(1, objects + 1)):
        for frame in range(0, frames, BETWEEN_PROMPTS):
            annotation = annotation.with_prompt(Prompt(object_id, frame, (Point(1, 1),)))
        chunks = {
            start // CHUNK: MaskChunk(
                {f: mask(object_id, f) for f in range(start, min(start + CHUNK, frames))}
            )
            for start in range(0, frames, CHUNK)
        }
        masklets[object_id] = Masklet(object_id, MappingProxyType(chunks))
    stale = {k: (range(frames // 5, frames),) for k in masklets}
    annotation = replace(annotation, masklets=masklets, drafts={}, stale=stale)
    for object_id in masklets:
        annotation = annotation.with_accepted(object_id, range(frames // 2, frames * 3 // 5))
    return annotation


def main() -> None:
    """Parse the command line, stream, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--columns", type=int, default=1300)
    options = parser.parse_args()
    app = QApplication.instance() or QApplication([])
    timeline = Timeline()
    timeline.resize(options.columns, 420)
    timeline.show()
    app.processEvents()
    annotation = annotate(options.objects, options.frames)
    reader = CurveReader(options.frames, SHAPE)
    colours = dict.fromkeys(annotation.masklets, (0, 180, 240))
    times: dict[str, list[tuple[float, float]]] = {}

    def timed(what: str, act: Callable[[], object]) -> None:
        clock, processor = time.perf_counter(), time.process_time()
        act()
        spent = (time.perf_counter() - clock, time.process_time() - processor)
        times.setdefault(what, []).append(spent)

    def to_screen() -> None:
        app.processEvents()
        timeline.plot.viewport().repaint()

    def redraw() -> None:
        timed("  read", lambda: reader.read(annotation))
        curves = reader.read(annotation)
        timed("  rank", lambda: find_doubtful(curves.values()))
        places = find_doubtful(curves.values())
        timed("  paint", lambda: timeline.set_curves(curves, {}, colours, places))
        timed("  show", to_screen)

    def move_line(step: int) -> None:
        timeline.show_frame(step)
        to_screen()

    def zoom(step: int) -> None:
        timeline.plot.setXRange(step, options.frames * 0.7 + step, padding=0)
        to_screen()

    for step in range(STEPS):
        frame = options.frames // 5 + step
        annotation = annotation.with_masks(frame, {k: mask(k, frame) for k in colours})
        redraw()
        timed("move the line", partial(move_line, step))
    for step in range(STEPS):
        timed("zoom", partial(zoom, step))
    print(f"{options.objects} objects x {options.frames:,} frames, {options.columns} pixels")
    steps = np.median([times[k][1:] for k in times if k.startswith("  ")], axis=1).sum(axis=0)
    print(f"{'redraw':16} {1000 * steps[0]:6.1f} ms, processor {1000 * steps[1]:6.1f} ms")
    for what, spent in times.items():
        clock, processor = 1000 * np.median(spent[1:], axis=0)
        print(f"{what:16} {clock:6.1f} ms, processor {processor:6.1f} ms")
    print(describe_machine())


if __name__ == "__main__":
    main()
