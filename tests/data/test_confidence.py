"""Scores of doubt, with values worked out by hand."""

import numpy as np
import pytest

from napari_surgisam.data.confidence import (
    CONFIDENCES,
    FAR,
    NEAR,
    expected_iou_nearby,
    nearness,
    presence,
    steadiness,
)
from napari_surgisam.data.curves import Curve

NAN = np.nan


def curve(iou=None, presence=None, area=None, **marks):
    length = len(next(v for v in (iou, presence, area) if v is not None))
    figures = (
        np.full(length, default, np.float32) if given is None else np.array(given, np.float32)
        for given, default in ((iou, 0.5), (presence, 30), (area, 99))
    )
    return Curve(1, *figures, **marks)


def test_presence_is_a_probability_even_of_huge_logits():
    values = presence(curve(iou=[0.5] * 4, presence=[0, 1e6, -1e6, NAN]))
    np.testing.assert_allclose(values, [0.5, 1, 0, NAN], atol=1e-6)


def test_steadiness_compares_with_the_neighbour_that_differs_more():
    values = steadiness(curve(iou=[0.5] * 4 + [NAN, 0.5], area=[99, 99, 49, 99, NAN, 7]))
    np.testing.assert_allclose(values, [1, 0.5, 0.5, 0.5, NAN, 1])
    np.testing.assert_allclose(steadiness(curve(area=[0, 0, 0])), [1, 1, 1])


def test_nearness_falls_with_the_distance_to_what_was_checked_either_way():
    near = nearness(curve(iou=[0.5] * 40, prompted=(10,), accepted=(range(20, 23),)))
    assert near[[10, 20, 21, 22]].tolist() == [1] * 4
    np.testing.assert_allclose(near[[12, 18]], FAR + (1 - FAR) * np.exp(-2 / NEAR), rtol=1e-6)
    assert near[15] == near.reshape(4, 10)[1].min()
    assert near[39] > FAR
    assert (nearness(curve(iou=[0.5] * 3)) == np.float32(FAR)).all()


@pytest.mark.parametrize("confidence", CONFIDENCES.values(), ids=CONFIDENCES)
def test_every_candidate_is_between_0_and_1_and_missing_where_no_mask_is(confidence):
    rng = np.random.default_rng(0)
    iou = np.where(rng.random(60) < 0.3, NAN, rng.random(60))
    known = ~np.isnan(iou)
    logits, areas = np.where(known, rng.normal(0, 20, 60), NAN), np.where(known, 50, NAN)
    values = confidence(curve(iou, logits, areas, prompted=(4, 50)))
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(values), ~known)
    assert (values[known] >= 0).all() and (values[known] <= 1).all()


def test_the_default_is_the_product():
    values = expected_iou_nearby(curve(iou=[0.8, 0.8], presence=[0, 0], prompted=(0,)))
    expected = 0.8 * 0.5 * np.array([1, FAR + (1 - FAR) * np.exp(-1 / NEAR)])
    np.testing.assert_allclose(values, expected, rtol=1e-6)
