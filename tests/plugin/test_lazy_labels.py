"""Labels are asked for once, when they are looked at, whatever the index."""

import numpy as np
import pytest
import zarr

from napari_surgisam.plugin.grid import frame_grid
from napari_surgisam.plugin.lazy_labels import LazyLabels

SHAPE = (6, 4, 5)


@pytest.fixture(params=["numpy", "zarr"])
def array(request, tmp_path):
    if request.param == "numpy":
        return np.zeros(SHAPE, np.uint16)
    return zarr.create_array(str(tmp_path / "a"), shape=SHAPE, chunks=(1, 4, 5), dtype="uint16")


@pytest.fixture
def asked():
    return []


@pytest.fixture
def lazy(array, asked):
    def fill(frame):
        asked.append(frame)
        return np.full(SHAPE[1:], frame + 10, np.uint16)

    return LazyLabels(array, frame_grid(SHAPE), fill, [0, 2, 3, 5])


@pytest.mark.parametrize(
    ("index", "frames"),
    [
        (2, [2]),
        (-1, [5]),
        ((1,), []),
        ((slice(1, 4), 0), [2, 3]),
        ((slice(None), 1, 1), [0, 2, 3, 5]),
        ((..., 1), [0, 2, 3, 5]),
        ((2, ...), [2]),
        (..., [0, 2, 3, 5]),
    ],
)
def test_only_what_an_index_reaches_is_asked_for(lazy, asked, index, frames):
    whole = np.zeros(SHAPE, np.uint16)
    for frame in (0, 2, 3, 5):
        whole[frame] = frame + 10
    np.testing.assert_array_equal(lazy[index], whole[index])
    assert asked == frames
    np.testing.assert_array_equal(lazy[index], whole[index])
    assert asked == frames
    np.testing.assert_array_equal(np.asarray(lazy), whole)


def test_a_stroke_lies_on_what_was_there(lazy, asked):
    rows = (np.array([3, 3]), np.array([0, 1]), np.array([2, 2]))
    lazy[rows] = 7
    assert asked == [3]
    assert lazy[3, 0, 2] == lazy[3, 1, 2] == 7 and lazy[3, 2, 2] == 13


def test_it_is_an_array_to_napari(lazy):
    from napari.layers import Labels

    layer = Labels(lazy)
    layer.paint((2, 1, 1), 4)
    assert layer.data is lazy and lazy[2, 1, 1] == 4
    layer.undo()
    assert lazy[2, 1, 1] == 12
    assert (lazy.ndim, lazy.size, len(lazy), lazy.dtype) == (3, 120, 6, np.uint16)


def test_a_single_picture_is_one_frame():
    asked = []

    def fill(frame):
        asked.append(frame)
        return np.ones((4, 5), np.uint16)

    lazy = LazyLabels(np.zeros((4, 5), np.uint16), frame_grid((4, 5)), fill, [0])
    assert lazy[1:3, 2].all() and asked == [0]
