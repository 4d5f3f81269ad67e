"""How often *Find again* points at the object: the figures in docs/prompts.md.

Run from the repository's root::

    python benchmarks/finding.py --data DIR [--model NAME|FILE] [--known 0 5] [--from 10]

`DIR` holds folders of movies with `frames` and `labels`, one palette PNG a frame. An object's look
is learned from its true masks on the known frames; every later frame on which the truth shows it
is searched alone, without any other mask, and the place that is found lies in the truth or not.
The frames of another movie show how often the search is sure of an object that is not there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_surgisam.engine.finding import Look
from napari_surgisam.engine.focus import choose_focus
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.formats.sources import open_source


def truth(folder: Path) -> list[NDArray[np.uint8]]:
    """Return the (H, W) labels of a movie's frames."""
    return [np.asarray(Image.open(file)) for file in sorted((folder / "labels").glob("*.png"))]


def main() -> None:
    """Print a line for each object of each movie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--known", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--from", dest="first", type=int, default=10)
    options = parser.parse_args()
    tracker = Tracker(load_network(options.model), focus=choose_focus("default", options.model))
    folders = [
        f.parent for f in sorted(options.data.glob("*/labels")) if (f.parent / "frames").is_dir()
    ]
    movies = [
        (f.name, open_source(str(f / "frames")), labels) for f in folders if (labels := truth(f))
    ]
    print("movie, object: frames, in the truth | sure, in the truth | elsewhere, sure")
    for number, (name, source, labels) in enumerate(movies):
        _, other, _ = movies[number - 1]
        for object_id in (k for k in np.unique(labels[options.known[0]]) if k):
            known = [(tracker.embed(source, f), labels[f] == object_id) for f in options.known]
            look = Look.of([(embedding, mask) for embedding, mask in known if mask.any()])
            shown = [f for f in range(options.first, len(labels)) if (labels[f] == object_id).any()]
            found = {f: look.sight(tracker.embed(source, f), f) for f in shown}
            right = {
                f: labels[f][round(s.point.y), round(s.point.x)] == object_id
                for f, s in found.items()
            }
            sure = [f for f in shown if found[f].sure]
            wrong = [look.sight(tracker.embed(other, f), f).sure for f in range(len(other))]
            places = (
                f"{f}: {'in' if right[f] else 'beside'} ({found[f].margin:+.2f})"
                for f in (20, 40, 55)
                if f in found
            )
            print(
                f"{name}, {object_id}: {len(shown)}, {sum(right.values())} | {len(sure)}, "
                f"{sum(right[f] for f in sure)} | {len(wrong)}, {sum(wrong)}; {', '.join(places)}"
            )


if __name__ == "__main__":
    main()
