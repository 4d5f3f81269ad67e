"""Neighbouring bad frames are one place; the worst comes first; what was checked is no place."""

import numpy as np

from napari_surgisam.data.confidence import predicted_iou
from napari_surgisam.data.curves import Curve
from napari_surgisam.data.doubtful_places import DoubtfulPlace, find_doubtful


def curve(bad, object_id=1, length=100, presence=5.0, area=50.0, **marks):
    iou = np.full(length, 0.9, np.float32)
    for frame, value in bad.items():
        iou[frame] = value
    figures = (np.full(length, value, np.float32) for value in (presence, area))
    return Curve(object_id, iou, *figures, **marks)


def found(*curves, **options):
    options = {"least": 0.6, "apart": 3, **options}
    return [
        (p.object_id, p.worst, p.start, p.stop)
        for p in find_doubtful(curves, predicted_iou, **options)
    ]


def test_neighbours_are_one_place_and_the_worst_place_comes_first():
    bad = {10: 0.5, 11: 0.4, 15: 0.45, 20: 0.3, 40: 0.2}
    assert found(curve(bad)) == [(1, 40, 40, 41), (1, 20, 20, 21), (1, 11, 10, 16)]
    assert found(curve(bad), apart=10) == [(1, 40, 40, 41), (1, 20, 10, 21)]


def test_objects_are_ranked_together_and_never_merged():
    both = found(curve({10: 0.4}), curve({10: 0.3, 70: 0.5}, object_id=2))
    assert both == [(2, 10, 10, 11), (1, 10, 10, 11), (2, 70, 70, 71)]


def test_what_a_person_checked_or_will_be_made_anew_is_never_proposed():
    bad = dict.fromkeys(range(10, 40), 0.1)
    marks = {"prompted": (20,), "stale": (range(25, 30),), "accepted": (range(30, 38),)}
    assert found(curve(bad, **marks)) == [(1, 10, 10, 20), (1, 21, 21, 25), (1, 38, 38, 40)]
    assert found(curve(bad, prompted=(20,)), apart=9) == [(1, 10, 10, 20), (1, 21, 21, 40)]


def test_a_surely_absent_object_is_no_reason_for_doubt_but_an_unsure_one_is():
    bad = {10: 0.1}
    assert found(curve(bad, presence=-8.0, area=0.0)) == []
    assert found(curve(bad, presence=-0.5, area=0.0)) == [(1, 10, 10, 11)]
    assert found(curve(bad, presence=-8.0)) == [(1, 10, 10, 11)]


def test_frames_without_a_mask_are_no_places_and_nothing_comes_of_nothing():
    assert found(curve({5: np.nan, 6: 0.5})) == [(1, 6, 6, 7)]
    assert find_doubtful([]) == []
    assert find_doubtful([curve({})], least=0.01) == []
    (place,) = find_doubtful([curve({3: 0.25})], predicted_iou, least=0.3)
    assert place == DoubtfulPlace(0.25, 1, 3, 3, 4)
    assert place.frames == range(3, 4)
