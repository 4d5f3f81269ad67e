"""Random things at napari's window for a long time: does anything break, or pile up?

Run from the repository's root, with a display::

    python benchmarks/soak.py [--actions 500] [--seed 0] [--fake]

A person clicks, propagates, cancels, undoes, switches, deletes, saves and opens again on two films
of moving discs, many things while the last one still runs; `tests/soaking.py` says what and how
often. After each, layers and session must agree; after each save, the session must equal what
another program reads from the disk. Printed are what was done, threads before and after, the
memory of the process as a line fitted to the second half, what is still held when the window is
closed, every error that anybody was told of, and temporary files that were left. The embedded model
answers, or with `--fake` the thresholds that the tests take for a network. The exit code is 1 where
anything is wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import napari
import numpy as np
import psutil
from napari import settings as napari_settings

from napari_surgisam.benchmark.figures import describe_machine
from napari_surgisam.engine import models

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import FakeNetwork
from persons import Person
from soaking import Soak
from watching import LIBRARIES, OURS, Watch, alive, thread_names

CACHE = "50 MB"
"""For embeddings: by default so much that a soak ends before it is full."""

PRIMITIVES = "16"
"""That oneDNN keeps compiled, one for each shape that it has met: of 1024, its default, a soak
meets new ones for as long as it lasts (70 MB within 100 actions)."""

MOST_GROWTH = 10.0
"""MB per 100 actions in the second half that count as noise: 500 actions of leaked masks, undo
steps or windows would take more."""


def main() -> int:
    """Do it in a folder that is removed; return 1 where anything is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--actions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fake", action="store_true")
    options = parser.parse_args()
    if options.fake:
        network = FakeNetwork()
        models.load_network = lambda *_, **__: network
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        place, temporary = Path(folder), Path(folder) / "temporary"
        temporary.mkdir()
        tempfile.tempdir = str(temporary)
        keep_out_of_the_users_folders(place)
        os.environ["SURGISAM_CACHE_MEMORY"] = CACHE
        os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = PRIMITIVES
        wrong = soak(place, options.actions, options.seed)
        wrong += [f"temporary file left: {path.name}" for path in temporary.iterdir()]
        tempfile.tempdir = None
    print(describe_machine())
    print("\n".join(wrong) or "nothing is wrong")
    return int(bool(wrong))


def keep_out_of_the_users_folders(place: Path) -> None:
    """Let embeddings, sessions and preferences go to a folder."""
    os.environ["SURGISAM_CACHE_DIR"] = str(place / "embeddings")
    os.environ["SURGISAM_SESSIONS"] = str(place / "sessions")
    napari_settings._CFG_PATH = str(place / "settings.yaml")  # noqa: SLF001


def soak(place: Path, actions: int, seed: int) -> list[str]:
    """Do random things, print figures; return what is wrong."""
    logging.basicConfig(level=logging.ERROR)
    process, before, memory = psutil.Process(), thread_names(), []
    print(f"threads before the window: {_listed(before)}")
    with Watch() as watch:
        person = Person(place, napari.Viewer)
        opened, began = thread_names(), time.monotonic()
        print(f"threads with the window: {_listed(opened)}; {process.num_threads()} of the system")

        def after(number: int, name: str) -> None:
            memory.append(process.memory_info().rss / 1e6)
            if number % 100 == 99:
                print(f"{number + 1} actions, {memory[-1]:.0f} MB, {_listed(alive(OURS))}")

        done = Soak(person, seed)
        done.act(actions, after)
        seconds = time.monotonic() - began
        print(f"threads at the end: {_listed(thread_names())}; {process.num_threads()}")
        person.close_window()
        left, threads = alive(), thread_names() - before
    print(f"{actions} actions of seed {seed} in {seconds:.0f} s: {_listed(done.done)}")
    print(f"threads left: {_listed(threads)}; objects left: {_listed(left)}")
    growth, error = fit_growth(memory[len(memory) // 2 :])
    print(f"memory in the second half: {growth:+.1f} ± {error:.1f} MB per 100 actions")
    wrong = [*watch.errors, *(f"still held: {n} x {kind}" for kind, n in left.items())]
    wrong += [f"thread left: {name}" for name in threads if name not in LIBRARIES]
    if growth > MOST_GROWTH:
        wrong.append(f"memory grows by {growth:.1f} MB per 100 actions")
    return wrong


def fit_growth(memory: list[float]) -> tuple[float, float]:
    """Return the slope of a line through figures, per 100 of them, and its standard error."""
    (slope, _), covariance = np.polyfit(np.arange(len(memory)), memory, 1, cov=True)
    return 100 * slope, 100 * float(np.sqrt(covariance[0, 0]))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.most_common()) or "none"


if __name__ == "__main__":
    sys.exit(main())
