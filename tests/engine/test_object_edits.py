"""Merging and splitting in a session: one undo step, and a propagation that follows it."""

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.object_edits import merge, split
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import JobError

FORWARD = Plan("forward")


@pytest.fixture
def session():
    film = MovingDiscs(length=10, levels=(230, 232))  # as bright as each other for the network
    session = Session(film, Tracker(FakeNetwork()))
    session.add_point(1, 0, Point(*film.centre(230, 0)))
    list(session.propagate(FORWARD))
    return session


def overlap(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_an_object_is_split_into_what_it_followed_and_merged_again(session):
    before = [session.labels(f) for f in range(10)]
    list(split(session, 1))
    assert session.object_ids == (1, 2)
    for frame in range(10):
        labels = session.labels(frame)
        np.testing.assert_array_equal(labels > 0, before[frame] > 0)
        assert set(np.unique(labels)) == {0, 1, 2}
    assert session.undo() and session.object_ids == (1,)
    np.testing.assert_array_equal(session.labels(5), before[5])
    session.redo()
    list(merge(session, 2, [1]))
    assert session.object_ids == (2,)
    for frame in range(10):
        np.testing.assert_array_equal(session.labels(frame) == 2, before[frame] == 1)
    assert session.undo() and session.object_ids == (1, 2)


def test_a_propagation_after_a_merge_starts_from_the_union(session):
    list(split(session, 1))
    list(merge(session, 1, [2]))
    union = [session.labels(f) for f in range(10)]
    assert session.count_outdated(FORWARD) == 0
    list(session.propagate(FORWARD))
    for frame in range(10):
        assert overlap(session.labels(frame) == 1, union[frame] == 1) > 0.8


def test_cancelling_changes_nothing_and_an_edit_meanwhile_wins(session):
    before = session.annotation
    job = split(session, 1)
    next(job)
    job.close()
    assert session.annotation is before
    job = split(session, 1)
    next(job)
    session.remove_object(1)
    with pytest.raises(JobError, match="Object 1 changed"):
        list(job)
    assert session.object_ids == () and session.undo()
