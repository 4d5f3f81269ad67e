"""What a person accepted stays, and later propagations lean on it."""

from typing import ClassVar

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import Point, Prompt
from napari_surgisam.engine.course import Update
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.policies import RecentFrames
from napari_surgisam.engine.recollection import Recollection
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker

LEVELS = (230, 120)
FORWARD, OUTWARD = Plan("forward"), Plan("outward")
NEVER = Update(in_a_row=0)


class Recording(RecentFrames):
    """Remembers what each frame attended to, nearest first."""

    seen: ClassVar[dict[int, list[int]]] = {}

    def select(self, bank, frame, direction):
        selection = RecentFrames.select(self, bank, frame, direction)
        self.seen[frame] = list(selection.recent.values())
        return selection


@pytest.fixture
def session():
    Recording.seen.clear()
    film = MovingDiscs(length=40, levels=LEVELS)
    session = Session(film, Tracker(FakeNetwork(), Recording(), cache=EmbeddingCache(1 << 26)))
    click(session, 0)
    return session


def click(session, frame, level=LEVELS[0], *, positive=True, shift=0.0):
    y, x = session.frames.centre(level, frame)
    session.add_point(1, frame, Point(y, x + shift, positive))
    session.segment(frame)


def run(session, plan=FORWARD, update=None):
    return [e.frame for e in session.propagate(plan, update=update) if e.direction]


def test_accepted_frames_are_passed_over_whatever_is_propagated(session):
    run(session)
    session.accept([1], range(10, 16))
    locked = [session.masklets[1][f] for f in range(10, 16)]
    others = [*range(1, 10), *range(16, 40)]
    assert run(session) == others
    click(session, 0, positive=False, shift=4)
    assert session.stale(1) == (Span(1, 10), Span(16, 40))
    assert session.count_outdated(FORWARD) == len(others)
    assert run(session, update=NEVER) == others
    assert [session.masklets[1][f] for f in range(10, 16)] == locked
    assert session.stale(1) == ()


def test_a_pass_leans_on_accepted_frames_where_it_goes_on(session):
    run(session)
    session.accept([1], range(10, 20))
    Recording.seen.clear()
    run(session)
    assert Recording.seen[20] == [19, 18, 17, 16, 15, 14]
    assert Recording.seen[9] == [8, 7, 6, 5, 4, 3]


def test_a_pass_leans_on_accepted_frames_that_the_other_direction_made(session):
    run(session, Plan("forward", Span(0, 20)))
    session.accept([1], range(10, 20))
    click(session, 39)
    Recording.seen.clear()
    assert run(session, Plan("backward"), NEVER) == [*range(38, 19, -1), *range(9, 0, -1)]
    assert Recording.seen[9] == [10, 11, 12, 13, 14, 15]


def test_the_masks_of_accepted_frames_are_what_is_carried_on():
    film = MovingDiscs(length=24, levels=LEVELS)
    session = Session(film, Tracker(FakeNetwork(), RecentFrames()))
    click(session, 12, LEVELS[1])
    run(session, OUTWARD)
    session.accept([1], range(1, 20))
    session.remove_prompt(1, 12)  # its own frame is open again
    session.set_prompt(Prompt(1, 0, (Point(*film.centre(LEVELS[0], 0)),)))
    assert run(session, FORWARD, NEVER) == [12, *range(20, 24)]
    for frame in (12, 20):  # the one prompt that is left lies on the other disc
        truth = film.mask(LEVELS[1], frame)
        found = session.labels(frame) == 1
        assert np.count_nonzero(found & truth) > 0.7 * np.count_nonzero(truth)


def test_undo_takes_acceptance_back_and_an_accept_ends_a_propagation(session):
    steps = session.propagate(FORWARD)
    for event in steps:
        if event.frame == 9:
            session.accept([1], range(2, 6))
    assert event.frame == 9, "the run went on"
    assert session.annotation.accepted == {1: (range(2, 6),)}
    assert session.undo()
    assert session.annotation.accepted == {}
    assert session.redo()
    session.reopen([1], range(0, 4))
    assert session.annotation.accepted == {1: (range(4, 6),)}


@pytest.mark.parametrize("budget", [1 << 24, 0])
def test_another_network_keeps_accepted_masks_and_is_shown_them(session, budget):
    run(session)
    session.accept([1], range(0, 20))
    locked = [session.masklets[1][f].data for f in range(20)]
    network = FakeNetwork("other")
    other = session.with_tracker(Tracker(network, Recording()))
    other._recollection = Recollection(other.frames, other.tracker, budget=budget)
    assert other.stale(1) == (Span(20, 40),)
    Recording.seen.clear()
    assert run(other, update=Update()) == [*range(20, 40)]
    assert [other.masklets[1][f].data for f in range(20)] == locked
    assert Recording.seen[20] == [19, 18, 17, 16, 15, 14]
    shown = [q.mask for q in network.queries if q.mask is not None]
    assert any((mask == (session.labels(19) == 1)).all() for mask in shown)
    truth = other.frames.mask(LEVELS[0], 30)
    mask = other.labels(30) == 1
    assert np.count_nonzero(mask & truth) > 0.7 * np.count_nonzero(truth)
