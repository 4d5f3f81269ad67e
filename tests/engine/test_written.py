"""Labels go to disk behind the network: in order, all of them, and errors are not lost."""

import threading

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import Point, Prompt, PromptBook
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.engine.written import Behind, propagate_to_disk
from napari_surgisam.errors import DataError
from napari_surgisam.formats.label_runs import begin_run
from napari_surgisam.formats.labels import create_labels, read_labels


def session_of(film):
    book = PromptBook().with_prompt(Prompt(1, 0, (Point(*film.centre(230, 0)),)))
    return Session(film, Tracker(FakeNetwork()), Annotation(book))


def test_tasks_are_done_in_order_and_not_too_far_behind():
    done, gate = [], threading.Event()

    def task(number):
        gate.wait(10)
        done.append(number)

    with Behind(2) as behind:
        behind.do(lambda: task(0))
        behind.do(lambda: task(1))
        opener = threading.Timer(0.05, gate.set)
        opener.start()
        behind.do(lambda: task(2))  # waits for the first
        assert done
    assert done == [0, 1, 2]
    opener.join()


def test_an_error_ends_the_rest_and_is_raised():
    done = []

    def fail():
        raise DataError("the disk is full")

    with pytest.raises(DataError, match="full"), Behind(8) as behind:
        behind.do(fail)
        behind.do(lambda: done.append(1))
    assert done == []
    with pytest.raises(KeyError), Behind(8) as behind:  # the first error is the one that counts
        behind.do(fail)
        raise KeyError


@pytest.mark.parametrize("resumable", [False, True])
def test_all_frames_are_written_by_another_thread(tmp_path, monkeypatch, resumable):
    film = MovingDiscs(length=12)
    session, path, threads = session_of(film), tmp_path / "labels.tif", set()
    labels = session.labels

    def noting(frame):
        threads.add(threading.current_thread())
        return labels(frame)

    monkeypatch.setattr(session, "labels", noting)
    writer = begin_run(path, film, 1, {}) if resumable else create_labels(path, film, 1, False)
    frames = [event.frame for event in propagate_to_disk(session, Plan("forward"), writer)]
    writer.close()
    assert frames == list(range(12))
    expected = np.stack([labels(frame) for frame in range(12)])
    np.testing.assert_array_equal(read_labels(path), expected)
    assert threading.main_thread() not in threads and threads


def test_what_was_yielded_is_on_disk_after_closing(tmp_path):
    film, path = MovingDiscs(length=12), tmp_path / "labels.tif"
    run = begin_run(path, film, 1, {})
    job = propagate_to_disk(session_of(film), Plan("forward"), run)
    for event in job:
        if event.frame == 5:
            break
    job.close()
    run.abort(keep=True)
    again = begin_run(path, film, 1, {}, resume=True)
    assert [record.frame for record in again.records()] == [1, 2, 3, 4, 5]
    again.abort()


def test_a_label_that_cannot_be_written_stops_the_run(tmp_path, monkeypatch):
    film = MovingDiscs(length=60)
    run = begin_run(tmp_path / "labels.tif", film, 1, {})

    def full(frame, labels):
        raise DataError("no room")

    monkeypatch.setattr(run, "write", full)
    seen = []
    with pytest.raises(DataError, match="no room"):
        seen += (e.frame for e in propagate_to_disk(session_of(film), Plan("forward"), run))
    assert len(seen) < 12
    run.abort()
