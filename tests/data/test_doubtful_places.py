"""What is proposed mends most; neighbours count once; what was checked is never proposed."""

from dataclasses import replace

import numpy as np
import pytest

from napari_surgisam.data.curves import Curve
from napari_surgisam.data.doubtful_places import (
    COMPLETE,
    MENDED,
    MOST,
    SHOWN,
    DoubtfulPlace,
    find_doubtful,
)


def curve(bad=(), object_id=1, length=100, presence=20.0, area=50.0, good=1.0, **marks):
    iou = np.full(length, good, np.float32)
    for frame, value in dict(bad).items():
        iou[frame] = value
    figures = (np.full(length, value, np.float32) for value in (presence, area))
    return Curve(object_id, iou, *figures, **marks)


def stretch(start, stop, value):
    return dict.fromkeys(range(start, stop), value)


def frames(*curves):
    return [(p.object_id, p.frame) for p in find_doubtful(curves)]


def expected(bad, frame, length=100):
    """Return the gain of a frame when nothing is checked, frame by frame."""
    doubt = np.array([1 - dict(bad).get(f, 1.0) for f in range(length)])
    return sum(doubt[f] * np.exp(-abs(f - frame) / MENDED) for f in range(length))


def test_the_middle_of_a_doubtful_stretch_comes_first_and_its_neighbours_count_once():
    bad = {**stretch(20, 31, 0.3), 70: 0.1}
    first, second = find_doubtful([curve(bad)])
    assert (first.frame, second.frame) == (25, 70)
    assert first.gain == pytest.approx(expected(bad, 25), rel=0.02)
    assert second.gain == pytest.approx(0.9, rel=0.05)
    assert first.frames.start <= 20 and first.frames.stop >= 31


def test_a_longer_stretch_comes_before_a_worse_frame_and_a_worse_stretch_before_another():
    assert frames(curve({**stretch(10, 20, 0.6), 70: 0.0}))[0][1] in range(13, 17)
    two = {**stretch(10, 20, 0.6), **stretch(60, 70, 0.3)}
    (_, worse), (_, better) = frames(curve(two))
    assert worse in range(60, 70) and better in range(10, 20)


def test_far_from_what_was_checked_there_is_more_to_mend():
    (_, best), *_ = frames(curve(stretch(0, 60, 0.6), prompted=(0,), length=60))
    assert best > 20
    between = find_doubtful([curve(stretch(0, 61, 0.6), prompted=(0, 60), length=61)])
    assert abs(between[0].frame - 30) <= 1
    near = find_doubtful([curve(stretch(0, 61, 0.6), prompted=(0, 28, 60), length=61)])
    assert near[0].gain < between[0].gain


def test_what_was_checked_holds_as_far_as_a_correction_mends():
    bad, frames = stretch(0, 60, 0.2), np.arange(60)
    place, *_ = find_doubtful([curve(bad, prompted=(0,), length=60)])
    held, mended = (np.exp(-np.abs(frames - f) / MENDED) for f in (0, place.frame))
    nearer = np.maximum(mended - held, 0)
    nearer[0] = 0  # it was checked itself
    assert place.gain == pytest.approx(0.8 * (nearer.sum() + held[place.frame]), rel=0.02)


def test_one_bad_frame_counts_however_near_a_checked_one_is():
    (place,) = find_doubtful([curve({11: 0.2}, prompted=(10,))])
    assert place.frame == 11 and place.gain == pytest.approx(0.8, abs=0.01)
    assert find_doubtful([curve({11: 0.6}, prompted=(10,))]) == []


def test_objects_are_ranked_together_and_never_merged():
    both = frames(curve({10: 0.4}), curve({10: 0.3, 70: 0.45}, object_id=2))
    assert both == [(2, 10), (1, 10), (2, 70)]


def test_what_a_person_checked_or_will_be_made_anew_is_never_proposed():
    marks = {"prompted": (20,), "stale": (range(25, 30),), "accepted": (range(30, 38),)}
    places = find_doubtful([curve(stretch(0, 100, 0.1), **marks)])
    checked = {20, *range(25, 38)}
    assert not checked & {p.frame for p in places}
    assert not any(checked & set(p.frames) for p in places)


def test_a_surely_absent_object_is_no_reason_for_doubt_but_an_unsure_one_is():
    assert frames(curve({10: 0.1}, presence=-8.0, area=0.0)) == []
    assert frames(curve({10: 0.1}, presence=-0.5, area=0.0)) != []
    assert frames(curve({10: 0.1}, presence=-8.0)) != []


