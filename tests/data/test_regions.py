"""Where a window lies and how it follows an object, in numbers that can be checked by hand."""

import numpy as np
import pytest

from napari_surgisam.data.prompts import Box, Point
from napari_surgisam.data.regions import (
    Region,
    bounds,
    box_within,
    closer,
    follow,
    inside,
    is_cut,
    mask_bounds,
    point_within,
    square_around,
    trial_regions,
    widened,
)
from napari_surgisam.errors import DataError

FRAME = (100, 200)


@pytest.mark.parametrize("values", [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0)])
def test_an_impossible_region_is_refused(values):
    with pytest.raises(DataError, match="must lie inside the frame"):
        Region(*values)


def test_a_region_crops_rows_and_columns():
    image = np.arange(60).reshape(6, 10)
    assert Region(1, 2, 2, 3).crop(image).tolist() == [[12, 13, 14], [22, 23, 24]]
    assert Region(1, 2, 2, 3).box == Box(0.5, 1.5, 2.5, 4.5)


def test_prompts_are_moved_into_a_region_and_back():
    region = Region(10, 20, 30, 30)
    assert point_within(Point(12, 25.5, positive=False), region) == Point(2, 5.5, positive=False)
    assert box_within(Box(10, 20, 14, 26), region) == Box(0, 0, 4, 6)
    assert inside(Point(9.5, 49.5), region)
    assert not inside(Point(9.4, 30), region)
    assert inside(Point(500, 500), None)


def test_bounds_hold_the_pixels_of_points_and_boxes():
    points = [Point(5, 9), Point(7, 3)]
    assert bounds(points) == Box(4.5, 2.5, 7.5, 9.5)
    assert bounds(points, [Box(0, 4, 2, 20)]) == Box(0, 2.5, 7.5, 20)


def test_a_mask_is_found_on_any_grid():
    mask = np.zeros((10, 10), bool)
    mask[2:4, 5] = True
    assert mask_bounds(mask, None, (10, 10)) == Box(1.5, 4.5, 3.5, 5.5)
    # in a region of 20 x 40 pixels, a cell of the grid is 2 x 4 pixels
    assert mask_bounds(mask, Region(30, 60, 20, 40), FRAME) == Box(33.5, 79.5, 37.5, 83.5)
    assert mask_bounds(np.zeros((4, 4), bool), None, FRAME) is None


@pytest.mark.parametrize(
    ("box", "side", "expected"),
    [
        pytest.param(Box(49.5, 99.5, 50.5, 100.5), 20, Region(40, 90, 20, 20), id="middle"),
        pytest.param(Box(-0.5, -0.5, 3.5, 3.5), 20, Region(0, 0, 20, 20), id="corner"),
        pytest.param(Box(95.5, 195.5, 99.5, 199.5), 20, Region(80, 180, 20, 20), id="far-corner"),
        pytest.param(Box(40, 80, 60, 120), 10, Region(30, 80, 41, 41), id="box-is-covered"),
        pytest.param(
            Box(49.5, 99.5, 50.5, 100.5), 150, Region(0, 26, 100, 150), id="frame-smaller"
        ),
        pytest.param(Box(49.5, 99.5, 50.5, 100.5), 200, None, id="whole-frame"),
        pytest.param(Box(-30, -30, 9.5, 9.5), 12, Region(0, 0, 12, 12), id="box-outside"),
    ],
)
def test_a_square_lies_around_a_box_and_inside_the_frame(box, side, expected):
    assert square_around(box, side, FRAME) == expected


def test_trials_go_from_the_frame_to_the_least_side_and_hold_all_clicks():
    click = bounds([Point(50, 100)])
    sides = [r and r.side for r in trial_regions(click, FRAME, 20, (1 / 2, 1 / 4, 1 / 8))]
    assert sides == [None, 50, 25, 20]
    assert trial_regions(click, (30, 30), 48, (1 / 2, 1 / 4)) == (None,)
    far = bounds([Point(50, 100), Point(50, 139, positive=False)])
    assert [r and r.side for r in trial_regions(far, FRAME, 20, (1 / 2, 1 / 4))] == [None, 100]


def test_a_region_is_widened_by_a_click_outside():
    region = Region(40, 40, 20, 20)
    wider = widened(region, bounds([Point(70, 50)]), FRAME)
    assert wider.side == 35  # 31 rows from 40 to 70, and a tenth of 20 to both sides
    assert inside(Point(70, 50), wider)
    assert inside(Point(40, 40), wider)
    assert widened(None, bounds([Point(70, 50)]), FRAME) is None


def test_an_object_is_cut_at_a_border_that_is_not_the_frames():
    box = Box(-0.5, 5, 9.5, 12)
    assert not is_cut(box, Region(0, 0, 20, 20), FRAME)
    assert is_cut(box, Region(0, 0, 10, 20), FRAME)
    assert not is_cut(box, None, FRAME)


REGION = Region(30, 80, 40, 40)  # 29.5 to 69.5, 79.5 to 119.5


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param(Box(40, 90, 50, 100), REGION, id="well-inside-stays"),
        pytest.param(Box(40, 105, 50, 116), Region(26, 91, 40, 40), id="near-border-moves"),
        pytest.param(Box(40, 105, 50, 119.5), Region(22, 90, 46, 46), id="cut-grows"),
        pytest.param(Box(34, 84, 65, 115), Region(27, 77, 46, 46), id="fills-grows"),
        pytest.param(Box(47.5, 97.5, 51.5, 101.5), Region(33, 83, 34, 34), id="small-shrinks"),
    ],
)
def test_a_region_follows_an_object(box, expected):
    assert follow(REGION, box, FRAME, 20) == expected


def test_a_region_does_not_shrink_below_the_least_side():
    small = Box(48.5, 98.5, 50.5, 100.5)
    region = REGION
    for _ in range(10):
        region = follow(region, small, FRAME, 30)
    assert region.side == 30


def test_a_region_grows_to_the_whole_frame_while_its_object_is_not_seen():
    sides, region = [], REGION
    while region is not None:
        sides.append(region.side)
        region = follow(region, None, FRAME, 20)
    assert sides == [40, 52, 68, 88, 114, 148, 192]
    assert follow(None, None, FRAME, 20) is None


def test_the_whole_frame_stays_for_a_large_object_and_narrows_for_a_small_one():
    assert follow(None, Box(20, 50, 90, 120), FRAME, 20) is None
    assert follow(None, Box(45, 95, 55, 105), FRAME, 20) == Region(0, 16, 100, 170)


def test_a_region_at_the_frames_edge_stays_where_it_is():
    corner = Region(60, 160, 40, 40)
    assert follow(corner, Box(85, 180, 99.5, 199.5), FRAME, 20) == corner


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param(Box(40, 60, 60, 80), Region(30, 50, 40, 40), id="small"),
        pytest.param(Box(40, 60, 42, 62), Region(36, 56, 12, 12), id="least"),
        pytest.param(Box(10, 10, 100, 100), None, id="large"),
        pytest.param(Box(0, 0, 20, 20), Region(0, 0, 40, 40), id="corner"),
    ],
)
def test_a_small_object_is_looked_at_more_closely(box, expected):
    assert closer(box, (120, 200), 12) == expected
