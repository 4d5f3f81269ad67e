import torch

from napari_surgisam.training.prompting import (
    boxes_around,
    click_points,
    correction_points,
    points_beside,
)


def _random(seed=0):
    return torch.Generator().manual_seed(seed)


def _masks(*slices, size=256):
    masks = torch.zeros(len(slices), size, size, dtype=torch.bool)
    for mask, (rows, columns) in zip(masks, slices, strict=True):
        mask[rows, columns] = True
    return masks


def test_first_clicks_lie_inside_and_central_ones_in_the_middle():
    masks = _masks((slice(40, 120), slice(60, 180)), (slice(200, 230), slice(10, 40)))
    for seed in range(20):
        for mask, point in zip(masks, click_points(masks, _random(seed)), strict=True):
            assert point.positive
            assert mask[round(point.y), round(point.x)]
    first = click_points(masks, _random(), central=1.0)[0]
    assert abs(first.y - 80) < 20
    assert 80 < first.x < 160


def test_corrections_go_to_the_larger_error():
    truth = _masks((slice(40, 120), slice(60, 180)))
    none = torch.zeros_like(truth)
    missed = correction_points(none, truth, _random())[0]
    assert missed.positive
    assert truth[0, round(missed.y), round(missed.x)]
    everything = torch.ones_like(truth)
    extra = correction_points(everything, truth, _random())[0]
    assert not extra.positive
    assert not truth[0, round(extra.y), round(extra.x)]


def test_boxes_hold_the_object_within_their_jitter():
    masks = _masks((slice(40, 120), slice(60, 180)))
    for seed in range(10):
        box = boxes_around(masks, _random(seed), jitter=0.1)[0]
        assert abs(box.y0 - 40) <= 8
        assert abs(box.x1 - 180) <= 12
    exact = boxes_around(masks, _random(), jitter=0.0)[0]
    assert (exact.y0, exact.x0, exact.y1, exact.x1) == (40, 60, 120, 180)


def test_points_beside_lie_outside_and_near():
    masks = _masks((slice(40, 120), slice(60, 180)))
    for seed in range(20):
        point = points_beside(masks, _random(seed), reach=0.1)[0]
        assert not point.positive
        assert not masks[0, round(point.y), round(point.x)]
        assert 10 <= point.y <= 150
        assert 30 <= point.x <= 210


def test_a_correction_confirms_what_is_right():
    """Inside an object that is there, outside of one that is not."""
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, 8:24, 8:24] = True
    present, absent = correction_points(masks, masks, _random())
    assert present.positive
    assert masks[0, round(present.y), round(present.x)]
    assert not absent.positive
