"""The filter against hand-computed steps, the choice among masks, and what is remembered."""

import numpy as np
import pytest
from memory_banks import BACKWARD, answer, bank_of, play, rectangle, selections

from napari_surgisam.data.prompts import Box
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.policies import MotionAware, RecentFrames
from napari_surgisam.engine.policies.kalman import BoxMotion


def at(column):
    return rectangle(12, column, 18, column + 6, size=64)


# --- the filter ----------------------------------------------------------------------------


def test_a_new_box_is_believed_where_it_was_seen_and_at_rest():
    motion = BoxMotion.starting_at(Box(10, 20, 30, 60))
    assert motion.mean.tolist() == [20, 40, 2, 20, 0, 0, 0, 0]
    assert motion.box == Box(10, 20, 30, 60)
    # standard deviations: 2/20 and 10/160 of the height 20
    expected = [4, 4, 1e-4, 4, 1.5625, 1.5625, 1e-10, 1.5625]
    np.testing.assert_allclose(np.diag(motion.covariance), expected)


def test_a_prediction_and_an_update_are_those_of_one_dimension():
    motion = BoxMotion.starting_at(Box(0, 0, 20, 20)).predicted()
    # variance of y: 4 + 1.5625 (velocity) + 1 (noise); covariance with its velocity 1.5625
    assert motion.covariance[0, 0] == pytest.approx(6.5625)
    assert motion.covariance[0, 4] == pytest.approx(1.5625)
    seen = motion.updated(Box(4, 0, 24, 20))
    gain = 6.5625 / (6.5625 + 1)
    assert seen.mean[0] == pytest.approx(10 + 4 * gain)
    assert seen.mean[4] == pytest.approx(4 * 1.5625 / 7.5625)
    assert seen.covariance[0, 0] == pytest.approx(6.5625 * (1 - gain))


def test_a_box_that_moves_steadily_is_expected_farther_on():
    motion = BoxMotion.starting_at(Box(0, 0, 20, 20))
    for step in range(1, 30):
        motion = motion.predicted().updated(Box(3 * step, -2 * step, 20 + 3 * step, 20 - 2 * step))
    box = motion.predicted().box
    np.testing.assert_allclose([box.y0, box.x0, box.y1, box.x1], [90, -60, 110, -40], atol=0.05)


# --- the choice ----------------------------------------------------------------------------


def moving(frames, ious=(0.9,)):
    return [(f, answer(at(2 + f), ious=ious)) for f in frames]


def chosen_after(count, rivals, **settings):
    """Return the candidate chosen after some frames of one mask that moves by a pixel."""
    policy, bank = MotionAware(**settings), bank_of([0])
    script = [*moving(range(1, count + 1)), (count + 1, rivals)]
    return [prediction.choice for *_, prediction in play(policy, bank, script)][-1]


RIVALS = answer(at(40), at(18), at(30), ious=(0.8, 0.7, 0.6))  # the second is where it should be


def test_the_mask_where_the_object_should_be_wins_once_it_has_been_steady():
    # 0.25 * 1 + 0.75 * 0.7 > 0.75 * 0.8, but not with a weight of 0.05
    assert chosen_after(15, RIVALS) == 1
    assert chosen_after(14, RIVALS) == 0
    assert chosen_after(15, RIVALS, weight=0.05) == 0
    assert chosen_after(15, RIVALS, weight=0) == 0
    assert chosen_after(4, RIVALS, steady=4) == 0  # 2 + 5 is not 18
    nearer = answer(at(40), at(7), ious=(0.8, 0.7))
    assert chosen_after(4, nearer, steady=4) == 1


def test_of_an_absent_object_the_networks_own_choice_stays():
    absent = answer(at(40), at(18), at(30), ious=(0.8, 0.7, 0.6), presence=-1.0)
    assert chosen_after(15, absent) == 0


