"""F1 of instances: pictures counted by hand, and the challenge's rules one by one."""

from math import isnan

import numpy as np
import pytest

from napari_surgisam.errors import DataError
from napari_surgisam.metrics.instances import InstanceCounts, instance_f1, match_instances


def picture(*boxes, shape=(40, 60)):
    labels = np.zeros(shape, np.int32)
    for label, (y, x, height, width) in enumerate(boxes, start=1):
        labels[y : y + height, x : x + width] = label
    return labels


def test_counted_by_hand():
    """One cell found, one missed, one invented: F1 = 2 / (2 + 1 + 1)."""
    reference = picture((5, 5, 10, 10), (20, 20, 10, 10))
    prediction = picture((5, 6, 10, 10), (5, 40, 10, 10))
    assert match_instances(prediction, reference) == InstanceCounts(1, 1, 1)
    assert instance_f1(prediction, reference) == 0.5
    counts = match_instances(prediction, reference)
    assert (counts.precision, counts.recall) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("width", "found"), [pytest.param(5, 1, id="iou-0.5"), pytest.param(4, 0, id="iou-0.4")]
)
def test_the_threshold_itself_counts(width, found):
    reference, prediction = picture((5, 5, 10, 10)), picture((5, 5, 10, width))
    assert match_instances(prediction, reference).true_positives == found


def test_a_matching_takes_as_many_pairs_as_it_can():
    """Both predictions reach 0.5 of the middle cell at most once."""
    reference = picture((10, 10, 10, 10))
    prediction = picture((10, 10, 5, 10), (15, 10, 5, 10))
    assert match_instances(prediction, reference) == InstanceCounts(1, 1, 0)


def test_instances_at_the_border_do_not_count():
    reference = picture((1, 10, 8, 8), (20, 20, 10, 10), (20, 51, 8, 7))
    prediction = picture((2, 10, 8, 8), (20, 20, 10, 10))
    assert match_instances(prediction, reference) == InstanceCounts(1, 1, 1)
    assert match_instances(prediction, reference, border=1) == InstanceCounts(2, 0, 1)


def test_pictures_without_instances():
    nothing, one = picture(), picture((5, 5, 10, 10))
    assert match_instances(nothing, one) == InstanceCounts(0, 0, 1)
    assert match_instances(one, nothing) == InstanceCounts(0, 1, 0)
    assert instance_f1(nothing, one) == 0
    assert isnan(instance_f1(nothing, nothing))


def test_large_pictures_are_matched_tile_by_tile():
    """Cells across a tile's edge do not count, nor what is missed in a tile left empty."""
    reference = np.zeros((2100, 4100), np.int32)
    reference[100:120, 100:120] = 1
    reference[100:120, 1990:2010] = 2  # across two tiles
    reference[500:520, 4050:4070] = 3  # alone in the last tile
    prediction = np.where(reference == 3, 0, reference)
    assert match_instances(prediction, reference) == InstanceCounts(2, 0, 1)
    assert match_instances(prediction, reference, tiled=True) == InstanceCounts(1, 0, 0)


def test_counts_add_up():
    assert InstanceCounts(1, 2, 3) + InstanceCounts(4, 5, 6) == InstanceCounts(5, 7, 9)


def test_what_is_no_picture_of_instances_is_refused():
    one = picture((5, 5, 10, 10))
    with pytest.raises(DataError, match="prediction is float64"):
        match_instances(one / 1.0, one)
    with pytest.raises(DataError, match="is not the reference's"):
        match_instances(one[1:], one)
    with pytest.raises(DataError, match=r"in an \(H, W\) array"):
        match_instances(one[None], one[None])
