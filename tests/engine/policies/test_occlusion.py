"""What is kept from before an occlusion, and when it is let go."""

import pytest
from memory_banks import BACKWARD, FORWARD, answer, bank_of, memory, rectangle, selections

from napari_surgisam.data.regions import Region
from napari_surgisam.engine.policies import OcclusionResilient, RecentFrames
from napari_surgisam.engine.policies.occlusion import reliability

LARGE, SMALL = rectangle(4, 4, 24, 24), rectangle(4, 4, 10, 10)  # 400 and 36 pixels


def seen(film, policy=None, direction=FORWARD, start=0):
    """Return the selections of a film given as {offset: answer}, by offset."""
    script = [(start + offset * direction, film[offset]) for offset in sorted(film)]
    chosen = selections(policy or OcclusionResilient(), bank_of([start]), script, direction)
    return {abs(f - start): s for f, s in chosen.items()}


def offsets(selection, start=0):
    return {slot: abs(f - start) for slot, f in selection.recent.items()}


def film(length, **changes):
    shown = {f: answer(LARGE) for f in range(1, length)}
    return shown | {int(key[1:]): value for key, value in changes.items()}


def test_reliability_is_predicted_iou_times_the_probability_of_presence():
    assert reliability(memory(1, 0.8, 0.0)) == pytest.approx(0.4)


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
@pytest.mark.parametrize("how", ["absent", "covered"])
def test_the_last_frames_before_an_occlusion_keep_their_slots(how, direction):
    gone = answer(LARGE, presence=-5.0) if how == "absent" else answer(SMALL, ious=(0.3,))
    start = 0 if direction is FORWARD else 100
    frames = {f: answer(LARGE) if f < 20 else gone for f in range(1, 60)}
    chosen = seen(frames, direction=direction, start=start)
    assert offsets(chosen[20], start) == {n: 20 - n for n in range(1, 7)}  # nothing known yet
    # the frame just passed, the three frozen ones, and the two reliable ones before them
    assert offsets(chosen[40], start) == {1: 39, 2: 19, 3: 18, 4: 17, 5: 16, 6: 15}


def test_frozen_frames_outlast_doubtful_ones_but_absent_ones_are_never_frozen():
    doubtful = {f: answer(LARGE, ious=(0.3,)) for f in (17, 19)}
    frames = {f: answer(LARGE, presence=5.0 if f < 20 else -5.0) for f in range(1, 40)}
    chosen = seen(frames | doubtful)
    assert list(offsets(chosen[30]).values())[:4] == [29, 18, 16, 15]


def test_they_are_let_go_when_five_frames_showed_the_object_again():
    frames = {f: answer(LARGE, presence=-5.0 if 20 <= f < 30 else 5.0) for f in range(1, 50)}
    chosen = seen(frames)
    assert [*offsets(chosen[34]).values()] == [33, 32, 31, 19, 18, 17]
    assert [*offsets(chosen[35]).values()] == [34, 33, 32, 31, 30, 19]  # released, yet reliable
    assert [*offsets(chosen[40]).values()] == [39, 38, 37, 36, 35, 34]


def test_a_new_loss_starts_the_count_anew():
    absent = {*range(20, 30), 33}
    frames = {f: answer(LARGE, presence=-5.0 if f in absent else 5.0) for f in range(1, 50)}
    chosen = seen(frames)
    assert {17, 18, 19} <= set(offsets(chosen[38]).values())
    assert not {17, 18} & set(offsets(chosen[41]).values())


def test_an_area_is_not_compared_across_a_change_of_pixels():
    part = Region(0, 0, 16, 16)  # a mask of a quarter of the frame, in frame pixels
    frames = {f: answer(LARGE, region=part if f >= 20 else None) for f in range(1, 30)}
    chosen = seen(frames)
    assert offsets(chosen[25]) == {n: 25 - n for n in range(1, 7)}


def test_with_thresholds_off_it_is_sam2s_rule():
    frames = {
        f: answer(LARGE if f % 3 else SMALL, ious=(0.1,), presence=-1.0 if f % 7 else 1.0)
        for f in range(1, 60)
    }
    neutral = OcclusionResilient(min_context=0, frozen=0)
    assert seen(frames, neutral) == seen(frames, RecentFrames())
    assert seen(frames) != seen(frames, RecentFrames())
