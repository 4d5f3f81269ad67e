"""Measures of class maps on pictures of six pixels."""

from math import isnan, nan

import numpy as np
import pytest

from napari_surgisam.errors import DataError
from napari_surgisam.metrics.classes import (
    class_ious,
    endovis_scores,
    video_consistency,
    weighted_mean_dice,
)


def frames(*rows):
    return np.array([[list(map(int, row))] for row in rows])


TRUE = frames("110220", "110000", "000000")
FOUND = frames("100222", "113000", "000000")


def test_endovis_counts_each_frame_by_its_true_classes():
    """Frame 0: class 1 has 1/2, class 2 has 2/3; frame 1: class 1 has 1, class 3 is not true."""
    scores = endovis_scores(FOUND, TRUE, [1, 2, 3])
    assert scores.challenge_iou == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1) / 2)
    assert scores.frames == 2
    assert scores.class_ious == pytest.approx({1: (1 / 2 + 1) / 2, 2: 2 / 3, 3: 0})
    assert scores.mc_iou == pytest.approx((3 / 4 + 2 / 3 + 0) / 3)


def test_an_empty_prediction_scores_0_for_every_true_class():
    scores = endovis_scores(np.zeros_like(TRUE), TRUE, [1, 2, 3])
    assert scores.challenge_iou == 0
    assert scores.class_ious[1] == scores.class_ious[2] == 0
    assert isnan(scores.class_ious[3])
    assert scores.mc_iou == 0


def test_without_a_true_class_there_is_no_challenge_iou():
    assert isnan(endovis_scores(FOUND, np.zeros_like(TRUE), [1, 2]).challenge_iou)


def test_class_ious_pool_the_pixels_of_all_frames():
    """Class 1: 1 + 2 shared of 2 + 2; class 2: 2 of 3; background: 1 + 3 + 6 of 3 + 4 + 6."""
    found = class_ious(FOUND, TRUE, [0, 1, 2, 3, 4])
    assert found == pytest.approx(
        {0: (1 + 3 + 6) / (3 + 4 + 6), 1: 3 / 4, 2: 2 / 3, 3: 0, 4: nan}, nan_ok=True
    )


def test_consistency_asks_whether_predictions_stay_where_the_truth_stays():
    true = frames("1111", "1111", "1112", "1112", "1112")
    found = frames("2111", "2111", "2111", "2011", "2011")
    # windows of 2 frames: 4/4, 3/3 stays the same, then 2 of 4 pixels... as counted here
    pairs = [4 / 4, 3 / 3, 3 / 4, 4 / 4]
    assert video_consistency(found, true, length=2) == pytest.approx(np.mean(pairs[:3]))
    assert video_consistency(found, true, length=2, all_windows=True) == pytest.approx(
        np.mean(pairs)
    )
    # windows of 3: the truth keeps 3, 3 and 4 pixels; the prediction of these 3, 2 and 3
    assert video_consistency(found, true, length=3, all_windows=True) == pytest.approx(
        np.mean([3 / 3, 2 / 3, 3 / 4])
    )
    assert isnan(video_consistency(found, true, length=8))


def test_wmdc_weights_classes_by_their_masks():
    """One mask of liver and three of gallbladder; a NaN is no mask."""
    scores = weighted_mean_dice({"liver": [0.9, nan], "gallbladder": [0.5, 0.6, 0.7], "fat": []})
    assert scores.wmdc == pytest.approx((0.9 + 0.5 + 0.6 + 0.7) / 4)
    assert scores.class_means == pytest.approx({"liver": 0.9, "gallbladder": 0.6})
    assert scores.class_counts == {"liver": 1, "gallbladder": 3}
    assert isnan(weighted_mean_dice({}).wmdc)


def test_what_are_no_class_maps_is_refused():
    with pytest.raises(DataError, match="float64 values: classes are whole numbers"):
        class_ious(FOUND / 1.0, TRUE, [1])
    with pytest.raises(DataError, match="only 2 frames"):
        class_ious(FOUND[:2], TRUE, [1])
    with pytest.raises(DataError, match="On frame 0 the prediction's shape"):
        endovis_scores(FOUND[..., 1:], TRUE, [1])
    with pytest.raises(DataError, match="windows of 1"):
        video_consistency(FOUND, TRUE, length=1)