def test_an_empty_mask_is_doubted_by_its_presence_alone():
    gone = [
        find_doubtful([curve(good=iou, presence=presence, area=0.0, length=9)])[0].gain
        for iou, presence in ((0.1, -0.1), (0.9, -0.1), (0.9, -1.0))
    ]
    assert gone[0] == gone[1] > 2 * gone[2]


def test_frames_without_a_mask_are_no_places_and_nothing_comes_of_nothing():
    assert frames(curve({5: np.nan, 6: 0.4})) == [(1, 6)]
    assert find_doubtful([]) == []
    assert find_doubtful([curve()]) == []
    assert find_doubtful([curve(stretch(0, 100, np.nan))]) == []
    assert find_doubtful([curve({0: 0.2}, length=1)]) == [
        DoubtfulPlace(pytest.approx(0.8), 1, 0, 0, 1)
    ]


def test_a_place_supposes_that_those_before_it_are_mended():
    places = find_doubtful([curve(stretch(0, 3000, 0.2), length=3000)])
    assert len(places) == MOST
    assert np.diff(sorted(p.frame for p in places)).min() > MENDED
    gains = [p.gain for p in places]
    assert gains == sorted(gains, reverse=True)
    both = curve(stretch(30, 71, 0.2))
    first, second, *_ = find_doubtful([both])
    fade = np.exp(-np.abs(np.arange(100) - first.frame) / MENDED)
    again = np.exp(-np.abs(np.arange(100) - second.frame) / MENDED)
    left = ((1 - both.iou) * np.maximum(again - fade, 0)).sum()
    assert second.gain == pytest.approx(left, rel=0.02)


def gone_after(last, accepted, length=60):
    """Return the places of an object that is seen to a frame, then perhaps no more."""
    whole = curve(length=length, presence=-0.5, accepted=accepted, prompted=(10,))
    area = np.where(np.arange(length) <= last, 50.0, 0.0).astype(np.float32)
    presence = np.where(area > 0, 20.0, -0.5).astype(np.float32)
    return [p.frame for p in find_doubtful([replace(whole, area=area, presence=presence)])]


def test_behind_a_frame_that_a_person_found_empty_nothing_is_doubted():
    assert max(gone_after(20, ())) > 30
    places = gone_after(20, (range(30, 31),))
    assert places and all(20 < frame < 30 for frame in places)
    assert gone_after(20, (range(21, 22),)) == []


def test_an_object_that_returns_is_doubted_before_it_does():
    known = curve(length=60, accepted=(range(30, 31),))
    area = np.where((np.arange(60) < 20) | (np.arange(60) > 40), 50.0, 0.0).astype(np.float32)
    presence = np.where(area > 0, 20.0, -0.5).astype(np.float32)
    places = [p.frame for p in find_doubtful([replace(known, area=area, presence=presence)])]
    assert any(frame < 30 for frame in places) and any(frame > 30 for frame in places)


def test_by_area_large_sections_come_first_and_empty_ones_count_as_the_nearest():
    doubtful = curve({**stretch(10, 15, 0.4), **stretch(60, 65, 0.3)})
    area = np.full(100, 50.0, np.float32)
    area[55:70], area[70:] = 10.0, 0.0
    volume = replace(doubtful, area=area, presence=np.where(area > 0, 20.0, -0.2).astype("f4"))
    assert find_doubtful([volume])[0].frame > 70
    alike, sized = ({p.frame: p.gain for p in find_doubtful([volume], by_area=b)} for b in (0, 1))
    assert max(sized, key=sized.get) in range(10, 15)
    assert sized[12] == pytest.approx(alike[12] / 0.6 * SHOWN, rel=0.1)
    behind = max(gain for frame, gain in sized.items() if frame > 70)
    assert behind == pytest.approx(max(alike.values()) / 5, rel=0.1)
    nothing = replace(volume, area=np.zeros(100, np.float32))
    assert find_doubtful([nothing], by_area=True) == find_doubtful([nothing])


def test_by_area_doubt_soon_grows_no_more():
    def gain(error):
        (place,) = find_doubtful([curve(stretch(50, 55, 1 - error))], by_area=True)
        return place.gain

    assert gain(COMPLETE) == pytest.approx(gain(0.9))
    assert gain(COMPLETE / 2) == pytest.approx(gain(0.9) / 2)
