"""What is left of a propagation: parts without a jump, and passes that may end early."""

import numpy as np
import pytest

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import MaskPrompt, Point, Prompt
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.course import Course, Update, plan_update
from napari_surgisam.engine.plan import Direction, Plan, Span
from napari_surgisam.errors import PromptError

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
SHAPE = (64, 64)


def mask(side=40, *, prompted=False, pointer=2, direction=1):
    logits = np.full((64, 64), -10.0, np.float32)
    logits[:side, :side] = 10.0
    return StoredMask.from_logits(
        logits,
        iou=0.9,
        presence=1.0 if side else -1.0,
        pointer=np.ones(pointer),
        conditioning=prompted,
        direction=0 if prompted else direction,
    )


def tracked(prompts, length=20, **options):
    """Return an annotation of objects prompted on some frames, with masks on all."""
    annotation = Annotation()
    for object_id, frames in prompts.items():
        for frame in frames:
            annotation = annotation.with_prompt(Prompt(object_id, frame, (Point(1, 1),)))
        for frame in range(length):
            made = mask(prompted=frame in frames, **options)
            annotation = annotation.with_masks(frame, {object_id: made})
    return annotation


def corrected(prompts, object_id, frame, **options):
    annotation = tracked(prompts, **options)
    painted = MaskPrompt(object_id, frame, np.ones(SHAPE, bool))
    return annotation.with_prompt(painted).with_masks(frame, {object_id: mask(prompted=True)})


def course_of(annotation, order="forward", update=None, span=None):
    update = update or Update()
    sources = {k: annotation.sources(k) for k in annotation.object_ids}
    steps = plan_update(Plan(order, span or Span()), annotation, sources, 20, update)
    return Course(steps, sources, annotation, SHAPE, update)


def visited(steps):
    return [(s.frame, int(s.direction), s.object_ids) for s in steps]


@pytest.mark.parametrize(
    ("order", "frames"),
    [
        ("forward", [*range(5, 8), *range(9, 12)]),
        ("backward", [*range(11, 8, -1), *range(7, 4, -1)]),
        ("outward", [5, 6, 9, 10, 11, 7]),
    ],
)
def test_an_update_visits_one_object_between_its_neighbouring_prompts(order, frames):
    course = course_of(corrected({1: [4, 12], 2: [0]}, 1, 8), order)
    assert [s.frame for s in course.left] == frames
    assert {s.object_ids for s in course.left} == {(1,)}


def test_an_update_visits_what_was_never_tracked():
    annotation = tracked({1: [0]}, length=10)
    annotation = annotation.with_prompt(Prompt(2, 6, (Point(1, 1),)))
    assert visited(course_of(annotation).left) == [
        *((f, 1, (2,)) for f in range(7, 10)),
        *((f, 1, (1, 2)) for f in range(10, 20)),
    ]
    assert visited(course_of(annotation, span=Span(0, 9)).left) == [(7, 1, (2,)), (8, 1, (2,))]


def test_nothing_is_left_where_all_is_up_to_date():
    assert not len(course_of(tracked({1: [0]})).left)


def test_a_pass_that_skips_frames_begins_a_part():
    annotation = tracked({1: [0], 2: [0]}).with_confirmed(1, range(20))
    masklet = annotation.masklets[1].without([3, 4, 12, 13])
    annotation = Annotation(annotation.book, {**annotation.masklets, 1: masklet})
    course = course_of(annotation)
    part, jumped = course.next_part()
    assert ([s.frame for s in part], jumped) == ([3, 4], frozenset())
    for step in part:
        course.advance(step.frame, step.direction, {1: mask()})
    part, jumped = course.next_part()
    assert ([s.frame for s in part], jumped) == ([12, 13], {(1, FORWARD)})


def test_a_prompted_frame_is_no_jump():
    course = course_of(corrected({1: [0]}, 1, 8))
    part, jumped = course.next_part()
    assert [s.frame for s in part] == [*range(1, 8), *range(9, 20)]
    assert not jumped


def advance(course, sides):
    """Make steps with squares of some sides; return what was found up to date, by frame."""
    found = {}
    steps = iter(course.left)
    for side in sides:
        step = next(steps)
        confirmed = course.advance(step.frame, step.direction, {1: mask(side)})
        if confirmed:
            found[step.frame] = confirmed[1]
    return found


def test_past_the_last_prompt_three_agreeing_frames_end_a_pass():
    course = course_of(corrected({1: [0]}, 1, 8), "outward")
    # the same all along: between the prompts nothing ends early
    assert advance(course, [40] * 4) == {}
    assert advance(course, [41, 40, 40, 41, 40, 40]) == {}
    assert advance(course, [40]) == {15: range(16, 20)}
    assert [s.frame for s in course.left] == [7, 6, 5]
    assert course.count == 3


def test_before_the_first_prompt_a_pass_backward_ends_early():
    annotation = tracked({1: [19]}, direction=-1)
    annotation = annotation.with_prompt(Prompt(1, 12, (Point(1, 1),)))
    annotation = annotation.with_masks(12, {1: mask(prompted=True)})
    course = course_of(annotation, "backward")
    assert advance(course, [40] * 6) == {}
    assert advance(course, [40] * 3) == {9: range(0, 9)}
    assert not len(course.left)


@pytest.mark.parametrize(
    ("update", "options", "sides"),
    [
        pytest.param(Update(in_a_row=0), {}, [40] * 6, id="switched-off"),
        pytest.param(Update(), {"pointer": 0}, [40] * 6, id="masks-of-another-network"),
        pytest.param(Update(), {"side": 0}, [0] * 6, id="absent-before-and-after"),
        pytest.param(Update(agreement=1.0), {}, [41] * 6, id="all-pixels-must-agree"),
    ],
)
def test_a_pass_does_not_end_early(update, options, sides):
    course = course_of(corrected({1: [0]}, 1, 0, **options), update=update)
    assert advance(course, sides) == {}
    assert course.count == 19 - len(sides)


def test_a_looser_update_ends_sooner():
    course = course_of(corrected({1: [0]}, 1, 0), update=Update(agreement=0.9, in_a_row=2))
    assert advance(course, [41, 41]) == {2: range(3, 20)}


def test_a_pass_that_ends_early_goes_on_where_masks_are_missing():
    annotation = corrected({1: [0]}, 1, 0)
    masklets = {1: annotation.masklets[1].without([10, 11])}
    annotation = Annotation(annotation.book, masklets, stale={1: (range(1, 20),)})
    course = course_of(annotation)
    assert advance(course, [40] * 3) == {3: range(4, 10)}
    part, jumped = course.next_part()
    assert [s.frame for s in part] == list(range(10, 20))
    assert jumped == {(1, FORWARD)}


@pytest.mark.parametrize("values", [(0.0, 3), (1.1, 3), (0.9, -1)])
def test_an_update_that_makes_no_sense_is_refused(values):
    with pytest.raises(PromptError, match="cannot end at an IoU"):
        Update(*values)
