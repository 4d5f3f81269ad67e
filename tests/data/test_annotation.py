"""Annotations as values: prompts, drafts, and what an edit makes stale."""

import numpy as np
import pytest

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import Box, Point, Prompt
from napari_surgisam.data.stored_masks import StoredMask

POINT, NOT_HERE = Point(3, 3), Point(4, 4, positive=False)


def mask(conditioning=False, direction=1):
    return StoredMask.from_logits(
        np.ones((8, 8), np.float32),
        iou=0.9,
        presence=1.0,
        pointer=np.ones(4),
        conditioning=conditioning,
        direction=direction,
    )


def tracked(frames, prompted=(), object_id=1):
    annotation = Annotation()
    for frame in prompted:
        annotation = annotation.with_prompt(Prompt(object_id, frame, (POINT,)))
    for frame in frames:
        annotation = annotation.with_masks(frame, {object_id: mask(frame in prompted)})
    return annotation


def test_a_prompt_waits_until_a_mask_of_a_prompt_comes():
    annotation = Annotation().with_prompt(Prompt(1, 5, (POINT,)))
    assert annotation.draft(1, 5) is not None
    assert annotation.with_masks(5, {1: mask()}).draft(1, 5) is not None  # tracked, not answered
    answered = annotation.with_masks(5, {1: mask(conditioning=True)})
    assert answered.draft(1, 5) is None
    assert answered.draft(1, 6) is None
    assert annotation.draft(1, 5) is not None  # the old value is as it was


def test_a_point_on_a_shown_mask_remembers_it_until_it_is_answered():
    annotation = tracked(range(8), prompted=[0])
    shown = annotation.mask(1, 5)
    annotation = annotation.with_points(1, 5, [POINT]).with_points(1, 5, [NOT_HERE])
    assert annotation.draft(1, 5).refined is shown
    assert annotation.draft(1, 5).direction == 1
    assert annotation.book.get(1, 5).points == (POINT, NOT_HERE)
    whole = annotation.with_prompt(Prompt(1, 5, (POINT,)))
    assert whole.draft(1, 5).refined is None
    assert whole.with_points(1, 5, [NOT_HERE]).draft(1, 5).refined is None  # it joins the whole


@pytest.mark.parametrize(
    ("prompt", "shown", "waits"),
    [
        (Prompt(1, 5, (NOT_HERE,)), False, True),
        (Prompt(1, 5, (NOT_HERE, POINT)), False, False),
        (Prompt(1, 5, (NOT_HERE,), Box(0, 0, 4, 4)), False, False),
        (Prompt(1, 5, (NOT_HERE,)), True, False),
    ],
)
def test_only_negative_points_wait_for_tracking(prompt, shown, waits):
    annotation = tracked([0, 5] if shown else [0], prompted=[0])
    if shown:
        annotation = annotation.with_points(1, 5, [prompt.points[0]])
    else:
        annotation = annotation.with_prompt(prompt)
    assert annotation.awaits_tracking(1, 5) == waits
    assert annotation.sources(1) == ((0,) if waits else (0, 5))
    assert annotation.corrections(1) == ({5: prompt} if waits else {})


@pytest.mark.parametrize(
    ("edited", "stale"),
    [
        (10, [range(5, 10), range(11, 15)]),
        (2, [range(0, 2), range(3, 4)]),
        (18, [range(16, 18), range(19, 20)]),
        (15, [range(5, 15), range(16, 20)]),  # a prompt that was there before
    ],
)
def test_an_edit_makes_stale_what_lies_between_its_neighbours(edited, stale):
    annotation = tracked(range(20), prompted=[4, 15]).with_points(1, edited, [POINT])
    assert list(annotation.stale_spans(1)) == stale
    for frame in stale[0]:
        annotation = annotation.with_masks(frame, {1: mask()})
    assert list(annotation.stale_spans(1)) == stale[1:]


def test_stale_frames_without_masks_are_not_counted():
    annotation = tracked([0, 1, 2, 8, 9], prompted=[0]).with_points(1, 5, [POINT])
    assert annotation.stale_spans(1) == (range(1, 3), range(8, 10))
    assert annotation.is_stale(1, 1)
    assert annotation.stale_spans(7) == ()


def test_removing_leaves_no_trace_of_a_prompt_or_an_object():
    annotation = tracked(range(6), prompted=[0, 3])
    fewer = annotation.without_prompt(1, 3)
    assert fewer.mask(1, 3) is None
    assert fewer.stale_spans(1) == (range(1, 3), range(4, 6))
    assert annotation.without_prompt(1, 2) is annotation
    assert annotation.without_object(2) is annotation
    nothing = fewer.without_object(1)
    assert nothing.object_ids == ()
    assert nothing.stale_spans(1) == ()
    alone = tracked([0], prompted=[0]).without_prompt(1, 0)
    assert alone.object_ids == ()


