from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.data.windows import apply_window, check_window, percentile_window
from napari_surgisam.errors import DataError


class OneFrameAtATime:
    """An array that notes what is read and refuses to be converted as a whole."""

    def __init__(self, array: NDArray, axis: int = 0) -> None:
        self.array, self.axis = array, axis
        self.shape, self.dtype = array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, index):
        part = self.array[index]
        self.largest = max(self.largest, part.size)
        return part

    def __array__(self, *_args, **_kwargs):
        raise AssertionError("the whole array was converted")


def ramp(*shape: int, dtype: str = "u1") -> NDArray:
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def grey(frames: ArrayFrames, frame: int) -> NDArray[np.uint8]:
    image = frames.read(frame)
    assert image.shape == (*frames.shape, 3) and image.dtype == np.uint8
    assert (image == image[..., :1]).all()
    return image[..., 0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_frames_run_along_the_chosen_axis(axis: int) -> None:
    stack = ramp(3, 4, 5)
    frames = ArrayFrames(stack, axis=axis, spacing=(3.0, 2.0, 1.0))
    moved = np.moveaxis(stack, axis, 0)
    assert (len(frames), *frames.shape) == moved.shape
    assert (frames.ndim, frames.axis, frames.temporal) == (3, axis, False)
    for frame in range(len(frames)):
        np.testing.assert_array_equal(grey(frames, frame), moved[frame])
    rest = [s for k, s in enumerate((3.0, 2.0, 1.0)) if k != axis]
    assert frames.spacing == ((3.0, 2.0, 1.0)[axis], *rest)


def test_one_volume_or_one_slice_of_four_axes() -> None:
    stack = ramp(2, 3, 4, 5)
    names = {"spacing": (None, 3.0, 2.0, 1.0), "time_axis": 0}
    volume = ArrayFrames(stack, at={0: 1}, **names)
    np.testing.assert_array_equal(grey(volume, 2), stack[1, 2])
    assert (len(volume), volume.temporal, volume.spacing) == (3, False, (3.0, 2.0, 1.0))
    movie = ArrayFrames(stack, at={1: 2}, **names)
    np.testing.assert_array_equal(grey(movie, 1), stack[1, 2])
    assert (len(movie), movie.temporal, movie.spacing) == (2, True, (1.0, 2.0, 1.0))
    across = ArrayFrames(stack, at={1: 2}, axis=1, **names)  # rows play the part of time
    assert (len(across), across.shape, across.temporal) == (4, (2, 5), False)
    with pytest.raises(DataError, match=r"4 axes.*--at"):
        ArrayFrames(stack)
    single = ArrayFrames(stack[:, :1])
    np.testing.assert_array_equal(grey(single, 1), stack[1, 0])


def test_a_picture_is_a_clip_of_one_frame() -> None:
    picture = ramp(6, 7)
    frames = ArrayFrames(picture, spacing=(0.5, 0.25))
    assert (len(frames), frames.ndim, frames.shape) == (1, 2, (6, 7))
    assert frames.spacing == (1.0, 0.5, 0.25)
    np.testing.assert_array_equal(grey(frames, 0), picture)
    with pytest.raises(DataError, match="no axis 1"):
        ArrayFrames(picture, axis=1)
    colour = ArrayFrames(ramp(6, 7, 3), rgb=True)
    np.testing.assert_array_equal(colour.read(0), ramp(6, 7, 3))


@pytest.mark.parametrize("samples", [3, 4])
def test_colour_keeps_its_colours_and_drops_alpha(samples: int) -> None:
    movie = ramp(2, 4, 5, samples)
    frames = ArrayFrames(movie, rgb=True)
    np.testing.assert_array_equal(frames.read(1), movie[1, ..., :3])
    frames.read(1)[:] = 0  # what is handed out is a copy
    np.testing.assert_array_equal(frames.read(1), movie[1, ..., :3])
    red = ArrayFrames(movie, rgb=True, channel=0)
    np.testing.assert_array_equal(grey(red, 1), movie[1, ..., 0])
    with pytest.raises(DataError, match="not a colour image"):
        ArrayFrames(ramp(2, 4, 5), rgb=True)


def test_one_channel_of_several() -> None:
    stack = ramp(2, 3, 4, 5)  # (T, C, Y, X)
    for frames in (
        ArrayFrames(stack, channel_axis=1, channel=2),
        ArrayFrames(stack, channel=2),
        ArrayFrames(np.moveaxis(stack, 1, -1), channel=2),
        ArrayFrames(np.moveaxis(stack, 1, -1), channel_axis=-1, channel=2),
    ):
        np.testing.assert_array_equal(grey(frames, 1), stack[1, 2])
    hyper = ArrayFrames(ramp(2, 3, 4, 5, 6), channel_axis=2, channel=1, at={1: 2})
    np.testing.assert_array_equal(grey(hyper, 1), ramp(2, 3, 4, 5, 6)[1, 2, 1])
    with pytest.raises(DataError, match="3 channels: choose"):
        ArrayFrames(stack, channel_axis=1)
    with pytest.raises(DataError, match="no channel 3"):
        ArrayFrames(stack, channel_axis=1, channel=3)
    with pytest.raises(DataError, match="no channels"):
        ArrayFrames(ramp(4, 5), channel=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_array_larger_than_memory_is_read_one_frame_at_a_time(axis: int) -> None:
    array = OneFrameAtATime(ramp(20, 30, 40, dtype="u2"))
    frames = ArrayFrames(array, axis=axis)
    frames.read(3)
    assert frames.fingerprint and frames.window
    assert array.largest == frames.shape[0] * frames.shape[1]


def test_dask_computes_the_chunks_of_one_frame() -> None:
    computed = []

    def chunk(block_info=None):
        computed.append(block_info[None]["chunk-location"][0])
        return np.full((1, 4, 5), computed[-1], np.uint8)

    stack = da.map_blocks(chunk, chunks=((1,) * 50, (4,), (5,)), dtype=np.uint8)
    frames = ArrayFrames(stack)
    computed.clear()
    assert grey(frames, 17).max() == 17
    assert computed == [17]


def test_zarr_and_memory_maps(tmp_path) -> None:
    stack = ramp(6, 4, 5, dtype="u2")
    stored = zarr.create_array(str(tmp_path / "a.zarr"), data=stack, chunks=(1, 4, 5))
    np.save(tmp_path / "a.npy", stack)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for array in (stored, mapped, da.from_array(stack, chunks=2)):
        frames = ArrayFrames(array, window=(0, 119))
        np.testing.assert_array_equal(frames.read(3), ArrayFrames(stack, window=(0, 119)).read(3))


def test_uint8_passes_unchanged_and_an_explicit_window_does_not() -> None:
    stack = ramp(4, 8, 8)
    assert ArrayFrames(stack).window is None
    np.testing.assert_array_equal(grey(ArrayFrames(stack), 2), stack[2])
    windowed = grey(ArrayFrames(stack, window=(50, 150)), 2)
    expected = (stack[2].clip(50, 150) - 50.0) * 2.55
    np.testing.assert_allclose(windowed, expected, atol=0.51)


@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_the_window_is_one_for_all_frames_by_percentile(dtype: str) -> None:
    rng = np.random.default_rng(0)
    stack = (rng.normal(200, 40, (100, 16, 16)) * np.linspace(0.5, 2, 100)[:, None, None]).astype(
        dtype
    )
    frames = ArrayFrames(stack)
    chosen = sorted({round(f) for f in np.linspace(0, 99, 64)})
    low, high = np.percentile(stack[chosen].astype(np.float64), (0.5, 99.5))
    np.testing.assert_allclose(frames.window, (low, high), rtol=1e-3)
    assert grey(frames, 0).mean() < grey(frames, 99).mean()  # no frame has a window of its own
    expected = np.rint((stack[50].clip(low, high) - low) / (high - low) * 255)
    np.testing.assert_allclose(grey(frames, 50), expected, atol=1)


def test_infinities_and_nan_are_left_out_of_the_window_and_shown_at_its_ends() -> None:
    stack = np.linspace(-1, 1, 10 * 64).reshape(10, 8, 8).astype(np.float32)
    stack[4, 0, :3] = np.nan, np.inf, -np.inf
    frames = ArrayFrames(stack)
    finite = stack[np.isfinite(stack)]
    np.testing.assert_allclose(frames.window, np.percentile(finite, (0.5, 99.5)), rtol=1e-5)
    assert grey(frames, 4)[0, :3].tolist() == [0, 255, 0]
    hopeless = ArrayFrames(np.full((2, 4, 4), np.nan, np.float32))
    assert grey(hopeless, 1).max() == 0


def test_constant_and_nearly_constant_images() -> None:
    assert grey(ArrayFrames(np.full((3, 4, 4), 7.5, np.float32)), 1).max() == 0
    sparse = np.zeros((3, 40, 40), np.uint16)
    sparse[1, 5, 5] = 900  # beyond the 99.5 percentile, which is 0
    image = grey(ArrayFrames(sparse), 1)
    assert image[5, 5] == 255 and image.sum() == 255
    mask = np.zeros((2, 4, 4), bool)
    mask[0, 0, 0] = True
    assert grey(ArrayFrames(mask), 0)[0, 0] == 255


def test_extreme_integers_do_not_overflow() -> None:
    stack = np.array([[[-(2**31), 2**31 - 1]], [[0, 0]]], np.int32)
    assert grey(ArrayFrames(stack, window=(-(2**31), 2**31 - 1)), 0).tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((0, 4, 4), "u1"), {}, "is empty"),
        (np.zeros((3, 4, 4), "c8"), {}, "not real numbers"),
        (np.zeros(4, "u1"), {}, "fewer than two axes"),
        (np.zeros((3, 4, 4), "u1"), {"axis": 3}, "no axis 3"),
        (np.zeros((3, 4, 4), "u1"), {"axis": -1}, "no axis -1"),
        (np.zeros((2, 3, 4, 4), "u1"), {"at": {0: 2}}, "no index 2 on axis 0"),
        (np.zeros((2, 3, 4, 4), "u1"), {"at": {4: 0}}, "no axis 4"),
        (np.zeros((3, 4, 4), "u1"), {"window": (5, 5)}, "Window"),
        (np.zeros((3, 4, 4), "u1"), {"window": (0, np.nan)}, "Window"),
        (np.zeros((3, 4, 4), "u1"), {"window": "wide"}, "Window"),
        (np.zeros((3, 4, 4), "u1"), {"spacing": (1, 1)}, "spacing"),
        (np.zeros((3, 4, 4), "u1"), {"spacing": (1, 0, 1)}, "spacing"),
    ],
)
def test_what_does_not_fit_is_refused(array, options, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ArrayFrames(array, **options)


@pytest.mark.parametrize("frame", [-1, 3])
def test_frames_that_do_not_exist_are_refused(frame: int) -> None:
    with pytest.raises(DataError, match="frames 0 to 2"):
        ArrayFrames(np.zeros((3, 4, 4), "u1")).read(frame)


def test_a_failing_read_says_which_frame() -> None:
    class Broken(OneFrameAtATime):
        def __getitem__(self, index):
            raise RuntimeError("chunk is corrupt")

    frames = ArrayFrames(Broken(ramp(3, 4, 4)), name="scan.zarr")
    with pytest.raises(DataError, match=r"Frame 2 of scan\.zarr cannot be read: chunk is corrupt"):
        frames.read(2)


def test_unknown_spacing_of_one_axis_is_unknown_altogether() -> None:
    assert ArrayFrames(ramp(3, 4, 5), spacing=(None, 1, 1)).spacing is None
    assert ArrayFrames(ramp(3, 4, 5), spacing=(None, 1, 1), time_axis=0).spacing == (1.0, 1.0, 1.0)


def test_equal_content_has_equal_fingerprints_and_nothing_else_has() -> None:
    stack = ramp(5, 6, 7, 3, dtype="u2")
    reference = ArrayFrames(stack, rgb=True).fingerprint
    assert ArrayFrames(stack.copy(), rgb=True).fingerprint == reference
    changed = stack.copy()
    changed[3, 2, 2, 1] += 1
    others = [
        ArrayFrames(changed, rgb=True),
        ArrayFrames(stack, rgb=True, axis=1),
        ArrayFrames(stack, rgb=True, window=(0, 500)),
        ArrayFrames(stack, rgb=True, channel=1),
        ArrayFrames(stack, rgb=True, channel=0),
        ArrayFrames(stack, at={3: 0}),
        ArrayFrames(stack, rgb=True, identity="another file"),
        ArrayFrames(stack.astype("u4"), rgb=True),
    ]
    prints = {frames.fingerprint for frames in others}
    assert len(prints) == len(others) - 1  # channel 0 may be asked for in two ways
    assert reference not in prints


def test_threads_may_share_a_source() -> None:
    stack = ramp(30, 16, 16, dtype="u2")
    frames = ArrayFrames(da.from_array(stack, chunks=(1, 16, 16)))
    expected = ArrayFrames(stack)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(frames.read, [*range(30), *range(30)]))
    for frame, image in enumerate(images):
        np.testing.assert_array_equal(image, expected.read(frame % 30))


def test_large_frames_are_sampled_regularly_for_the_window(monkeypatch) -> None:
    monkeypatch.setattr("napari_surgisam.data.frames._WINDOW_PIXELS", 64 * 100)
    stack = np.random.default_rng(0).normal(100, 10, (64, 50, 50)).astype(np.float32)
    low, high = ArrayFrames(stack).window
    assert abs(low - np.percentile(stack, 0.5)) < 1 and abs(high - np.percentile(stack, 99.5)) < 1


def test_window_functions() -> None:
    assert percentile_window(np.empty(0)) == (0.0, 1.0)
    assert percentile_window(np.full(9, 3)) == (3.0, 3.0)
    assert check_window("auto") == "auto"
    assert check_window((1, 2)) == (1.0, 2.0)
    image = np.array([[0.0, 1.0, 2.0]], np.float32)
    assert apply_window(image, (1.0, 1.0)).tolist() == [[0, 0, 255]]
    np.testing.assert_array_equal(image, [[0.0, 1.0, 2.0]])  # the input stays as it was
