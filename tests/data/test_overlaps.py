"""Who has a pixel that several objects claim."""

import numpy as np
import pytest

from napari_surgisam.data.masklets import Masklet, paint_labels
from napari_surgisam.data.overlaps import Claim, paint_overlapping
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.stored_masks import StoredMask

SHAPE = (8, 8)


def square(object_id, height, columns):
    """A masklet whose logits are `height` on some columns of frame 0."""
    logits = np.full(SHAPE, -4, np.float32)
    logits[:, columns] = height
    mask = StoredMask.from_logits(
        logits, iou=1, presence=5, pointer=np.ones(2), conditioning=False, direction=1
    )
    return Masklet(ObjectId(object_id)).with_mask(0, mask)


FIRST, SECOND, THIRD = (
    square(1, 1.0, slice(0, 5)),
    square(2, 3.0, slice(3, 8)),
    square(3, 2.0, slice(3, 6)),
)
MASKLETS = [FIRST, SECOND, THIRD]


def at(column, claims, masklets=MASKLETS):
    return int(paint_overlapping(masklets, 0, SHAPE, claims)[4, column])


def test_without_claims_the_surest_wins_as_ever():
    expected = paint_labels(MASKLETS, 0, SHAPE)
    np.testing.assert_array_equal(paint_overlapping(MASKLETS, 0, SHAPE), expected)
    assert at(4, {}) == 2
    same = dict.fromkeys((1, 2, 3), Claim(priority=7))
    np.testing.assert_array_equal(paint_overlapping(MASKLETS, 0, SHAPE, same), expected)


@pytest.mark.parametrize(
    ("claims", "winner"),
    [
        pytest.param({1: Claim(priority=1)}, 1, id="a-higher-priority"),
        pytest.param({2: Claim(priority=-1)}, 3, id="a-lower-priority"),
        pytest.param(dict.fromkeys((1, 2, 3), Claim(by_order=True)), 1, id="all-by-the-list"),
        pytest.param(dict.fromkeys((2, 3), Claim(by_order=True)), 2, id="over-those-by-mask"),
        pytest.param({3: Claim(by_order=True)}, 3, id="one-by-the-list"),
        pytest.param({1: Claim(by_order=True), 3: Claim(priority=1)}, 3, id="priority-first"),
        pytest.param({1: Claim(locked=True), 3: Claim(priority=9)}, 1, id="locked-before-all"),
    ],
)
def test_the_rule_decides(claims, winner):
    assert at(4, claims) == winner
    assert at(0, claims) == 1 and at(7, claims) == 2  # nobody else is there


def test_a_frame_without_masks_is_empty():
    assert not paint_overlapping(MASKLETS, 5, SHAPE, {1: Claim(priority=1)}).any()
