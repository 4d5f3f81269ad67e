"""Points from scribbles, lassos and painted regions."""

import numpy as np
import pytest
from scipy import ndimage

from napari_surgisam.data.strokes import (
    ellipse_outline,
    filled,
    points_along,
    points_inside,
    skeleton_points,
    usual_spacing,
)

SHAPE = (100, 200)


def gaps(points):
    return np.linalg.norm(np.diff(points, axis=0), axis=1)


def region(*boxes):
    mask = np.zeros(SHAPE, bool)
    for y0, y1, x0, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def test_points_lie_evenly_along_a_line_from_end_to_end():
    points = points_along([(10, 20), (10, 80)], SHAPE, spacing=10)
    np.testing.assert_allclose(points, [(10, x) for x in range(20, 81, 10)], atol=0.26)


def test_points_follow_the_bends_of_a_scribble_whatever_its_vertices():
    path = np.array([(10, 10), (10, 11), (10, 12), (10, 50), (50, 50)])
    points = points_along(path, SHAPE, spacing=16)
    assert len(points) == 6
    np.testing.assert_allclose(points[[0, -1]], [(10, 10), (50, 50)], atol=0.3)
    on_path = (np.abs(points[:, 0] - 10) < 0.3) | (np.abs(points[:, 1] - 50) < 0.3)
    assert on_path.all()
    straight = gaps(points)[[0, 1, 3, 4]]  # the third goes round the corner
    np.testing.assert_allclose(straight, 16, atol=0.5)


@pytest.mark.parametrize(
    ("path", "count"),
    [
        pytest.param([(50, 5), (50, 195)], 4, id="no-more-than-asked"),
        pytest.param([(50, 50), (50, 53)], 1, id="a-dot-is-one-point"),
        pytest.param([(50, 50)], 1, id="a-single-vertex"),
        pytest.param([(-20, 5), (-9, 90)], 0, id="outside"),
    ],
)
def test_how_many_points_a_line_becomes(path, count):
    assert len(points_along(np.array(path), SHAPE, spacing=10, most=4)) == count


def test_what_lies_outside_the_frame_is_cut_off_a_scribble():
    points = points_along([(90, 100), (130, 100), (130, 140), (90, 140)], SHAPE, spacing=4, most=99)
    assert (points[:, 0] <= 99.5).all()
    assert {100, 140} == set(points[:, 1].round())
    sides = [points[points[:, 1].round() == x] for x in (100, 140)]
    assert all(np.ptp(side[:, 0]) > 5 for side in sides)


def test_points_inside_a_region_keep_from_its_outline_and_from_each_other():
    mask = filled(np.array([(10, 10), (10, 150), (80, 150), (80, 100), (40, 100), (40, 10)]), SHAPE)
    points = points_inside(mask, spacing=20)
    assert 4 <= len(points) <= 8
    assert mask[tuple(points.astype(int).T)].all()
    depth = ndimage.distance_transform_edt(mask)[tuple(points.astype(int).T)]
    assert depth[0] == depth.max()
    assert depth.min() > 3
    apart = np.linalg.norm(points[:, None] - points, axis=2) + 1e3 * np.eye(len(points))
    assert apart.min() >= 20
    assert len(points_inside(mask, spacing=20, most=2)) == 2
    assert points_inside(np.zeros(SHAPE, bool)).shape == (0, 2)


def test_the_skeleton_of_a_branching_vessel_gives_its_ends_and_branching_first():
    mask = region((48, 53, 20, 180), (10, 53, 98, 103))  # a T upside down
    first = skeleton_points(mask, most=4)
    assert mask[tuple(first.astype(int).T)].all()
    expected = np.array([(50, 22), (50, 177), (12, 100), (50, 100)])
    distance = np.linalg.norm(first[:, None] - expected, axis=2)
    assert distance.min(axis=0).max() < 5
    more = skeleton_points(mask, spacing=10, most=7)
    np.testing.assert_array_equal(more[:4], first)
    between = np.linalg.norm(more[4:, None] - [(50, 60), (50, 140), (31, 100)], axis=2)
    assert between.min(axis=0).max() < 6


def test_points_of_a_winding_skeleton_are_even_along_it():
    mask = region((20, 24, 20, 180), (20, 60, 176, 180), (56, 60, 20, 180))  # a hairpin
    points = skeleton_points(mask, spacing=5, most=5)
    quarters = [(22, 21), (22, 107), (40, 178), (58, 107), (58, 21)]
    distance = np.linalg.norm(points[:, None] - np.array(quarters), axis=2)
    assert sorted(distance.argmin(axis=1)) == [0, 1, 2, 3, 4]
    assert distance.min(axis=1).max() < 4


def test_each_piece_and_a_ring_have_points_and_spacing_ends_the_search():
    pieces = region((10, 13, 10, 60), (60, 63, 100, 150))
    points = skeleton_points(pieces, spacing=200)
    assert len(points) == 4  # the ends of both; nothing between them
    ring = filled(ellipse_outline(np.array([(10, 10), (10, 90), (90, 90), (90, 10)])), SHAPE)
    ring &= ~filled(ellipse_outline(np.array([(16, 16), (16, 84), (84, 84), (84, 16)])), SHAPE)
    points = skeleton_points(ring, spacing=20, most=4)
    assert len(points) == 4
    assert ring[tuple(points.astype(int).T)].all()
    assert len(skeleton_points(region((40, 41, 40, 41)))) == 1
    assert skeleton_points(np.zeros(SHAPE, bool)).shape == (0, 2)


def test_outlines_are_filled_within_the_frame():
    mask = filled(np.array([(-10, -10), (-10, 20), (20, 20), (20, -10)]), SHAPE)
    assert mask.sum() == mask[:21, :21].sum() > 390
    ellipse = filled(ellipse_outline(np.array([(10, 20), (10, 60), (30, 60), (30, 20)])), SHAPE)
    assert ellipse.sum() == pytest.approx(np.pi * 10 * 20, rel=0.05)
    assert not ellipse[11, 21]
    assert usual_spacing((480, 854)) == 30
