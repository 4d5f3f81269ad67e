"""What a kill costs a session that saves itself, and what an error does not."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from autosaving import film
from sessions_alike import assert_same_state

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import ObjectId, Point, Prompt, PromptBook
from napari_surgisam.errors import DataError
from napari_surgisam.formats.autosave import Autosaver
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_state import SessionState, SourceRecord

MOMENTS, LOST_SECONDS = 10, 5.0
SOURCE = SourceRecord("", "f", "", 9, (8, 8))


def noted(log: Path) -> list[tuple[float, tuple[int, int], float]]:
    """Return when, where and at which x each click was made; a line that is cut off is none."""
    rows = [line.split() for line in log.read_text().splitlines(keepends=True) if "\n" in line]
    return [(float(t), (int(k), int(f)), float(x)) for t, k, f, x in rows]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is neither fork nor SIGKILL")
def test_ten_kills_at_random_moments_each_cost_five_seconds_at_most(tmp_path):
    script = Path(__file__).with_name("autosaving.py")
    here = str(script.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    runs = subprocess.Popen(
        [sys.executable, script, tmp_path, str(MOMENTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    killed: dict[int, float] = {}
    processes: list[int] = []
    try:
        processes += [int(runs.stdout.readline()) for _ in range(MOMENTS)]
        indices = [tmp_path / f"{n}.surgisam" / "session.json" for n in range(MOMENTS)]
        deadline = time.monotonic() + 300
        while not all(index.exists() for index in indices):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        moments = random.Random().sample(range(10_000), MOMENTS)  # milliseconds
        started = time.monotonic()
        for moment, number in sorted(zip(moments, range(MOMENTS), strict=True)):
            time.sleep(max(started + moment / 1000 - time.monotonic(), 0))
            killed[number] = time.time()
            os.kill(processes[number], signal.SIGKILL)
    finally:
        for number, process in enumerate(processes):
            if number not in killed:
                os.kill(process, signal.SIGKILL)
        runs.stdin.close()
        runs.wait()
        runs.stdout.close()

    lost, frames = [], film()
    for number, moment in killed.items():
        folder = SessionFolder(tmp_path / f"{number}.surgisam")
        state = folder.read()
        annotation = state.annotation
        found = {key: p.points[0].x for key, p in annotation.book.entries.items()}
        clicks = noted(tmp_path / f"{number}.log")
        assert clicks, number
        states, book = [{}], {}
        for _, key, x in clicks:
            book = {**book, key: x}
            states.append(book)
        # the prompts are those after some click, and no younger one is older than the bound
        count = max((n for n, known in enumerate(states) if known == found), default=None)
        assert count is not None, "no moment had these prompts"
        missing = clicks[count:]
        lost.append(moment - missing[0][0] if missing else 0.0)
        assert lost[-1] <= LOST_SECONDS
        for object_id, masklet in annotation.masklets.items():
            for frame in masklet:
                assert masklet[frame].logits().shape == (32, 32)
            assert np.isin(annotation.labels(frame, frames.shape), [0, 1, 2]).all(), object_id
        folder.save(state)
        assert_same_state(folder.read(), state)
        left = {file.name for file in folder.path.iterdir()}
        assert left <= {"session.json", "parts", "lock", "session.json.new"}
        folder.close()
    print(f"seconds of clicks lost: {', '.join(f'{s:.2f}' for s in sorted(lost))}")


@pytest.fixture
def folder(tmp_path):
    made = SessionFolder(tmp_path / "film.surgisam", new=True)
    yield made
    made.close()


def prompted(count):
    prompts = {(ObjectId(1), f): Prompt(ObjectId(1), f, (Point(1.0, 2.0),)) for f in range(count)}
    return SessionState(SOURCE, annotation=Annotation(PromptBook(MappingProxyType(prompts))))


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_changes_that_come_fast_are_saved_together(folder):
    begun, count = [], 0

    def snapshot():
        begun.append(time.monotonic())
        return prompted(count)

    saver = Autosaver(folder, snapshot, 0.3)
    started = time.monotonic()
    for count in range(1, 60):  # noqa: B007
        saver.changed()
        time.sleep(0.01)
    saver.close()
    assert 2 <= len(begun) <= (time.monotonic() - started) / 0.3 + 2
    assert all(b - a >= 0.29 for a, b in pairwise(begun[:-1])), "all but the last wait"
    assert len(folder.read().annotation.book) == 59


def test_a_save_that_fails_is_told_and_the_next_change_tries_again(folder, monkeypatch):
    failed, saved, whole = [], [], folder.save

    def full(state):
        raise DataError("The disk is full.")

    monkeypatch.setattr(folder, "save", full)
    saver = Autosaver(folder, lambda: prompted(1), 0.01, lambda: saved.append(1), failed.append)
    saver.changed()
    wait_until(lambda: failed)
    monkeypatch.setattr(folder, "save", whole)
    saver.changed()
    wait_until(lambda: saved)
    saver.close()
    assert "full" in str(failed[0]) and len(folder.read().annotation.book) == 1


def test_nothing_is_saved_where_nothing_is_worth_it(folder):
    saver = Autosaver(folder, lambda: None, 0.01)
    saver.changed()
    saver.close()
    assert not (folder.path / "session.json").exists()
