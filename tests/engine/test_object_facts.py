"""Classes, overlaps and locks in a session."""

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.classes import ClassList, ObjectClass
from napari_surgisam.data.prompts import MaskPrompt, Point, Prompt
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError, PromptError

LEVELS = (230, 120)
FORWARD = Plan("forward")
CLASSES = ClassList((ObjectClass("tool", 4, (0, 0, 255), priority=1),))


@pytest.fixture
def session():
    film = MovingDiscs(length=12, levels=LEVELS)
    session = Session(film, Tracker(FakeNetwork()))
    for object_id, level in enumerate(LEVELS, start=1):
        session.add_point(object_id, 0, Point(*film.centre(level, 0)))
    session.segment(0)
    return session


def masks(session, object_id):
    masklet = session.masklets[object_id]
    return [(f, masklet[f].data, masklet[f].box) for f in masklet]


def test_classes_are_chosen_and_undone_in_one_step(session):
    session.set_classes(CLASSES)
    session.set_class([1, 2], "tool")
    assert session.annotation.catalogue.class_of(2).label == 4
    session.set_class([1, 2], "tool")  # nothing changes: no step
    assert session.undo() and not session.annotation.catalogue.named
    assert session.annotation.catalogue.classes == CLASSES
    with pytest.raises(DataError, match="no class scope"):
        session.set_class([1], "scope")
    session.redo()
    session.remove_object(1)
    assert set(session.annotation.catalogue.named) == {2}
    session.undo()
    assert set(session.annotation.catalogue.named) == {1, 2}


def test_a_class_in_front_has_the_pixels_that_a_surer_object_claims(session):
    whole = np.ones(session.frames.shape, bool)
    session.set_prompts([MaskPrompt(1, 5, whole), MaskPrompt(2, 5, whole)])
    session.segment(5)
    assert set(np.unique(session.labels(5))) == {1}  # as sure of it: the first
    session.set_classes(CLASSES)
    session.set_class([2], "tool")
    assert set(np.unique(session.labels(5))) == {2}
    session.undo()
    assert set(np.unique(session.labels(5))) == {1}


def test_nothing_changes_a_locked_object(session):
    list(session.propagate(FORWARD))
    session.lock([1])
    before, shown = masks(session, 1), [session.labels(f) == 1 for f in range(12)]
    y, x = session.frames.centre(LEVELS[1], 3)
    for refused in (
        lambda: session.add_point(1, 3, Point(y, x)),
        lambda: session.set_prompt(Prompt(1, 3, (Point(y, x),))),
        lambda: session.set_prompts([MaskPrompt(1, 4, np.ones(session.frames.shape, bool))]),
        lambda: session.remove_prompt(1, 0),
        lambda: session.remove_object(1),
        lambda: session.clear([1], range(12)),
        lambda: session.propagate(FORWARD, [1]),
    ):
        with pytest.raises(PromptError, match="Object 1 is locked"):
            refused()
    session.add_point(2, 6, Point(*session.frames.centre(LEVELS[0], 6)))  # claims 1's pixels
    asked = len(session.tracker.network.queries)
    assert [e.predictions.keys() for e in session.propagate(FORWARD)][-1] == {2}
    assert all(len(q.points) != 0 or q.recall for q in session.tracker.network.queries[asked:])
    session.label_classes({}, Span())
    session.paint(7, np.full(session.frames.shape, 2, np.uint16))
    session.paint(8, np.full(session.frames.shape, 1, np.uint16))
    assert masks(session, 1) == before
    for frame in range(12):
        np.testing.assert_array_equal(session.labels(frame) == 1, shown[frame])
    session.lock([1], False)
    session.remove_object(1)
    assert session.object_ids == (2,)


def test_a_lock_holds_at_once_and_the_propagation_goes_on_with_the_others(session):
    for event in session.propagate(FORWARD):
        if event.frame == 5:
            session.lock([2])
    assert (max(session.masklets[1]), max(session.masklets[2])) == (11, 5)
    assert session.undo()  # what the propagation did after the lock
    assert (max(session.masklets[1]), session.annotation.catalogue.locked) == (5, {2})
    assert session.undo() and not session.annotation.catalogue.locked
    assert max(session.masklets[1]) == 5
    assert session.undo() and max(session.masklets[1]) == 0


def test_when_all_are_locked_a_propagation_says_so(session):
    session.lock([1, 2])
    with pytest.raises(PromptError, match="Object 1 is locked and cannot be propagated"):
        session.propagate(FORWARD)
    assert session.undo() and len(list(session.propagate(FORWARD))) > 0


def test_another_network_leaves_a_locked_object_alone(session):
    list(session.propagate(FORWARD))
    session.lock([1])
    shown = [session.labels(f) == 1 for f in range(12)]
    other = session.with_tracker(Tracker(FakeNetwork("other")))
    other.segment(0)
    list(other.propagate(FORWARD))
    for frame in range(12):
        np.testing.assert_array_equal(other.labels(frame) == 1, shown[frame])


def test_hiding_is_undone_and_changes_no_mask(session):
    before = session.labels(0)
    session.hide([1])
    assert session.annotation.catalogue.hidden == {1}
    np.testing.assert_array_equal(session.labels(0), before)
    assert session.undo() and not session.annotation.catalogue.hidden
