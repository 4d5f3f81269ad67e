"""What the widget tells a session when layers change, and which frames it paints anew."""

from types import MappingProxyType

import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import Box, Point, Prompt
from napari_surgisam.engine.course import Update
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.focus import Focus
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.policies import ConfidentFrames
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.plugin.advanced_panel import Settings
from napari_surgisam.plugin.session_jobs import (
    changed_frames,
    enter_prompts,
    open_session,
    preview_propagation,
    propagate,
)

pytestmark = pytest.mark.qt  # the module reads layers' words, which need Qt's neighbours

A, B, C = Point(1, 2), Point(3, 4, positive=False), Point(5, 6)


class Recorder:
    def __init__(self):
        self.told = []

    def add_points(self, *what):
        self.told.append(("add", *what))

    def remove_prompt(self, *what):
        self.told.append(("remove", *what))

    def set_prompts(self, prompts):
        self.told.append(("set", tuple(prompts)))


def book(*prompts):
    return {(p.object_id, p.frame): p for p in prompts}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param([], [Prompt(1, 0, (A,))], [("add", 1, 0, (A,))], id="first-click-refines"),
        pytest.param(
            [Prompt(1, 0, (A,))], [Prompt(1, 0, (A, B))], [("add", 1, 0, (B,))], id="one-more-click"
        ),
        pytest.param(
            [Prompt(1, 0, (A,))],
            [Prompt(1, 0, (A, B, C))],
            [("add", 1, 0, (B, C))],
            id="more-clicks-of-one-object",
        ),
        pytest.param(
            [Prompt(1, 0, (A,))],
            [Prompt(1, 0, (A,), mask_size="small")],
            [("set", (Prompt(1, 0, (A,), mask_size="small"),))],
            id="another-mask-size",
        ),
        pytest.param(
            [Prompt(1, 0, (A, B))],
            [Prompt(1, 0, (A, C))],
            [("set", (Prompt(1, 0, (A, C)),))],
            id="moved-click",
        ),
        pytest.param(
            [],
            [Prompt(1, 0, (A, B)), Prompt(2, 3, (), Box(0, 0, 4, 4))],
            [("set", (Prompt(1, 0, (A, B)), Prompt(2, 3, (), Box(0, 0, 4, 4))))],
            id="many-at-once",
        ),
        pytest.param([Prompt(1, 0, (A,))], [], [("remove", 1, 0)], id="deleted-click"),
    ],
)
def test_a_new_click_refines_and_anything_else_asks_anew(before, after, told):
    session, before, after = Recorder(), book(*before), book(*after)
    changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
    enter_prompts(session, before, after, changed)
    assert session.told == told


def test_only_frames_with_other_masks_are_painted_anew():
    film = MovingDiscs(length=6)
    session = Session(film, Tracker(FakeNetwork()))
    session.add_point(1, 0, Point(*film.centre(230, 0)))
    session.segment(0)
    before = session.annotation
    events = list(propagate(session, Plan("forward"), None, Update()))
    assert [event.frame for event in events] == [1, 2, 3, 4, 5]
    assert all((event.labels == 1).any() for event in events)
    assert set(changed_frames(before, session.annotation)) >= {1, 2, 3, 4, 5}
    assert changed_frames(session.annotation, session.annotation) == []
    empty = Annotation(masklets=MappingProxyType({}))
    assert changed_frames(empty, session.annotation) == [0, 1, 2, 3, 4, 5]


def test_a_propagation_does_what_is_out_of_date_and_says_so_before():
    film, plan = MovingDiscs(length=1200), Plan("forward")
    session = Session(film, Tracker(FakeNetwork()))
    assert preview_propagation(None, plan, "frame")[0] == "Propagate"
    session.add_point(1, 0, Point(*film.centre(230, 0)))
    session.segment(0)
    assert preview_propagation(session, plan, "frame")[0] == "Propagate"
    list(propagate(session, Plan("forward", Span(0, 100)), None, Update()))
    assert preview_propagation(session, plan, "slice") == (
        "Propagate 1,100 slices",
        "Carry the clicks through 1,100 slices whose masks are missing or older than a click (P)",
    )
    plan = Plan("forward", Span(0, 100))
    assert "anew on all slices" in preview_propagation(session, plan, "slice")[1]
    assert (
        len(list(propagate(session, plan, None, Update()))) == 100
    )  # asked for, though up to date
    session.add_point(1, 90, Point(*film.centre(230, 90)))
    session.segment(90)
    session.add_point(1, 98, Point(*film.centre(230, 98)))
    session.segment(98)
    assert [
        e.frame for e in propagate(session, Plan("forward", Span(90, 100)), None, Update())
    ] == [
        *range(91, 98),
        99,
    ]
    assert preview_propagation(session, Plan(span=Span(5000)), "frame")[1].startswith("The span")


@pytest.mark.sam2
@pytest.mark.parametrize(
    ("choice", "expected"), [("default", Focus()), ("auto", Focus()), ("off", None)]
)
def test_a_session_sees_as_the_settings_say(choice, expected):
    settings = Settings(device="cpu", precision="float32", focus=choice)
    film = MovingDiscs(length=2)
    (opened,) = open_session("embedded", settings, lambda: film, EmbeddingCache, None, 0)
    assert opened.session.tracker.focus == expected


@pytest.mark.sam2
def test_a_session_attends_as_the_settings_say():
    settings = Settings(device="cpu", precision="float32", policy="confident")
    film = MovingDiscs(length=2)
    (opened,) = open_session("embedded", settings, lambda: film, EmbeddingCache, None, 0)
    assert opened.session.tracker.policy == ConfidentFrames()
