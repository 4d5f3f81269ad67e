"""How many true objects are suggested without a click, and how many that are none.

Run from the repository's root::

    python benchmarks/suggestions.py --data DIR [--model NAME|FILE] [--limit N] [--side N] ...

`DIR` holds pictures in `images` and their instances as labels in `labels`, files of the same
stem. An instance is found where one suggestion has an IoU of at least 0.5 with it, matched one to
one; what is matched with none is false. The figures of all pictures are sums.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from napari_surgisam.data.suggestions import paint_suggestions
from napari_surgisam.engine.settings import EngineSettings
from napari_surgisam.engine.suggesting import (
    Suggested,
    Suggesting,
    suggest_objects,
    usual_suggesting,
)
from napari_surgisam.formats.labels import read_labels
from napari_surgisam.formats.sources import open_source
from napari_surgisam.metrics.instances import InstanceCounts, match_instances


def main() -> None:
    """Print a line a picture, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--focus", default="default")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--side", type=int, default=Suggesting().points_per_side)
    parser.add_argument("--iou", type=float, default=usual_suggesting("embedded").min_iou)
    parser.add_argument(
        "--stability", type=float, default=usual_suggesting("embedded").min_stability
    )
    parser.add_argument("--covered", type=float, default=Suggesting().covered)
    arguments = parser.parse_args()
    tracker = EngineSettings(arguments.model, focus=arguments.focus).tracker()
    settings = Suggesting(
        arguments.side, arguments.iou, arguments.stability, covered=arguments.covered
    )
    whole, seconds = InstanceCounts(), 0.0
    labels = {path.stem: path for path in (arguments.data / "labels").iterdir()}
    pictures = sorted((arguments.data / "images").iterdir())[:: arguments.every]
    for picture in pictures[: arguments.limit]:
        source, truth = open_source(picture), read_labels(labels[picture.stem])[0]
        start = time.process_time()
        *_, last = suggest_objects(tracker, source, 0, settings)
        took = time.process_time() - start
        assert isinstance(last, Suggested)
        found = paint_suggestions(last.suggestions, source.shape)
        counts = match_instances(found, truth, border=0)
        whole, seconds = whole + counts, seconds + took
        print(f"{picture.stem}  {_figures(counts)}  {took:.1f} s", flush=True)
    print(f"all  {_figures(whole)}  {seconds:.1f} s of processor time")


def _figures(counts: InstanceCounts) -> str:
    true = counts.true_positives + counts.false_negatives
    return (
        f"{counts.true_positives} of {true} found ({counts.recall:.2f}), "
        f"{counts.false_positives} false, F1 {counts.f1:.2f}"
    )


if __name__ == "__main__":
    main()
