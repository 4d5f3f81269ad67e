"""Sessions that are clicked on and autosaved until they are killed; run by test_autosave.py.

Usage: python autosaving.py FOLDER COUNT. Prints the process of each session; each click is noted
in FOLDER/N.log before it is made.
"""

import os
import sys
import time
from pathlib import Path

import torch
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.saved_sessions import saved_state
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.formats.autosave import Autosaver
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_sources import describe_source
from napari_surgisam.formats.session_state import ModelRecord

LENGTH, LEVELS = 400, (230, 120)


def film():
    return MovingDiscs(length=LENGTH, levels=LEVELS)


def work(place: Path) -> None:
    """Click, propagate and correct, again and again; it never ends by itself."""
    frames = film()
    session = Session(frames, Tracker(FakeNetwork()))
    source, model = describe_source(frames, None), ModelRecord()
    folder = SessionFolder(place.with_suffix(".surgisam"), new=True)
    saver = Autosaver(folder, lambda: saved_state(session, source, model))
    with place.with_suffix(".log").open("w", buffering=1) as log:
        for number in range(10**6):
            object_id, frame = ObjectId(number % 2 + 1), number * 7 % LENGTH
            y, x = frames.centre(LEVELS[object_id - 1], frame)
            point = Point(y, x + number % 97 / 100)
            print(time.time(), object_id, frame, point.x, file=log)
            session.set_prompt(Prompt(object_id, frame, (point,)))
            session.segment(frame)
            saver.changed()
            if number % 5 == 4:
                for _ in session.propagate(Plan("forward", Span(frame, frame + 12))):
                    saver.changed()
            time.sleep(0.02)


if __name__ == "__main__":
    torch.set_num_threads(1)
    base = Path(sys.argv[1])
    for number in range(int(sys.argv[2])):
        process = os.fork()
        if process == 0:
            work(base / str(number))
        print(process, flush=True)
    sys.stdin.read()  # until the test has killed them all
