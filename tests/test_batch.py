"""Tasks in this process and on a real cluster: each ends once, also when a worker is lost."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from cluster_tasks import double, note_and_wait

from napari_surgisam.batch import TaskDone, TaskFailed, run_tasks
from napari_surgisam.errors import JobError


def ended(events):
    return {e.name: e.result if isinstance(e, TaskDone) else e.reason for e in events}


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("distributed", reason="pip install 'napari-surgisam[cluster]'")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as cluster:
        yield cluster


def test_tasks_in_this_process_go_on_after_a_failure(caplog):
    events = list(run_tasks(double, {"a": 1, "b": "bad", "c": "broken", "d": 4}))
    assert [(e.done, e.total) for e in events] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert ended(events) == {
        "a": 2,
        "b": "this one cannot be done",
        "c": "The computation stopped: ZeroDivisionError: oops.",
        "d": 8,
    }
    assert isinstance(events[1], TaskFailed)
    assert "unexpected" in caplog.text


def test_a_cluster_gives_the_same(cluster):
    tasks = {"a": 1, "b": "bad", "c": "broken", **{f"n{k}": k for k in range(20)}}
    alone = ended(run_tasks(double, tasks))
    events = list(run_tasks(double, tasks, cluster.scheduler_address))
    assert [e.done for e in events] == list(range(1, 24))
    assert ended(events) == alone


def test_the_task_of_a_killed_worker_is_done_by_another(cluster, tmp_path: Path):
    tasks = {f"task {k}": (k, tmp_path) for k in range(6)}
    events = []

    def collect():
        events.extend(run_tasks(note_and_wait, tasks, cluster.scheduler_address))

    running = threading.Thread(target=collect)
    running.start()
    end = time.monotonic() + 60
    while not (begun := list(tmp_path.glob("0-*"))):
        assert time.monotonic() < end
        time.sleep(0.05)
    killed = int(begun[0].name.split("-")[1])
    os.kill(killed, signal.SIGKILL)
    running.join(timeout=90)
    assert not running.is_alive()
    assert len(events) == 6
    results = ended(events)
    assert {name: value for name, (value, _) in results.items()} == {
        f"task {k}": 10 * k for k in range(6)
    }
    assert results["task 0"][1] != killed


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_is_not_there_is_said(address, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("napari_surgisam.batch.PATIENCE", "2s")
    with pytest.raises(JobError, match="no Dask scheduler"):
        list(run_tasks(double, {"a": 1}, address))


@pytest.mark.parametrize("scheduler", ["local:0", "local:many"])
def test_a_cluster_of_an_impossible_size_is_refused(scheduler):
    pytest.importorskip("distributed")
    with pytest.raises(JobError, match="local or local:N"):
        list(run_tasks(double, {"a": 1}, scheduler))
