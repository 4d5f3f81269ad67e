"""Simulated clicks: where they lie, and that they are what a corrector would click."""

import numpy as np
import pytest

from napari_surgisam.data.clicks import (
    bounding_box,
    correction_click,
    first_click,
    interacted_frames,
    jittered_box,
    random_clicks,
    simulated_prompt,
    spread_clicks,
)
from napari_surgisam.data.prompts import Box, MaskPrompt, Point, Prompt
from napari_surgisam.errors import PromptError


def rectangle(y0: int, x0: int, y1: int, x1: int, shape=(20, 30)):
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_first_click_is_the_centre():
    assert first_click(rectangle(4, 10, 9, 15)) == Point(6, 12, True)


def test_the_image_border_counts_as_background():
    """A square in the corner: without the border, its deepest pixel would be that corner."""
    assert first_click(rectangle(0, 0, 7, 7)) == Point(3, 3, True)
    assert first_click(np.ones((9, 9), bool)) == Point(4, 4, True)


def test_the_first_click_lies_in_a_ring_and_not_in_its_hole():
    ring = rectangle(2, 2, 17, 17) & ~rectangle(5, 5, 14, 14)
    click = first_click(ring)
    assert ring[int(click.y), int(click.x)]


def test_a_random_first_click_follows_its_seed():
    mask = rectangle(4, 10, 9, 15)
    clicks = {first_click(mask, seed, mode="random") for seed in range(20)}
    assert len(clicks) > 5
    assert all(mask[int(c.y), int(c.x)] and c.positive for c in clicks)
    assert first_click(mask, 3, mode="random") == first_click(mask, 3, mode="random")


def test_random_clicks_do_not_repeat():
    mask = rectangle(4, 10, 7, 13)
    clicks = random_clicks(mask, 9, seed=1)
    assert {(int(c.y), int(c.x)) for c in clicks} == set(zip(*np.nonzero(mask), strict=True))


def test_clicks_spread_over_the_object():
    """A bar of 5 x 25: along its middle row, from end to end, not side by side."""
    clicks = spread_clicks(rectangle(5, 2, 10, 27), 5)
    assert all(c.positive and c.y == 7 for c in clicks)
    gaps = np.diff(sorted(c.x for c in clicks))
    assert gaps.min() >= 4
    assert gaps.sum() >= 19
    assert spread_clicks(rectangle(5, 2, 10, 27), 3) == clicks[:3]


def test_a_correction_hits_the_larger_error():
    reference = rectangle(4, 4, 14, 14)
    missing = reference & ~rectangle(4, 4, 14, 9)  # 10 x 5 missed
    extra = rectangle(15, 20, 18, 23)  # 3 x 3 extra
    # Of the 10 x 5 part, the middle column is deepest from its third row on.
    assert correction_click(missing | extra, reference) == Point(6, 6, True)
    assert correction_click(reference | extra, reference) == Point(16, 21, False)


def test_equal_masks_need_no_correction():
    mask = rectangle(4, 4, 14, 14)
    assert correction_click(mask, mask.copy()) is None


def test_an_object_that_was_missed_altogether_gets_its_centre():
    reference = rectangle(4, 10, 9, 15)
    assert correction_click(np.zeros_like(reference), reference) == first_click(reference)


def test_a_deaf_prediction_still_gets_new_clicks_until_none_is_left():
    reference, prediction = rectangle(4, 10, 6, 12), np.zeros((20, 30), bool)
    clicks = []
    while (click := correction_click(prediction, reference, clicked=clicks)) is not None:
        clicks.append(click)
    assert {(c.y, c.x) for c in clicks} == {(4, 10), (4, 11), (5, 10), (5, 11)}


def test_a_box_runs_along_the_pixels_outer_edges():
    assert bounding_box(rectangle(4, 10, 9, 15)) == Box(3.5, 9.5, 8.5, 14.5)
    assert bounding_box(rectangle(4, 10, 5, 11)) == Box(3.5, 9.5, 4.5, 10.5)


