"""A session that is saved, reopened and gone on with."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs
from sessions_alike import assert_same_annotation, assert_same_state

from napari_surgisam.data.classes import ClassList
from napari_surgisam.data.prompts import Box, MaskPrompt, ObjectId, Point, Prompt
from napari_surgisam.engine.course import Update
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.saved_sessions import (
    plan_of,
    restored_session,
    saved_state,
    with_annotation,
)
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_sources import describe_source
from napari_surgisam.formats.session_state import ModelRecord, ObjectRecord

LEVELS = (230, 120)
LENGTH = 150  # three chunks of masks


@pytest.fixture
def film():
    return MovingDiscs(length=LENGTH, levels=LEVELS)


@pytest.fixture
def session(film):
    return Session(film, Tracker(FakeNetwork()))


@pytest.fixture
def folder(tmp_path):
    made = SessionFolder(tmp_path / "film.surgisam", new=True)
    yield made
    made.close()


def point(film, object_id, frame, **options):
    return Point(*film.centre(LEVELS[object_id - 1], frame), **options)


def state_of(session):
    model = ModelRecord(sha256="abc")
    return saved_state(session, describe_source(session.frames, None), model, Plan("forward"))


def reopened(folder):
    """Read a session as another process would, with nothing in memory."""
    folder.close()
    other = SessionFolder(folder.path)
    state = other.read()
    other.close()
    folder._lock = folder._acquired(False)
    return state


def test_a_session_equals_its_reopened_self_after_every_step(session, film, folder):
    def points():
        session.add_point(ObjectId(1), 3, point(film, 1, 3))
        session.segment(3)

    def draft():
        session.add_point(ObjectId(1), 3, Point(1.0 / 3, 2.5e-17, positive=False))

    def box():
        y, x = film.centre(120, 5)
        session.set_prompt(Prompt(ObjectId(2), 5, box=Box(y - 7, x - 7, y + 7, x + 7)))

    def mask():
        session.set_prompt(MaskPrompt(ObjectId(2), 90, film.mask(120, 90)))

    def empty_mask():
        session.set_prompt(MaskPrompt(ObjectId(7), 1, np.zeros(film.shape, bool)))

    def propagate():
        for _ in session.propagate(Plan("forward")):
            pass

    def half():
        run = session.propagate(Plan("outward"))
        for _ in range(20):
            next(run)
        run.close()

    def correct():
        session.add_point(ObjectId(1), 70, point(film, 1, 70))

    def paint():
        labels = np.zeros(film.shape, np.uint16)
        labels[3:9, 4:20] = 65_535
        session.paint(12, labels)

    def away():
        session.remove_prompt(ObjectId(2), 90)
        session.remove_object(ObjectId(7))

    steps = [points, draft, box, mask, empty_mask, propagate, correct, half, paint]
    steps += [session.undo, session.redo, away, lambda: session.unpaint(12)]
    folder.save(state_of(session))
    for step in steps:
        step()
        state = state_of(session)
        folder.save(state)
        assert_same_state(state, reopened(folder))
    for frame in range(LENGTH):
        np.testing.assert_array_equal(
            session.labels(frame), reopened(folder).annotation.labels(frame, film.shape)
        )


def test_what_is_reopened_goes_on_as_if_it_had_never_been_closed(session, film, folder):
    session.add_point(ObjectId(1), 0, point(film, 1, 0))
    session.add_point(ObjectId(2), 0, point(film, 2, 0))
    run = session.propagate(Plan("forward"))
    for _ in range(70):
        next(run)
    run.close()
    folder.save(state_of(session))
    state = reopened(folder)
    again = restored_session(state, film, Tracker(FakeNetwork()), "abc")
    assert again.count_outdated(plan_of(state, film)) == LENGTH - 70
    assert not again.can_undo
    for one in (session, again):
        for _ in one.propagate(Plan("forward"), update=Update()):
            pass
    for frame in range(LENGTH):
        mine, theirs = session.labels(frame), again.labels(frame)
        for object_id in (1, 2):
            one, other = mine == object_id, theirs == object_id
            assert (one & other).sum() >= 0.99 * (one | other).sum() > 0
    folder.save(with_annotation(state, again))
    assert_same_annotation(again.annotation, reopened(folder).annotation)


def test_masks_of_another_model_stay_visible_and_are_built_on_by_none(session, film, folder):
    session.add_point(ObjectId(1), 0, point(film, 1, 0))
    for _ in session.propagate(Plan("forward", Span(0, 20))):
        pass
    folder.save(state_of(session))
    other = restored_session(reopened(folder), film, Tracker(FakeNetwork()), "another file's")
    assert other.stale(ObjectId(1)) == (Span(1, 20),)
    assert all(not other.masklets[1][f].pointer.size for f in range(20))
    np.testing.assert_array_equal(other.labels(9), session.labels(9))


def test_masks_are_read_when_they_are_looked_at(session, film, folder):
    session.add_point(ObjectId(1), 0, point(film, 1, 0))
    for _ in session.propagate(Plan("forward")):
        pass
    folder.save(state_of(session))
    state = reopened(folder)
    again = restored_session(state, film, Tracker(FakeNetwork()), "abc")
    chunks = again.masklets[1].chunks
    assert again.count_outdated(Plan("backward")) == 0 and len(again.masklets[1]) == LENGTH
    assert not any(chunk.in_memory for chunk in chunks.values())
    again.labels(70)
    assert [chunks[n].in_memory for n in sorted(chunks)] == [False, True, False]


def test_a_plan_that_nobody_knows_is_damage(session, film, folder):
    folder.save(state_of(session))
    index = folder.path / "session.json"
    data = json.loads(index.read_text())
    data["plan"]["order"] = "sideways"
    index.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"damaged.*sideways"):
        plan_of(reopened(folder), film)


def test_names_are_kept_and_new_objects_get_some(session, film, folder):
    session.add_point(ObjectId(1), 0, point(film, 1, 0))
    state = state_of(session)
    assert dict(state.objects) == {1: ObjectRecord("object 1")}
    session.add_point(ObjectId(2), 0, point(film, 2, 0))
    session.set_classes(ClassList().including(["tool"]))
    session.set_class([1], "tool")
    session.hide([1])
    named = {ObjectId(1): ObjectRecord("grasper", "tool", visible=False)}
    later = with_annotation(replace(state, objects=named), session)
    folder.save(later)
    found = reopened(folder)
    assert dict(found.objects) == {**named, 2: ObjectRecord("object 2")}
