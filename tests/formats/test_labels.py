from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
import zarr
from formats.movies import picture
from numpy.typing import NDArray
from PIL import Image

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.formats import label_files, label_writer
from napari_surgisam.formats.labels import create_labels, read_labels
from napari_surgisam.formats.sources import open_source

VOLUME_ENDINGS = [".tif", ".zarr", ".nii", ".nii.gz"]
AFFINE = np.array([[0, -0.5, 0, 30], [0.25, 0, 0, -12], [0, 0, 2.0, 7], [0, 0, 0, 1.0]])


def source(*shape: int, axis: int = 0, time: bool = False, **options) -> ArrayFrames:
    stack = np.zeros(shape, np.uint8)
    spacing = (2.0, 0.25, 0.5)[-len(shape) :]
    return ArrayFrames(stack, axis=axis, spacing=spacing, time_axis=0 if time else None, **options)


def some_labels(frames: ArrayFrames, max_id: int, seed: int = 0) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, max_id + 1, (len(frames), *frames.shape))


def write_all(path: Path, frames: ArrayFrames, stack: NDArray, **options) -> None:
    with create_labels(path, frames, int(stack.max()), **options) as writer:
        for frame in np.random.default_rng(3).permutation(len(frames)):
            writer.write(int(frame), stack[frame])