def test_a_jittered_box_stays_near_and_inside_the_frame():
    mask = rectangle(0, 5, 20, 25)
    boxes = [jittered_box(mask, seed) for seed in range(50)]
    edges = np.array([(b.y0, b.x0, b.y1, b.x1) for b in boxes])
    exact = np.array([-0.5, 4.5, 19.5, 24.5])
    assert np.abs(edges - exact).max() <= 2  # a tenth of 20 pixels
    assert edges.std(axis=0).min() > 0.3
    assert edges[:, 0].min() >= -0.5
    assert edges[:, 2].max() <= 19.5
    assert jittered_box(mask, 4, noise=0) == Box(*exact)
    assert jittered_box(mask, 4) == jittered_box(mask, 4)
    far = [jittered_box(mask, seed, noise=10, limit=1.5) for seed in range(50)]
    assert max(abs(b.x0 - 4.5) for b in far) <= 1.5


def test_a_box_of_one_pixel_never_collapses():
    mask = rectangle(4, 10, 5, 11)
    for seed in range(20):
        box = jittered_box(mask, seed, noise=0.9)
        assert box.y1 - box.y0 >= 1
        assert box.x1 - box.x0 >= 1


def test_an_empty_mask_cannot_be_clicked():
    empty = np.zeros((20, 30), bool)
    with pytest.raises(PromptError, match="mask of 0 pixels"):
        first_click(empty)
    with pytest.raises(PromptError, match="mask of 0 pixels"):
        first_click(empty, mode="random")
    with pytest.raises(PromptError, match="4 pixels"):
        random_clicks(rectangle(4, 10, 6, 12), 5)
    with pytest.raises(PromptError, match="at least one"):
        spread_clicks(rectangle(4, 10, 6, 12), 0)
    with pytest.raises(PromptError, match="no box"):
        bounding_box(empty)
    with pytest.raises(PromptError, match="own grid"):
        correction_click(empty, empty.T)


def test_a_random_correction_is_any_wrong_pixel():
    reference, prediction = rectangle(4, 4, 8, 10), rectangle(4, 6, 8, 12)
    clicks = [
        correction_click(prediction, reference, mode="random", seed=seed) for seed in range(60)
    ]
    assert {c.positive for c in clicks} == {True, False}
    assert {int(c.x) for c in clicks} == {4, 5, 10, 11}
    for c in clicks:
        at = int(c.y), int(c.x)
        assert (reference[at], prediction[at]) == (c.positive, not c.positive)
    assert clicks[7] == correction_click(prediction, reference, mode="random", seed=7)


def test_a_random_correction_ends_where_all_is_right_or_clicked():
    reference = rectangle(4, 4, 5, 6)
    assert correction_click(reference, reference, mode="random", seed=0) is None
    clicked = [Point(4, 4), Point(4, 5)]
    nothing = np.zeros_like(reference)
    assert correction_click(nothing, reference, clicked=clicked, mode="random", seed=0) is None
    last = correction_click(nothing, reference, clicked=clicked[:1], mode="random", seed=0)
    assert last == Point(4, 5)


def test_prompts_of_each_kind():
    mask = rectangle(4, 10, 9, 15)
    points = simulated_prompt(2, 7, mask, clicks=5, seed=3)
    assert points == Prompt(2, 7, random_clicks(mask, 5, 3))
    assert simulated_prompt(2, 7, mask, clicks=1, mode="center") == Prompt(2, 7, (Point(6, 12),))
    assert simulated_prompt(2, 7, mask, kind="box", seed=3).box == jittered_box(mask, 3)
    whole = simulated_prompt(2, 7, mask, kind="mask")
    assert isinstance(whole, MaskPrompt)
    np.testing.assert_array_equal(whole.mask, mask)
    assert len(simulated_prompt(2, 7, rectangle(4, 4, 5, 6), clicks=10, seed=0).points) == 2


def test_prompts_that_cannot_be_simulated():
    nothing = np.zeros((20, 30), bool)
    for kind in ("points", "box", "mask"):
        with pytest.raises(PromptError):
            simulated_prompt(1, 0, nothing, kind=kind)
    for clicks in (0, 11):
        with pytest.raises(PromptError, match="1 to 10"):
            simulated_prompt(1, 0, rectangle(4, 4, 9, 9), clicks=clicks)


def test_interacted_frames_are_the_first_or_spread():
    assert interacted_frames([3, 4, 7, 9], 2) == (3, 4)
    assert interacted_frames([3, 4, 7, 9], 8) == (3, 4, 7, 9)
    assert interacted_frames(range(10, 21), 3, spread=True) == (10, 15, 20)
    assert interacted_frames([5], 4, spread=True) == (5,)
    with pytest.raises(PromptError, match="on no frame"):
        interacted_frames([], 1)
    with pytest.raises(PromptError, match="at least one"):
        interacted_frames([1], 0)
