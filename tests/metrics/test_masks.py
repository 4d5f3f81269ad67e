"""Dice and IoU on masks small enough to count by hand."""

from math import isnan, nan

import numpy as np
import pytest

from napari_surgisam.errors import DataError
from napari_surgisam.metrics.masks import dsc, iou


def mask(*rows: str):
    return np.array([[character == "#" for character in row] for row in rows])


LEFT = mask("##.", "##.")  # 4 pixels
RIGHT = mask(".##", "...")  # 2 pixels, 1 shared, 5 together
NOTHING = np.zeros((2, 3), bool)


@pytest.mark.parametrize(
    ("measure", "prediction", "reference", "expected"),
    [
        pytest.param(dsc, LEFT, RIGHT, 2 / 6, id="dsc-overlap"),
        pytest.param(iou, LEFT, RIGHT, 1 / 5, id="iou-overlap"),
        pytest.param(dsc, LEFT, LEFT, 1, id="dsc-equal"),
        pytest.param(iou, LEFT, LEFT, 1, id="iou-equal"),
        pytest.param(dsc, LEFT, ~LEFT, 0, id="dsc-disjoint"),
        pytest.param(iou, LEFT, ~LEFT, 0, id="iou-disjoint"),
        pytest.param(dsc, NOTHING, LEFT, 0, id="dsc-one-empty"),
        pytest.param(iou, LEFT, NOTHING, 0, id="iou-one-empty"),
    ],
)
def test_counted_by_hand(measure, prediction, reference, expected):
    assert measure(prediction, reference) == pytest.approx(expected)
    assert measure(reference, prediction) == pytest.approx(expected)


def test_a_volume_is_one_mask():
    prediction = np.stack([LEFT, NOTHING, NOTHING])
    reference = np.stack([RIGHT, LEFT, NOTHING])
    assert dsc(prediction, reference) == pytest.approx(2 * 1 / (4 + 6))
    assert iou(prediction, reference) == pytest.approx(1 / 9)


@pytest.mark.parametrize("measure", [dsc, iou])
def test_two_empty_masks_score_what_was_asked(measure):
    assert measure(NOTHING, NOTHING) == 1
    assert measure(NOTHING, NOTHING, empty=0) == 0
    assert isnan(measure(NOTHING, NOTHING, empty=nan))


@pytest.mark.parametrize("measure", [dsc, iou])
def test_what_is_no_pair_of_masks_is_refused(measure):
    with pytest.raises(DataError, match=r"shape \(2, 3\) is not the reference's \(3, 2\)"):
        measure(LEFT, LEFT.T)
    with pytest.raises(DataError, match="reference holds int64 values"):
        measure(LEFT, LEFT.astype(np.int64))
