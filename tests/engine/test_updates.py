"""After a correction: only its object, only where it matters, and as if never interrupted."""

from dataclasses import dataclass

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.course import Update
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.plan import Direction, Plan, Span
from napari_surgisam.engine.policies import RecentFrames
from napari_surgisam.engine.recollection import Recollection
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker

LEVELS = (230, 120)
FORWARD, OUTWARD = Plan("forward"), Plan("outward")


def open_session(length=24, budget=None, **options):
    film = MovingDiscs(length=length, levels=LEVELS)
    session = Session(film, Tracker(FakeNetwork(), cache=EmbeddingCache(1 << 26), **options))
    if budget is not None:
        session._recollection = Recollection(film, session.tracker, budget=budget)
    return session


def click(session, object_id, frame, *, positive=True, shift=0.0):
    y, x = session.frames.centre(LEVELS[object_id - 1], frame)
    session.add_point(object_id, frame, Point(y, x + shift, positive))
    session.segment(frame)


def run(session, plan=FORWARD, update=None, object_ids=None):
    """Propagate; return what was visited and, by frame, what was attended to."""
    events = [e for e in session.propagate(plan, object_ids, update=update) if e.direction]
    assert not events or events[-1].done == events[-1].total
    return [(e.frame, *sorted(e.predictions)) for e in events]


NEVER = Update(in_a_row=0)


def test_a_correction_runs_its_object_between_its_neighbours_and_reads_no_frame_again():
    session = open_session()
    for object_id, frame in ((1, 4), (1, 16), (2, 0)):
        click(session, object_id, frame)
    run(session)
    embedded, other = session.tracker.network.embedded, session.masklets[2]
    beyond = session.masklets[1][17]
    click(session, 1, 10, positive=False, shift=4)
    assert session.count_outdated(FORWARD) == 10
    assert run(session, update=NEVER) == [(f, 1) for f in (*range(5, 10), *range(11, 16))]
    assert session.tracker.network.embedded == embedded
    assert session.masklets[2] is other
    assert session.masklets[1][17] is beyond
    assert session.stale(1) == ()
    assert session.count_outdated(FORWARD) == 0
    assert run(session, update=NEVER) == []


def test_adding_an_object_never_touches_another():
    session = open_session()
    click(session, 1, 0)
    run(session)
    masks = dict(session.masklets[1].chunks)
    click(session, 2, 8)
    assert run(session, OUTWARD, Update()) == [(f, 2) for f in (*range(9, 24), *range(7, -1, -1))]
    assert {n: session.masklets[1].chunks[n] is chunk for n, chunk in masks.items()} == {0: True}


def test_a_stopped_propagation_is_taken_up_again():
    session = open_session()
    click(session, 1, 0)
    for event in session.propagate(FORWARD):
        if event.frame == 9:
            break
    assert run(session, update=Update()) == [(f, 1) for f in range(10, 24)]


@pytest.mark.parametrize("budget", [None, 0], ids=["exact", "rebuilt"])
def test_what_is_done_again_equals_an_uninterrupted_run(budget):
    def corrected(update, budget=None):
        session = open_session(40, budget)
        click(session, 1, 0)
        click(session, 1, 30)
        run(session)
        click(session, 1, 12, positive=False, shift=4)
        run(session, update=update)
        return session

    whole, again = corrected(None), corrected(NEVER, budget)
    for frame in range(40):
        one, other = whole.labels(frame) == 1, again.labels(frame) == 1
        assert np.count_nonzero(one & other) >= 0.99 * np.count_nonzero(one | other) > 0


def test_past_the_last_prompt_agreement_ends_a_pass_and_the_rest_is_up_to_date():
    session = open_session()
    click(session, 1, 0)
    run(session)
    rest = session.masklets[1][20]
    click(session, 1, 8)  # says what was known
    assert session.stale(1) == (Span(1, 8), Span(9, 24))
    assert run(session, update=Update()) == [(f, 1) for f in (*range(1, 8), 9, 10, 11)]
    assert session.stale(1) == ()
    assert session.masklets[1][20] is rest
    assert session.undo()
    assert session.stale(1) == (Span(1, 8), Span(9, 24))


def test_objects_end_early_one_by_one():
    session = open_session()
    click(session, 1, 0)
    click(session, 2, 0)
    run(session)
    click(session, 1, 1)
    session.add_point(2, 1, Point(*session.frames.centre(LEVELS[0], 1)))
    session.segment(1)  # neither disc any more
    visited = run(session, update=Update())
    assert visited[:3] == [(2, 1, 2), (3, 1, 2), (4, 1, 2)]
    assert all(2 in objects for _, *objects in visited[3:])
    assert not any(1 in objects for _, *objects in visited[3:])


@dataclass(frozen=True)
class Recording(RecentFrames):
    """Remembers what each frame attended to."""

    def __post_init__(self):
        object.__setattr__(self, "seen", {})

    def select(self, bank, frame, direction):
        selection = RecentFrames.select(self, bank, frame, direction)
        recall = bank.recall(selection, frame, direction)
        self.seen[frame] = (
            [m.frame for _, m in recall.spatial],
            [m.frame for _, m in recall.pointers],
        )
        return selection


@pytest.mark.parametrize("order", ["forward", "outward"])
def test_after_frames_that_are_up_to_date_a_pass_attends_to_them(order):
    policy = Recording()
    session = open_session(40, policy=policy)
    click(session, 1, 0)
    click(session, 1, 39)
    run(session, Plan(order))
    whole = dict(policy.seen)
    masklet = session.masklets[1].without([3, 4, 15, 16, 17])
    annotation = session.annotation.__class__(session.book, {1: masklet})
    policy.seen.clear()
    session = Session(session.frames, session.tracker, annotation)
    assert run(session, Plan(order), Update()) == [(f, 1) for f in (3, 4, 15, 16, 17)]
    assert policy.seen == {f: whole[f] for f in (3, 4, 15, 16, 17)}


def test_masks_of_another_network_are_made_again():
    session = open_session()
    click(session, 1, 0)
    run(session)
    other = session.with_tracker(Tracker(FakeNetwork("other")))
    assert run(other, update=Update()) == [(f, 1) for f in range(1, 24)]
    assert all(m.pointer.size for m in (other.masklets[1][f] for f in range(24)))
    assert Direction(other.masklets[1][23].direction) is Direction.FORWARD
