"""The job: events, failures, and the same scores here and on a cluster, to the last digit."""

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from napari_surgisam.engine.settings import EngineSettings
from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.answers import Prompting
from napari_surgisam.evaluation.cases import FileCase, MemoryCase
from napari_surgisam.evaluation.jobs import (
    CaseAdvanced,
    CaseFailed,
    CaseScored,
    Questions,
    evaluate,
    evaluate_on,
)
from napari_surgisam.evaluation.protocols import VideoProtocol
from napari_surgisam.evaluation.rows import Scoring
from napari_surgisam.formats.datasets import find_cases

QUESTIONS = Questions(VideoProtocol(Prompting(clicks=2)), Scoring(), seed=3)


def scores(events):
    return {e.result.case: e.result.scores for e in events if isinstance(e, CaseScored)}


def failures(events):
    return {e.case: e.reason for e in events if isinstance(e, CaseFailed)}


@pytest.fixture
def cases(dataset):
    return [FileCase(files) for files in find_cases(dataset).cases]


@pytest.fixture
def settings(model):
    return EngineSettings(str(model), device="cpu", precision="float32").with_threads()


def test_a_case_that_fails_is_reported_and_the_rest_goes_on(cases, settings):
    events = list(evaluate(cases, QUESTIONS, settings.tracker))
    assert set(scores(events)) == {"film0", "film1", "film2"}
    assert list(failures(events)) == ["film3"]
    assert "no truth" in failures(events)["film3"]
    steps = [e for e in events if isinstance(e, CaseAdvanced)]
    assert [(e.step, e.steps) for e in steps if e.case == "film0"] == [(k, 5) for k in range(1, 6)]
    assert [e.done for e in events if not isinstance(e, CaseAdvanced)] == [1, 2, 3, 4]
    assert all(e.total == 4 for e in events)


def test_what_nobody_expected_is_a_failure_too(memory_case, tracker, monkeypatch, caplog):
    monkeypatch.setattr(tracker.network, "segment", lambda *_: 1 / 0)
    (event,) = evaluate([memory_case], QUESTIONS, lambda: tracker)
    assert event.reason == "The computation stopped: ZeroDivisionError: division by zero."
    assert "unexpected" in caplog.text


def test_closing_cancels_and_keeps_what_is_done(memory_case, discs, tracker):
    other = MemoryCase("other", discs, memory_case.labels)
    job = evaluate([memory_case, other], QUESTIONS, lambda: tracker)
    seen = []
    for event in job:
        seen.append(event)
        if isinstance(event, CaseAdvanced) and event.case == "other":
            break
    job.close()
    assert list(scores(seen)) == ["film"]
    asked = len(tracker.network.queries)
    assert list(job) == []
    assert len(tracker.network.queries) == asked


def test_cases_of_one_name_are_refused(memory_case, tracker):
    with pytest.raises(DataError, match="same name"):
        list(evaluate([memory_case, memory_case], QUESTIONS, lambda: tracker))


def test_a_tolerance_in_mm_needs_a_spacing_before_anything_runs(memory_case, tracker):
    questions = replace(QUESTIONS, scoring=Scoring(unit="mm"))
    (event,) = evaluate([memory_case], questions, lambda: tracker)
    assert "needs the size of a voxel" in event.reason
    assert not tracker.network.queries


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        pytest.param(lambda t: t[:, 1:], r"has the shape \(10, 95, 128\)", id="other-shape"),
        pytest.param(lambda t: t[1:], r"has the shape \(9, 96, 128\)", id="other-length"),
        pytest.param(lambda t: t / 1.5, "holds float64 values", id="floats"),
        pytest.param(np.zeros_like, "reference is empty", id="empty-truth"),
        pytest.param(lambda t: t.astype(int) - 1, "labels from -1", id="negative"),
    ],
)
def test_truth_that_cannot_be_used_is_said(labels, reason, memory_case, discs, tracker):
    bad = MemoryCase("bad", discs, labels(memory_case.labels))
    events = list(evaluate([bad, memory_case], QUESTIONS, lambda: tracker))
    assert list(scores(events)) == ["film"]
    with pytest.raises(DataError, match=reason):
        bad.open()
    assert failures(events)["bad"]


def test_two_workers_give_the_same_scores_to_the_last_digit(cases, settings):
    pytest.importorskip("distributed", reason="pip install 'napari-surgisam[cluster]'")
    alone = list(evaluate(cases, QUESTIONS, settings.tracker))
    events = list(evaluate_on("local:2", cases, QUESTIONS, settings))
    assert len(events) == 4
    assert scores(events) == scores(alone)
    assert failures(events) == failures(alone)


def test_a_worker_killed_in_mid_case_changes_no_score(cases, settings):
    """The first worker that takes a case is killed; each case still ends exactly once."""
    pytest.importorskip("distributed", reason="pip install 'napari-surgisam[cluster]'")
    from distributed import Client, LocalCluster

    alone = scores(evaluate(cases, QUESTIONS, settings.tracker))
    events: list = []
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        pids = client.run(os.getpid)
        running = threading.Thread(
            target=lambda: events.extend(
                evaluate_on(cluster.scheduler_address, cases, QUESTIONS, settings)
            )
        )
        running.start()
        end = time.monotonic() + 60
        while not (busy := [w for w, tasks in client.processing().items() if tasks]):
            assert time.monotonic() < end
        os.kill(pids[busy[0]], signal.SIGKILL)
        running.join(timeout=120)
        assert not running.is_alive()
        assert pids[busy[0]] not in client.run(os.getpid).values()
    assert len(events) == 4
    assert scores(events) == alone
