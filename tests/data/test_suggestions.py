"""Which of many masks are objects of their own, and what becomes of them."""

import numpy as np
import pytest

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import MAX_OBJECT_ID, Point, Prompt
from napari_surgisam.data.regions import Region
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.data.suggestions import (
    Suggestion,
    distinct,
    paint_suggestions,
    uncovered,
    with_suggestions,
)
from napari_surgisam.errors import PromptError

SHAPE = (30, 40)


def suggestion(top, left, bottom, right, score=0.9, region=None):
    logits = np.full(SHAPE, -5, np.float32)
    logits[top:bottom, left:right] = 4
    if region is not None:
        logits = logits[region.slices]
    mask = StoredMask.from_logits(
        logits, iou=score, presence=5, pointer=np.ones(4), conditioning=True, direction=0,
        region=region,
    )  # fmt: skip
    return Suggestion.of(mask, SHAPE, score)


def test_a_suggestion_knows_its_place_on_the_frame():
    for region in (None, Region(4, 6, 20, 30)):
        one = suggestion(5, 8, 12, 20, region=region)
        expected = np.zeros(SHAPE, bool)
        expected[5:12, 8:20] = True
        painted = np.zeros(SHAPE, bool)
        painted[one.slices][one.pixels] = True
        np.testing.assert_array_equal(painted, expected)
        assert one.area == 84 and expected[int(one.point.y), int(one.point.x)]
        assert one.point.y == 8  # in the middle of seven rows
    empty = StoredMask.from_logits(
        np.full(SHAPE, -5, np.float32), iou=1, presence=5, pointer=np.ones(4),
        conditioning=True, direction=0,
    )  # fmt: skip
    assert Suggestion.of(empty, SHAPE, 1) is None


def test_of_the_same_object_the_best_stays():
    good, same, other = (
        suggestion(5, 5, 15, 15, 0.9),
        suggestion(5, 5, 15, 16, 0.8),
        suggestion(5, 20, 15, 30, 0.7),
    )
    half = suggestion(5, 5, 15, 10, 0.95)  # an IoU of 0.5 with the first
    assert good.shared(same) == 100 and good.shared(other) == 0
    assert distinct([other, same, good], 0.7) == [good, other]
    assert distinct([other, same, good, half], 0.7) == [half, good, other]
    assert distinct([good, half], 0.4) == [half]


def test_what_better_ones_and_known_objects_leave_is_enough_or_not():
    whole, left, far = (
        suggestion(5, 5, 15, 25, 0.7),
        suggestion(5, 5, 15, 20, 0.9),
        suggestion(18, 5, 28, 15, 0.8),
    )
    nothing = np.zeros(SHAPE, np.uint16)
    assert uncovered([left, far, whole], nothing) == [left, far]  # 0.75 of it is another's
    assert uncovered([left, far, whole], nothing, 0.8) == [left, far, whole]
    known = nothing.copy()
    known[18:28, 5:11] = 3
    assert uncovered([left, far], known) == [left]
    assert (known > 0).sum() == 60


def test_the_better_one_has_a_pixel():
    labels = paint_suggestions([suggestion(5, 5, 15, 15), suggestion(5, 10, 15, 25)], SHAPE)
    assert (labels[7, 12], labels[7, 20]) == (1, 2)


def test_suggestions_become_objects_with_a_click_and_their_mask():
    before = Annotation().with_prompt(Prompt(3, 0, (Point(1, 1),)))
    chosen = [suggestion(5, 5, 15, 15), suggestion(18, 5, 28, 15)]
    after, ids = with_suggestions(before, 7, chosen, taken=[9])
    assert ids == (10, 11) and after.object_ids == (3, 10, 11)
    prompt = after.book.get(10, 7)
    assert prompt.points == (chosen[0].point,) and after.draft(10, 7) is None
    assert after.masklets[10][7] is chosen[0].mask
    with pytest.raises(PromptError, match="keep fewer"):
        with_suggestions(before, 7, chosen, taken=[MAX_OBJECT_ID - 1])