@pytest.mark.parametrize(
    "break_",
    [
        pytest.param(answer(at(12), ious=(0.29,)), id="doubtful"),
        pytest.param(answer(at(12), presence=-3.0), id="absent"),
        pytest.param(answer(at(12), region=Region(0, 0, 32, 32)), id="other-pixels"),
    ],
)
def test_a_break_starts_the_count_anew(break_):
    policy, bank = MotionAware(), bank_of([0])
    script = [*moving(range(1, 10)), (10, break_), *moving(range(11, 16)), (16, RIVALS)]
    assert [p.choice for *_, p in play(policy, bank, script)][-1] == 0


def test_boxes_are_compared_in_frame_pixels_where_the_region_moves():
    policy, bank = MotionAware(), bank_of([0])

    # the object stands still; the region around it moves by four frame pixels
    def seen(frame, others=()):
        left = 0 if frame < 10 else 4
        masks = [at(20 - left), *(at(column - left) for column in others)]
        ious = (0.7, 0.8) if others else (0.7,)
        return answer(*masks, ious=ious, region=Region(0, left, 64, 64))

    script = [*((f, seen(f)) for f in range(1, 17)), (17, seen(17, [44]))]
    assert [p.choice for *_, p in play(policy, bank, script)][-1] == 0


def test_passes_have_motions_of_their_own():
    policy = MotionAware()
    forward, backward = bank_of([20]), bank_of([20])
    for _ in play(policy, forward, moving(range(21, 40))):
        pass
    assert backward.state is None
    script = [(f, answer(at(2 + f))) for f in range(19, 4, -1)] + [
        (4, answer(at(40), at(6), ious=(0.8, 0.7)))
    ]
    assert [p.choice for *_, p in play(policy, backward, script, BACKWARD)][-1] == 1


# --- what is remembered --------------------------------------------------------------------


def test_doubtful_and_absent_frames_give_way_to_older_ones_but_the_adjacent_one_stays():
    answers = {f: answer(at(20), ious=(0.5,)) for f in range(30, 50)}
    answers |= {50: answer(at(20), presence=0.0), 51: answer(at(20), ious=(0.4,))}
    script = [(f, answers.get(f, answer(at(20)))) for f in range(1, 53)]
    selection = selections(MotionAware(), bank_of([0]), script)[52]
    assert selection.recent == {1: 51, 2: 29, 3: 28, 4: 27, 5: 26, 6: 25}
    assert list(selection.pointers.values()) == list(range(51, 36, -1))  # SAM 2's


def test_absent_frames_are_not_remembered_even_before_motion_counts():
    script = [(f, answer(at(20), presence=-1.0 if f in (8, 9) else 5.0)) for f in range(1, 13)]
    selection = selections(MotionAware(), bank_of([0]), script)[12]
    assert selection.recent == {1: 11, 2: 10, 3: 7, 4: 6, 5: 5, 6: 4}


def test_a_frame_that_left_its_track_is_not_remembered():
    script = [*((f, answer(at(20))) for f in range(1, 20)), (20, answer(at(50))),
              *((f, answer(at(50))) for f in (21, 22))]  # fmt: skip
    selection = selections(MotionAware(), bank_of([0]), script)[22]
    assert selection.recent[1] == 21
    assert 20 not in selection.recent.values()


def test_with_weight_and_thresholds_off_it_is_sam2s_rule():
    neutral = MotionAware(weight=0, min_iou=-1, min_presence=-np.inf, min_motion=-np.inf)
    ious = ((0.1, 0.6, 0.2), (0.2, 0.1, 0.4))
    script = [
        (f, answer(at(20), at(50), at(f % 40), ious=ious[f % 2], presence=2.0 - f % 5))
        for f in range(1, 60)
    ]
    ours, stock = [list(play(policy, bank_of([0]), script)) for policy in (neutral, RecentFrames())]
    assert [(s, p.choice) for _, s, p in ours] == [(s, p.choice) for _, s, p in stock]
    assert selections(MotionAware(), bank_of([0]), script) != {f: s for f, s, _ in stock}
