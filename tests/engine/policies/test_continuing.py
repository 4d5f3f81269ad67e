"""A pass that goes on from frames tracked before knows what these showed."""

from dataclasses import dataclass, field

import pytest
import torch
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import Point, Prompt
from napari_surgisam.engine.memory import Memory
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.policies import POLICIES, RecentFrames, parse_policy
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker


@dataclass(frozen=True)
class Noting(RecentFrames):
    """Its state is the frames that it was shown."""

    started: list = field(default_factory=list)

    def select(self, bank, frame, direction):
        self.started.append((frame, direction, bank.state))
        return super().select(bank, frame, direction)

    def observe(self, bank, frame, prediction):
        assert isinstance(bank[frame], Memory)
        assert torch.isfinite(prediction.mask_logits).all()
        return (*(bank.state or ()), frame)


def session_of(policy, prompted=2, length=40):
    film = MovingDiscs(length=length)
    session = Session(film, Tracker(FakeNetwork(), policy))
    y, x = film.centre(230, prompted)
    session.set_prompt(Prompt(1, prompted, (Point(y, x),)))
    return session


@pytest.mark.parametrize("order", ["forward", "backward"])
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_pass_goes_on_with_its_state_or_is_shown_the_frames_just_before(order, forgotten):
    session = session_of(Noting(), prompted=2 if order == "forward" else 37)
    spans = (Span(2, 25), Span(25, 40)) if order == "forward" else (Span(15, 38), Span(0, 15))
    for _ in session.propagate(Plan(order, spans[0])):
        pass
    started = session.tracker.policy.started
    started.clear()
    if forgotten:
        session = Session(session.frames, session.tracker, session.annotation)
    for _ in session.propagate(Plan(order, spans[1])):
        pass
    frame, direction, state = started[0]
    reach = 15 if forgotten else 22
    assert state == tuple(frame - distance * direction for distance in range(reach, 0, -1))


@dataclass(frozen=True)
class Hoarding(Noting):
    """Wants the fifth frame of its pass for ever."""

    def retain(self, bank, frame):
        return frozenset(bank.state[4:5])

    def select(self, bank, frame, direction):
        self.started.append((frame, direction, bank.tracked_frames))
        return RecentFrames.select(self, bank, frame, direction)


def test_what_a_policy_wanted_kept_is_brought_back():
    session = session_of(Hoarding())
    for span in (Span(0, 30), Span(30, 40)):
        session.tracker.policy.started.clear()
        for _ in session.propagate(Plan("forward", span)):
            pass
    first = session.tracker.policy.started[0]
    assert (first[0], first[2]) == (30, (7, *range(15, 30)))


def test_a_new_prompt_begins_with_nothing():
    session = session_of(Noting())
    for _ in session.propagate(Plan("forward", Span(0, 10))):
        pass
    assert session.tracker.policy.started[0][2] is None


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_tracks_a_disc_in_two_halves(name):
    session = session_of(parse_policy(name))
    for span in (Span(0, 20), Span(20, 40)):
        for _ in session.propagate(Plan("outward", span)):
            pass
    film = MovingDiscs(length=40)
    for frame in range(40):
        found, true = session.labels(frame) == 1, film.mask(230, frame)
        assert (found & true).sum() / (found | true).sum() > 0.8


@pytest.mark.parametrize("name", POLICIES)
def test_a_pause_changes_nothing(name):
    film = MovingDiscs(length=60, hidden={230: range(20, 48)})
    seen = {}
    for pause in (None, 40, 53):
        session = Session(film, Tracker(FakeNetwork(), parse_policy(name)))
        y, x = film.centre(230, 0)
        session.set_prompt(Prompt(1, 0, (Point(y, x),)))
        spans = (Span(0, 60),) if pause is None else (Span(0, pause), Span(pause, 60))
        events = [e for span in spans for e in session.propagate(Plan("forward", span))]
        seen[pause] = {e.frame: e.selections[1] for e in events if e.selections}
    assert seen[40] == seen[53] == seen[None]
    if name == "confident":  # the frames from before the absence
        assert set(seen[40][46].recent.values()) >= {19, 18, 17}
