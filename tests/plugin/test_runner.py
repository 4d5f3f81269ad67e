"""The thread that runs jobs: order, errors, cancelling, closing."""

import threading
import time

import pytest

from napari_surgisam.errors import DataError, JobError
from napari_surgisam.jobs import Event
from napari_surgisam.plugin.runner import UNDELIVERED_EVENTS, JobThread

pytestmark = pytest.mark.qt


@pytest.fixture
def thread(qapp):
    thread = JobThread()
    yield thread
    thread.close()


def counting(total, log=None, seconds=0.0):
    try:
        for done in range(1, total + 1):
            time.sleep(seconds)
            yield Event(done=done, total=total)
    finally:
        if log is not None:
            log.append(threading.current_thread().name)


def test_events_arrive_in_order_in_the_thread_of_the_window(thread, qtbot):
    seen, ended = [], []
    thread.run(
        counting(20),
        on_event=lambda event: seen.append((event.done, threading.current_thread())),
        on_end=lambda: ended.append(True),
    )
    qtbot.waitUntil(lambda: bool(ended))
    assert [done for done, _ in seen] == list(range(1, 21))
    assert {where for _, where in seen} == {threading.main_thread()}
    assert not thread.busy


def test_jobs_run_one_after_the_other_in_one_thread(thread, qtbot):
    log, ended = [], []
    for _ in range(3):
        thread.run(counting(2, log), on_end=lambda: ended.append(True))
    qtbot.waitUntil(lambda: len(ended) == 3)
    assert len(set(log)) == 1
    assert log[0].startswith("surgisam")


@pytest.mark.parametrize("raised", [DataError("no frame"), RuntimeError("CUDA out of memory")])
def test_every_error_is_reported_and_the_end_too(thread, qtbot, raised):
    def failing():
        yield Event(done=1, total=2)
        raise raised

    errors, ended = [], []
    thread.run(failing(), on_error=errors.append, on_end=lambda: ended.append(len(errors)))
    qtbot.waitUntil(lambda: bool(ended))
    assert ended == [1]
    (error,) = errors
    if isinstance(raised, DataError):
        assert error is raised
    else:
        assert isinstance(error, JobError)
        assert "CUDA out of memory" in str(error)


def test_cancelling_stops_at_the_next_event_and_closes_the_job(thread, qtbot):
    log, seen, ended = [], [], []

    def on_event(event):
        seen.append(event.done)
        if event.done == 2:
            running.cancel()

    running = thread.run(
        counting(1000, log, seconds=0.01), on_event=on_event, on_end=lambda: ended.append(True)
    )
    qtbot.waitUntil(lambda: bool(ended))
    assert len(seen) <= 4
    assert len(log) == 1, "the job was left open"
    assert not running.running


def test_a_fast_job_waits_for_the_window(thread, qtbot):
    made, ended = [], []

    def eager():
        for done in range(1, 50):
            made.append(done)
            yield Event(done=done, total=50)

    thread.run(eager(), on_event=lambda event: None, on_end=lambda: ended.append(True))
    time.sleep(0.3)  # the window is busy elsewhere
    assert len(made) <= UNDELIVERED_EVENTS + 1
    qtbot.waitUntil(lambda: bool(ended))
    assert len(made) == 49


def test_closing_ends_the_thread_and_silences_it(thread, qtbot):
    log, seen = [], []
    running = thread.run(counting(1000, log, seconds=0.01), on_event=seen.append)
    qtbot.waitUntil(lambda: bool(seen))
    thread.close()
    count = len(seen)
    qtbot.waitUntil(lambda: not running.running)
    qtbot.wait(50)
    assert len(seen) == count
    assert len(log) == 1
    with pytest.raises(JobError, match="closed"):
        thread.run(counting(1))
