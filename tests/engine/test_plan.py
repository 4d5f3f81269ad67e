"""Order of the visit: hand-counted cases, and a brute-force reference."""

from itertools import product
from random import Random

import pytest

from napari_surgisam.engine.plan import (
    ORDERS,
    Direction,
    Plan,
    Span,
    Step,
    plan_propagation,
)
from napari_surgisam.errors import PromptError

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def visits(plan, prompted, length):
    return [
        (s.frame, int(s.direction), s.object_ids) for s in plan_propagation(plan, prompted, length)
    ]


@pytest.mark.parametrize(
    ("order", "prompted", "expected"),
    [
        pytest.param("outward", [2], "3+ 4+ 5+ 6+ 1- 0-", id="middle-slice"),
        pytest.param("outward", [0], "1+ 2+ 3+ 4+ 5+ 6+", id="first-frame"),
        pytest.param("outward", [6], "5- 4- 3- 2- 1- 0-", id="last-frame"),
        pytest.param("outward", [1, 5], "2+ 3+ 6+ 4- 0-", id="tie-to-the-earlier"),
        pytest.param("outward", [5, 0], "1+ 2+ 6+ 4- 3-", id="unsorted-from-the-nearer"),
        pytest.param("outward", range(7), "", id="all-prompted"),
        pytest.param("first-n", [1, 2], "3+ 4+ 5+ 6+", id="first-n"),
        pytest.param("forward", [2, 4], "3+ 5+ 6+", id="forward-skips-prompts"),
        pytest.param("backward", [2, 4], "3- 1- 0-", id="backward-skips-prompts"),
        pytest.param("forward", [6], "", id="nothing-after"),
        pytest.param("backward", [0], "", id="nothing-before"),
    ],
)
def test_one_object_visits(order, prompted, expected):
    steps = plan_propagation(Plan(order), {1: list(prompted)}, 7)
    found = [f"{s.frame}{'+' if s.direction > 0 else '-'}" for s in steps]
    assert " ".join(found) == expected
    assert len(steps) == len(found)


def test_first_n_starts_each_object_at_its_own_first_prompt():
    assert visits(Plan("first-n"), {1: [0], 2: [2]}, 5) == [
        (1, 1, (1,)),
        (2, 1, (1,)),
        (3, 1, (1, 2)),
        (4, 1, (1, 2)),
    ]


def test_objects_that_meet_share_a_step_and_directions_do_not_mix():
    assert visits(Plan("outward"), {7: [1], 3: [3]}, 5) == [
        (2, 1, (7,)),
        (3, 1, (7,)),
        (4, 1, (3, 7)),
        (2, -1, (3,)),
        (1, -1, (3,)),
        (0, -1, (3, 7)),
    ]


def test_a_span_clips_and_prompts_outside_it_still_lead_in():
    assert visits(Plan("outward", Span(4, 6)), {1: [1]}, 10) == [(4, 1, (1,)), (5, 1, (1,))]
    assert visits(Plan("outward", Span(0, 2)), {1: [4]}, 10) == [(1, -1, (1,)), (0, -1, (1,))]
    assert visits(Plan("forward", Span(-2)), {1: [0]}, 10) == [(8, 1, (1,)), (9, 1, (1,))]


@pytest.mark.parametrize(
    ("text", "span"),
    [("2:5", Span(2, 5)), (":5", Span(0, 5)), ("2:", Span(2)), (":", Span()), ("-3:", Span(-3))],
)
def test_spans_read_like_slices(text, span):
    assert Span.parse(text) == span
    start, _, stop = text.partition(":")
    whole = list(range(9))
    sliced = whole[int(start) if start else None : int(stop) if stop else None]
    assert list(span.frames(9)) == sliced


@pytest.mark.parametrize("text", ["", "3", "a:b", "1:2:3", "1.5:2"])
def test_a_span_that_is_none_is_refused(text):
    with pytest.raises(PromptError, match="10:20"):
        Span.parse(text)


def test_an_empty_span_and_a_missing_prompt_are_refused():
    with pytest.raises(PromptError, match="frames 0 to 9"):
        plan_propagation(Plan("forward", Span(10, 20)), {1: [0]}, 10)
    with pytest.raises(PromptError, match="Object 2"):
        plan_propagation(Plan("forward"), {1: [0], 2: []}, 10)
    with pytest.raises(PromptError, match="sideways"):
        Plan("sideways")


def brute_force(order, prompted, span, length):
    """What each object's frame should get: a direction or nothing."""
    wanted = {}
    for object_id, frames in prompted.items():
        for f in span.frames(length):
            if f in frames:
                continue
            before = [c for c in frames if c < f]
            after = [c for c in frames if c > f]
            if order == "backward":
                direction = BACKWARD if after else None
            elif order != "outward":
                direction = FORWARD if before else None
            elif before and after:
                direction = FORWARD if f - max(before) <= min(after) - f else BACKWARD
            else:
                direction = FORWARD if before else BACKWARD
            if direction is not None:
                wanted[object_id, f] = direction
    return wanted


@pytest.mark.parametrize(("order", "seed"), list(product(ORDERS, range(8))))
def test_every_frame_is_visited_once_from_the_right_side(order, seed):
    random = Random(seed)
    length = random.randint(1, 25)
    prompted = {
        k: random.sample(range(length), random.randint(1, min(4, length)))
        for k in range(1, random.randint(2, 5))
    }
    span = Span(random.randint(0, length // 2), random.choice([None, length, length - 1 or 1]))
    if not span.frames(length):
        span = Span()
    steps = list(plan_propagation(Plan(order, span), prompted, length))
    found = [((k, s.frame), s.direction) for s in steps for k in s.object_ids]
    assert dict(found) == brute_force(order, prompted, span, length)
    assert len(found) == len(dict(found))
    for direction in Direction:
        frames = [s.frame for s in steps if s.direction == direction]
        assert frames == sorted(set(frames), reverse=direction < 0)


def test_a_long_video_is_planned_lazily():
    steps = plan_propagation(Plan("outward"), {1: [50_000], 2: range(0, 100_000, 500)}, 100_000)
    assert len(steps) < 200_000
    assert len(steps.runs) < 1000
    assert next(iter(steps)) == Step(1, FORWARD, (2,))


def test_what_is_left_after_some_steps():
    steps = plan_propagation(Plan("outward"), {1: [4], 2: [2, 6]}, 9)
    every = list(steps)
    for count in range(len(every) + 2):
        assert list(steps.after(count)) == every[count:]
        assert len(steps.after(count)) == len(every[count:])