def left_over(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond this, as on a full disk; the operating system enforces it."""
    resource = pytest.importorskip("resource", reason="the system has no limit on file sizes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("ending", [*VOLUME_ENDINGS, ".tiff", ""])
@pytest.mark.parametrize("shape", [(5, 20, 30), (1, 20, 30), (20, 30)])
def test_labels_come_back_as_they_were_written(
    ending: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    frames = source(*shape)
    stack = some_labels(frames, 200)
    write_all(tmp_path / f"out{ending}", frames, stack)
    back = read_labels(tmp_path / f"out{ending}")
    np.testing.assert_array_equal(back, stack)
    assert back.dtype == np.uint8
    assert left_over(tmp_path) == [f"out{ending}"]


@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_have_the_shape_of_the_source(
    ending: str, axis: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_writer, "_SLAB_BYTES", 2 * 20 * 30)  # several slabs
    frames = source(7, 20, 30, axis=axis)
    stack = some_labels(frames, 200)
    write_all(tmp_path / f"out{ending}", frames, stack)
    back = read_labels(tmp_path / f"out{ending}")
    assert back.shape == (7, 20, 30)
    np.testing.assert_array_equal(back, np.moveaxis(stack, 0, axis))


@pytest.mark.parametrize(("max_id", "dtype"), [(255, "u1"), (256, "u2"), (65535, "u2")])
@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
def test_the_type_is_the_smallest_that_holds_the_ids(
    max_id: int, dtype: str, ending: str, tmp_path: Path
) -> None:
    frames = source(2, 4, 5)
    stack = np.full((2, 4, 5), max_id)
    write_all(tmp_path / f"out{ending}", frames, stack)
    back = read_labels(tmp_path / f"out{ending}")
    assert back.dtype.newbyteorder("=") == np.dtype(dtype)
    np.testing.assert_array_equal(back, stack)


@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
@pytest.mark.parametrize("axis", [0, 2])
def test_nifti_keeps_the_affine_and_all_formats_the_shape(
    ending: str, axis: int, tmp_path: Path
) -> None:
    stored = np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.int16)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "scan.nii.gz")
    frames = open_source(tmp_path / "scan.nii.gz", axis=axis, window=(0, 900))
    expected = (stored > 400).astype(np.uint8)
    with create_labels(tmp_path / f"out{ending}", frames, 1) as writer:
        for frame in range(len(frames)):
            writer.write(frame, np.take(expected.T, frame, axis=axis))
    np.testing.assert_array_equal(read_labels(tmp_path / f"out{ending}"), expected.T)
    if ending.startswith(".nii"):
        written = nib.load(tmp_path / f"out{ending}")
        np.testing.assert_array_equal(np.asarray(written.dataobj), expected)
        np.testing.assert_allclose(written.affine, AFFINE)
        np.testing.assert_allclose(written.get_qform(), AFFINE, atol=1e-6)
        np.testing.assert_allclose(written.header.get_zooms(), image.header.get_zooms())
        assert written.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("time", [False, True])
@pytest.mark.parametrize("ending", [".tif", ".nii.gz"])
def test_voxel_size_and_axes_are_written(ending: str, time: bool, tmp_path: Path) -> None:
    for shape in ((1, 20, 30), (20, 30)):  # which ImageJ's kind of TIFF cannot hold
        frames = source(*shape)
        path = tmp_path / f"thin{len(shape)}{ending}"
        write_all(path, frames, some_labels(frames, 9))
        np.testing.assert_allclose(open_source(path).spacing, frames.spacing)
    frames = source(5, 20, 30, time=time)
    write_all(tmp_path / f"out{ending}", frames, some_labels(frames, 9))
    back = open_source(tmp_path / f"out{ending}")
    assert back.temporal == (time and ending == ".tif")
    np.testing.assert_allclose(back.spacing, frames.spacing)
    if ending == ".tif":
        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            assert file.is_imagej and not file.is_bigtiff
            assert file.series[0].axes == ("TYX" if time else "ZYX")
            assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_labels_beyond_4_gb_go_to_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_files, "_CLASSIC_TIFF_BYTES", 1000)
    frames = source(5, 20, 30)
    stack = some_labels(frames, 9)
    write_all(tmp_path / "out.tif", frames, stack)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_bigtiff and file.series[0].axes == "ZYX"
    np.testing.assert_array_equal(read_labels(tmp_path / "out.tif"), stack)


def test_zarr_has_a_compressed_chunk_per_frame(tmp_path: Path) -> None:
    frames = source(50, 200, 300, time=True)
    with create_labels(tmp_path / "out.zarr", frames, 3) as writer:
        for frame in range(50):
            writer.write(frame, np.full((200, 300), frame % 3))
    array = zarr.open_array(str(tmp_path / "out.zarr"), mode="r")
    assert array.metadata.zarr_format == 3
    assert array.chunks == (1, 200, 300) and array.metadata.dimension_names == ("t", "y", "x")
    size = sum(f.stat().st_size for f in (tmp_path / "out.zarr").rglob("*") if f.is_file())
    assert size < 50 * 200 * 300 / 50
    assert open_source(tmp_path / "out.zarr").temporal


def test_pngs_are_named_like_the_frames(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in (8, 9, 10):
        Image.fromarray(picture(number)).save(tmp_path / "in" / f"img{number}.jpg")
    frames = open_source(tmp_path / "in")
    with create_labels(tmp_path / "out", frames, 2) as writer:
        writer.write(2, np.full((48, 64), 2))
    assert left_over(tmp_path / "out") == ["img10.png", "img8.png", "img9.png"]
    back = read_labels(tmp_path / "out")
    assert back[2].min() == 2 and back[:2].max() == 0  # frames never written are background
    with Image.open(tmp_path / "out" / "img10.png") as image:
        assert image.mode == "P" and image.convert("RGB").getpixel((0, 0)) == (0, 128, 0)


@pytest.mark.parametrize("ending", VOLUME_ENDINGS)
def test_the_last_write_of_a_frame_counts_and_missing_frames_are_background(
    ending: str, tmp_path: Path
) -> None:
    frames = source(4, 20, 30)
    with create_labels(tmp_path / f"out{ending}", frames, 9) as writer:
        writer.write(1, np.full((20, 30), 3))
        writer.write(1, np.full((20, 30), 4))
    back = read_labels(tmp_path / f"out{ending}")
    assert (back[1] == 4).all() and back[[0, 2, 3]].max() == 0


@pytest.mark.parametrize("ending", [*VOLUME_ENDINGS, ""])
def test_what_exists_is_refused_then_replaced_only_at_the_end(ending: str, tmp_path: Path) -> None:
    frames, path = source(4, 20, 30), tmp_path / f"out{ending}"
    old, new = some_labels(frames, 9), some_labels(frames, 9, seed=1)
    write_all(path, frames, old)
    with pytest.raises(DataError, match=r"exists already.*--overwrite"):
        create_labels(path, frames, 9)
    with pytest.raises(KeyboardInterrupt), create_labels(path, frames, 9, overwrite=True) as writer:
        writer.write(0, new[0])
        raise KeyboardInterrupt
    np.testing.assert_array_equal(read_labels(path), old)
    assert left_over(tmp_path) == [path.name]
    with create_labels(path, frames, 9, overwrite=True) as writer:
        for frame in range(4):
            writer.write(frame, new[frame])
        np.testing.assert_array_equal(read_labels(path), old)
    np.testing.assert_array_equal(read_labels(path), new)
    assert left_over(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", [*VOLUME_ENDINGS, ""])
def test_a_failed_run_leaves_nothing(ending: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        create_labels(tmp_path / f"out{ending}", source(4, 20, 30), 9) as writer,
    ):
        writer.write(0, np.ones((20, 30), int))
        raise ZeroDivisionError
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("ending", [".tif", ""])
def test_what_is_done_can_be_kept_on_request(ending: str, tmp_path: Path) -> None:
    frames = source(4, 20, 30)
    for attempt in range(2):
        writer = create_labels(tmp_path / f"out{ending}", frames, 9)
        writer.write(2, np.full((20, 30), 7))
        kept = writer.abort(keep=True)
        assert kept is not None and kept.exists()
        if ending:
            assert read_labels(kept)[2].min() == 7
        else:
            assert left_over(kept) == ["00002.png"]
        assert len(left_over(tmp_path)) == attempt + 1
    writer = create_labels(tmp_path / f"out{ending}", frames, 9)
    assert writer.abort(keep=True) is None  # nothing was done


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    frames, folder = source(2, 48, 64), tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.txt").write_text("years of work")
    with pytest.raises(DataError, match="other files"):
        create_labels(folder, frames, 9, overwrite=True)
    pictures = tmp_path / "frames"
    pictures.mkdir()
    Image.fromarray(picture(0)).save(pictures / "0.png")
    with pytest.raises(DataError, match="other files"):
        create_labels(pictures, frames, 9, overwrite=True)
    assert left_over(tmp_path) == ["frames", "thesis"]
    empty = tmp_path / "empty.d"
    empty.mkdir()
    with create_labels(empty, frames, 9):
        pass
    assert read_labels(empty).shape == (2, 48, 64)
    (tmp_path / "out.tif").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        create_labels(tmp_path / "out.tif", frames, 9, overwrite=True)
    (tmp_path / "out.zarr").write_text("a file")
    with pytest.raises(DataError, match="is a file"):
        create_labels(tmp_path / "out.zarr", frames, 9, overwrite=True)


@pytest.mark.parametrize("name", ["out.xyz", "out.png", "out.npy"])
def test_an_unknown_ending_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.tif, .*\.nii\.gz"):
        create_labels(tmp_path / name, source(2, 4, 5), 9)
    assert left_over(tmp_path) == []


def test_what_does_not_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        create_labels(tmp_path / "missing" / "out.tif", source(2, 4, 5), 9)
    for max_id in (0, 65536):
        with pytest.raises(DataError, match="65535"):
            create_labels(tmp_path / "out.tif", source(2, 4, 5), max_id)
    with pytest.raises(DataError, match="up to 255"):
        create_labels(tmp_path / "out", source(2, 4, 5), 256)
    with pytest.raises(DataError, match="along axis 0"):
        create_labels(tmp_path / "out", source(2, 4, 5, axis=1), 9)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("ending", [".tif", ""])
def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(
    ending: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        create_labels(tmp_path / f"{'n' * 250}{ending}", source(2, 4, 5), 9)  # too long a name
    assert left_over(tmp_path) == []


def test_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with create_labels(tmp_path / "out.tif", source(2, 4, 5), 9) as writer:
        for frame, values, message in (
            (2, np.zeros((4, 5), int), "frames 0 to 1"),
            (0, np.zeros((5, 4), int), r"shape \(4, 5\)"),
            (0, np.zeros((4, 5)), "whole numbers"),
            (0, np.full((4, 5), 10), "0 to 9"),
            (0, np.full((4, 5), -1), "0 to 9"),
        ):
            with pytest.raises(DataError, match=message):
                writer.write(frame, values)
    with pytest.raises(DataError, match="closed"):
        writer.write(0, np.zeros((4, 5), int))
    assert read_labels(tmp_path / "out.tif").max() == 0


@pytest.mark.parametrize("ending", [".tif", ".nii", ".nii.gz"])
def test_a_full_disk_at_the_end_loses_nothing(ending: str, tmp_path: Path) -> None:
    frames, path = source(20, 200, 300), tmp_path / f"out{ending}"
    old, new = some_labels(frames, 3), some_labels(frames, 200)
    write_all(path, frames, old)
    writer = create_labels(path, frames, 200, overwrite=True)
    for frame in range(20):
        writer.write(frame, new[frame])
    with (
        file_size_limit(300_000),  # each frame fits, the file of all does not
        pytest.raises(DataError, match=r"no room .*need about 1\.\d MB.*20 frames done\) is kept"),
    ):
        writer.close()
    np.testing.assert_array_equal(read_labels(path), old)
    kept = tmp_path / f"out{ending}.partial.zarr"
    assert left_over(tmp_path) == [path.name, kept.name]
    np.testing.assert_array_equal(read_labels(kept), new)


@pytest.mark.parametrize("ending", [*VOLUME_ENDINGS, ""])
def test_a_full_disk_on_the_way_keeps_the_frames_done(ending: str, tmp_path: Path) -> None:
    frames = source(4, 300, 400)
    noise = some_labels(frames, 200)
    with (
        file_size_limit(50_000),
        pytest.raises(DataError, match=r"no room .*1 frame done\) is kept"),
        create_labels(tmp_path / f"out{ending}", frames, 200) as writer,
    ):
        writer.write(0, np.full((300, 400), 5))
        writer.write(1, noise[1])
    assert len(left_over(tmp_path)) == 1
    kept = read_labels(next(tmp_path.iterdir()))
    assert (kept[0] == 5).all() and kept[1:].max(initial=0) == 0


@pytest.mark.parametrize("ending", ["", ".zarr", ".tif"])
def test_a_full_disk_at_the_beginning_is_reported(ending: str, tmp_path: Path) -> None:
    with file_size_limit(0), pytest.raises(DataError, match=r"no room .*480\.0 MB"):
        with create_labels(tmp_path / f"out{ending}", source(4000, 300, 400), 200) as writer:
            writer.write(0, np.ones((300, 400), int))
    assert left_over(tmp_path) == []


def test_reading_what_is_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="do not exist"):
        read_labels(tmp_path / "nowhere.tif")
    Image.fromarray(picture(0)).save(tmp_path / "photo.tif")
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "photos" / "0.png")
    with pytest.raises(DataError, match="colour picture"):
        read_labels(tmp_path / "photos")
    (tmp_path / "noise.nii").write_bytes(b"noise" * 200)
    with pytest.raises(DataError, match=r"noise\.nii cannot be read"):
        read_labels(tmp_path / "noise.nii")
    tifffile.imwrite(tmp_path / "float.tif", np.full((4, 5), 0.5, np.float32))
    with pytest.raises(DataError, match="not labels"):
        read_labels(tmp_path / "float.tif")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "nothing")


def test_labels_of_others_are_read(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 9, (3, 4, 5))
    nib.save(nib.Nifti1Image(stack.T.astype(np.float32), AFFINE), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.nii.gz"), stack)
    (tmp_path / "grey").mkdir()
    for number, image in enumerate(stack.astype(np.uint8)):
        Image.fromarray(image).save(tmp_path / "grey" / f"{number}.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "grey"), stack)
    zarr.create_array(str(tmp_path / "a.zarr"), data=stack.astype(np.uint16), zarr_format=2)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr"), stack)
