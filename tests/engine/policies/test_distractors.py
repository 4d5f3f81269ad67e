"""Which frames become anchors, and what of the recent past is attended to."""

import pytest
import torch
from memory_banks import BACKWARD, DISC, FORWARD, answer, bank_of, play, rectangle, selections

from napari_surgisam.engine.policies import DistractorAware, RecentFrames
from napari_surgisam.engine.policies.distractors import largest_part
from napari_surgisam.engine.policies.recent import presented

BESIDE = torch.maximum(DISC, rectangle(10, 20, 16, 26))  # the disc and one like it
GROWN = rectangle(10, 10, 17, 16)  # the disc and a little more


def plain(**options):
    return answer(DISC, GROWN, ious=(0.9, 0.6), **options)


def telling(iou=0.9, **options):
    """An answer in which another mask reaches a distractor."""
    return answer(DISC, BESIDE, ious=(iou, 0.5), **options)


def anchors_of(script, policy=None, direction=FORWARD, start=0):
    policy, bank = policy or DistractorAware(), bank_of([start])
    for frame, selection, _ in play(policy, bank, script, direction):
        yield frame, set(selection.conditioning) - {start}


def final_anchors(answers, **settings):
    policy = DistractorAware(**settings)
    *_, last = anchors_of(((f, answers.get(f, plain())) for f in range(1, 40)), policy)
    return last[1]


def test_a_frame_that_tells_a_distractor_apart_becomes_an_anchor():
    assert final_anchors({10: telling()}) == {10}


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param(telling(iou=0.79), id="iou-not-above-0.8"),
        pytest.param(telling(presence=-1.0), id="absent"),
        pytest.param(
            answer(rectangle(10, 10, 16, 18), BESIDE, ious=(0.9, 0.5)), id="area-a-third-larger"
        ),
        pytest.param(answer(DISC, GROWN, ious=(0.9, 0.5)), id="the-other-mask-is-alike"),
        pytest.param(answer(DISC, DISC, ious=(0.9, 0.5)), id="the-other-mask-is-the-same"),
        pytest.param(answer(DISC), id="no-other-mask"),
    ],
)
def test_every_condition_must_hold(missing):
    assert final_anchors({10: missing}) == set()


def test_only_the_largest_part_of_the_other_mask_counts():
    # a speck far away, and a larger rest beside the disc that hardly widens its box
    speck = torch.maximum(GROWN, rectangle(30, 30, 31, 31))
    assert final_anchors({10: answer(DISC, speck, ious=(0.9, 0.5))}) == set()
    corners = torch.zeros(5, 5, dtype=torch.bool)
    corners[0, 0] = corners[1, 1] = corners[4, 4] = True
    expected = corners.numpy().copy()
    expected[4, 4] = False
    assert (largest_part(corners.numpy()) == expected).all()


def test_the_box_of_both_masks_is_compared_with_the_chosen_ones():
    # 6 x 6 within 6 x w: 36 / (6 w) <= 0.7 from w = 9 on
    for width, expected in ((8, set()), (9, {10})):
        wider = rectangle(10, 10, 16, 10 + width)
        assert final_anchors({10: answer(DISC, wider, ious=(0.9, 0.5))}) == expected


def test_anchors_keep_a_distance_and_the_first_tracked_frame_is_none():
    every = {f: telling() for f in range(1, 40)}
    assert final_anchors(every, anchors=5) == {8, 14, 20, 26, 32}  # 38 is the frame just passed


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
def test_anchors_and_prompted_frames_take_slots_and_frames_come_every_fifth(direction):
    start = 0 if direction is FORWARD else 100
    script = [(start + f * direction, telling() if f == 12 else plain()) for f in range(1, 60)]
    seen = selections(DistractorAware(), bank_of([start]), script, direction)
    selection = seen[start + 58 * direction]
    assert sorted(abs(f - start) for f in selection.conditioning) == [0, 12]
    assert {s: abs(f - start) for s, f in selection.recent.items()} == {
        1: 57, 2: 55, 3: 50, 4: 45, 5: 40
    }  # fmt: skip
    early = seen[start + 11 * direction]
    assert {s: abs(f - start) for s, f in early.recent.items()} == {1: 10, 2: 5}


def test_frames_without_the_object_are_passed_over():
    empty = answer(torch.full_like(DISC, -10.0))
    absent = plain(presence=-2.0)
    answers = dict.fromkeys(range(50, 56), absent) | {45: empty, 57: empty}
    script = [(f, answers.get(f, plain())) for f in range(1, 60)]
    selection = selections(DistractorAware(anchors=0), bank_of([0]), script)[58]
    assert selection.recent == {1: 56, 2: 40, 3: 35, 4: 30, 5: 25, 6: 20}
    shown = [f for f in range(57, 42, -1) if f not in answers]
    assert list(selection.pointers.values()) == shown


def test_the_frame_just_passed_is_recent_even_if_it_is_an_anchor():
    script = [(f, telling() if f == 20 else plain()) for f in range(1, 24)]
    seen = selections(DistractorAware(), bank_of([0]), script)
    assert (seen[21].conditioning, seen[21].recent[1]) == ((0,), 20)
    assert (seen[22].conditioning, seen[22].recent[1]) == ((0, 20), 21)


def test_never_more_than_seven_memories_with_one_prompted_frame():
    script = [(f, telling()) for f in range(1, 200)]
    seen = selections(DistractorAware(), bank_of([0]), script)
    assert max(len(presented(s)) for s in seen.values()) == 7


def test_with_anchors_stride_and_visibility_off_it_is_sam2s_rule():
    script = [(f, telling(presence=-1.0 if f % 4 == 0 else 5.0)) for f in range(1, 60)]
    neutral = DistractorAware(anchors=0, stride=1, visible_only=False)
    stock = selections(RecentFrames(), bank_of([0]), script)
    assert selections(neutral, bank_of([0]), script) == stock
    assert selections(DistractorAware(), bank_of([0]), script) != stock
    gaps = bank_of([20, 24], [21, 22, 23, 25, 26, 27])
    assert neutral.select(gaps, 28, FORWARD) == RecentFrames().select(gaps, 28, FORWARD)