def test_another_network_builds_on_nothing():
    annotation = tracked(range(6), prompted=[2]).for_another_network()
    assert annotation.draft(1, 2) is not None
    assert annotation.stale_spans(1) == (range(0, 2), range(3, 6))
    assert annotation.labels(4, (8, 8)).all()
    assert annotation.with_points(1, 4, [POINT]).draft(1, 4).refined is None


def test_paint_hides_the_masks_of_its_frame():
    annotation = tracked(range(3), prompted=[0])
    mine = np.arange(64, dtype=np.uint16).reshape(8, 8)
    painted = annotation.with_paint(1, mine)
    assert (painted.labels(1, (8, 8)) == mine).all()
    assert (painted.labels(2, (8, 8)) == 1).all()
    assert (painted.without_paint(1).labels(1, (8, 8)) == 1).all()
    assert annotation.without_paint(1) is annotation


def test_only_frames_with_an_answered_mask_are_accepted():
    annotation = tracked([*range(0, 6), *range(8, 12)], prompted=[0])
    annotation = annotation.with_points(1, 3, [POINT])
    accepted = annotation.with_accepted(1, range(2, 10))
    assert accepted.accepted == {1: (range(2, 3), range(4, 6), range(8, 10))}
    assert accepted.with_accepted(1, range(4, 6)) is accepted
    assert annotation.with_accepted(2, range(9)) is annotation


def test_no_new_mask_replaces_an_accepted_one():
    annotation = tracked(range(4)).with_accepted(1, range(1, 3))
    after = annotation.with_masks(2, {1: mask(), 2: mask()}).with_masks(3, {1: mask()})
    assert after.mask(1, 2) is annotation.mask(1, 2)
    assert after.mask(1, 3) is not annotation.mask(1, 3)
    assert after.mask(2, 2) is not None


def test_accepted_frames_are_never_out_of_date():
    annotation = tracked(range(12), prompted=[0]).with_accepted(1, range(4, 8))
    annotation = annotation.with_points(1, 10, [POINT])
    assert annotation.stale_spans(1) == (range(1, 4), range(8, 10), range(11, 12))
    assert not annotation.is_stale(1, 5)
    assert annotation.outdated_spans(1, 14) == (range(1, 4), range(8, 14))
    assert annotation.open_spans(1, 14) == (range(0, 4), range(8, 14))
    reopened = annotation.without_accepted(1, range(6, 20))
    assert reopened.accepted == {1: (range(4, 6),)}
    assert reopened.is_stale(1, 7), "what was clicked meanwhile counts again"
    assert reopened.without_accepted(1, range(6, 20)) is reopened


def test_what_is_said_anew_about_an_accepted_frame_reopens_it():
    annotation = tracked(range(8), prompted=[0, 4]).with_accepted(1, range(8))
    assert annotation.with_points(1, 2, [POINT]).accepted == {1: (range(0, 2), range(3, 8))}
    assert annotation.without_prompt(1, 4).accepted == {1: (range(0, 4), range(5, 8))}
    assert annotation.without_object(1).accepted == {}


def test_clearing_leaves_prompted_and_accepted_masks():
    annotation = tracked(range(10), prompted=[0, 5]).with_accepted(1, range(7, 9))
    cleared = annotation.without_masks(1, range(4, 10))
    assert list(cleared.masklets[1]) == [0, 1, 2, 3, 5, 7, 8]
    assert cleared.outdated_spans(1, 10) == (range(4, 5), range(6, 7), range(9, 10))
    assert annotation.without_masks(1, range(7, 9)) is annotation
    assert tracked(range(3)).without_masks(1, range(3)).masklets == {}


def test_another_network_answers_anew_only_what_is_not_accepted():
    annotation = tracked(range(6), prompted=[0, 5]).with_accepted(1, range(0, 3))
    other = annotation.for_another_network()
    assert set(other.drafts) == {(1, 5)}
    assert other.stale_spans(1) == (range(3, 5),)


def test_masks_found_by_class_stand_for_themselves():
    annotation = Annotation()
    for frame in range(6):
        annotation = annotation.with_masks(frame, {1: mask(direction=0)})
    assert annotation.by_class == {1: (range(6),)}
    clicked = annotation.with_points(1, 2, [Point(1, 1)])
    assert clicked.stale_spans(1) == ()
    answered = clicked.with_masks(2, {1: mask(conditioning=True, direction=0)})
    assert answered.by_class == {1: (range(2), range(3, 6))}
    tracked = answered.with_masks(4, {1: mask()})
    moved = tracked.with_points(1, 2, [Point(3, 3)])
    assert moved.stale_spans(1) == (range(4, 5),)
    assert not moved.without_object(1).by_class
    assert not moved.for_another_network().by_class
