from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames, FrameSource
from napari_surgisam.errors import DataError
from napari_surgisam.formats.sources import open_source

AFFINE = np.array([[-0.5, 0, 0, 30], [0, 0.25, 0, -12], [0, 0, 2.0, 7], [0, 0, 0, 1.0]])


def noise(*shape: int, dtype: str = "u2") -> NDArray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def assert_shows(frames: FrameSource, stack: NDArray, **options) -> None:
    """The source shows what the same array in memory shows."""
    expected = ArrayFrames(stack, **options)
    assert (len(frames), frames.shape) == (len(expected), expected.shape)
    for frame in range(len(frames)):
        np.testing.assert_array_equal(frames.read(frame), expected.read(frame))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1", "i2", "f4"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_stacks(dtype: str, compression: str | None, tmp_path: Path) -> None:
    stack = noise(5, 20, 30, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", stack, compression=compression)
    frames = open_source(tmp_path / "a.tif")
    assert_shows(frames, stack)
    assert not frames.temporal and frames.spacing is None and frames.affine is None
    assert_shows(open_source(tmp_path / "a.tif", axis=2), stack, axis=2)
    assert_shows(open_source(tmp_path / "a.tif", window=(10, 90)), stack, window=(10, 90))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_tiff_of_either_byte_order(byteorder: str, bigtiff: bool, tmp_path: Path) -> None:
    stack = noise(5, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", stack, byteorder=byteorder, bigtiff=bigtiff)
    assert_shows(open_source(tmp_path / "a.tif"), stack)


def test_tiff_page_by_page_and_single(tmp_path: Path) -> None:
    stack = noise(5, 20, 30)
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for page in stack:
            file.write(page, contiguous=False, compression="zlib")
    assert_shows(open_source(tmp_path / "pages.tif"), stack)
    tifffile.imwrite(tmp_path / "one.tif", stack[0])
    frames = open_source(tmp_path / "one.tif")
    assert_shows(frames, stack[0])
    assert frames.ndim == 2


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_in_colour(compression: str | None, tmp_path: Path) -> None:
    movie = noise(4, 20, 30, 3, dtype="u1")
    tifffile.imwrite(tmp_path / "a.tif", movie, photometric="rgb", compression=compression)
    assert_shows(open_source(tmp_path / "a.tif"), movie, rgb=True)
    assert_shows(open_source(tmp_path / "a.tif", channel=1), movie[..., 1])
    tifffile.imwrite(tmp_path / "planar.tif", np.moveaxis(movie[0], -1, 0), photometric="rgb")
    assert_shows(open_source(tmp_path / "planar.tif"), movie[0], rgb=True)


def test_imagej_names_time_channels_and_voxel_size(tmp_path: Path) -> None:
    movie = noise(4, 3, 20, 30)
    tifffile.imwrite(
        tmp_path / "tcyx.tif",
        movie,
        imagej=True,
        metadata={"axes": "TCYX", "unit": "um"},
        resolution=(2.0, 4.0),
    )
    frames = open_source(tmp_path / "tcyx.tif", channel=1)
    assert_shows(frames, movie[:, 1])
    assert frames.temporal
    np.testing.assert_allclose(frames.spacing, (1.0, 0.25e-3, 0.5e-3))
    with pytest.raises(DataError, match="3 channels"):
        open_source(tmp_path / "tcyx.tif")
    tifffile.imwrite(
        tmp_path / "zyx.tif",
        movie[:, 0],
        imagej=True,
        metadata={"axes": "ZYX", "unit": "mm", "spacing": 2.5},
        resolution=(2.0, 4.0),
    )
    frames = open_source(tmp_path / "zyx.tif", axis=1)
    assert not frames.temporal
    np.testing.assert_allclose(frames.spacing, (0.25, 2.5, 0.5))
    tifffile.imwrite(tmp_path / "tyx.tif", movie[:, 0], imagej=True, metadata={"axes": "TYX"})
    assert open_source(tmp_path / "tyx.tif").temporal
    assert open_source(tmp_path / "tyx.tif").spacing is None


def test_ome_names_axes_and_voxel_size(tmp_path: Path) -> None:
    hyper = noise(3, 4, 20, 30)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        hyper,
        metadata={
            "axes": "TZYX",
            "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "mm",
            "PhysicalSizeY": 250.0,
            "PhysicalSizeZ": 0.2,
            "PhysicalSizeZUnit": "cm",
        },
        compression="zlib",
    )
    volume = open_source(tmp_path / "a.ome.tif", at={0: 2})
    assert_shows(volume, hyper[2])
    assert not volume.temporal
    np.testing.assert_allclose(volume.spacing, (2.0, 0.25, 0.5))
    movie = open_source(tmp_path / "a.ome.tif", at={1: 1})
    assert_shows(movie, hyper[:, 1])
    assert movie.temporal
    np.testing.assert_allclose(movie.spacing, (1.0, 0.25, 0.5))


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("imagej", [False, True])
def test_a_cut_tiff_says_so(compression: str | None, imagej: bool, tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 65535, (20, 64, 64)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "whole.tif", stack, compression=compression, imagej=imagej)
    data = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cut\.tif (is cut off|cannot be read)"):
        open_source(tmp_path / "cut.tif")


def test_what_is_no_tiff_says_so(tmp_path: Path) -> None:
    (tmp_path / "none.tif").write_text("no picture")
    with pytest.raises(DataError, match=r"none\.tif cannot be read as TIFF"):
        open_source(tmp_path / "none.tif")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_nifti_is_read_in_reverse(ending: str, dtype: str, tmp_path: Path) -> None:
    stored = noise(7, 6, 5, dtype=dtype)  # (x, y, z)
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_xyzt_units("mm")
    path = tmp_path / f"scan{ending}"
    nib.save(image, path)
    frames = open_source(path)
    assert_shows(frames, stored.T)
    assert (len(frames), frames.shape, frames.temporal) == (5, (6, 7), False)
    assert frames.spacing == (2.0, 0.25, 0.5)
    np.testing.assert_allclose(frames.affine, AFFINE)
    across = open_source(path, axis=2)
    assert_shows(across, stored.T, axis=2)
    assert across.spacing == (0.5, 2.0, 0.25)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_intensities_are_scaled(ending: str, tmp_path: Path) -> None:
    values = np.linspace(-1000, 3000, 7 * 6 * 5).reshape(7, 6, 5)
    image = nib.Nifti1Image(values, AFFINE)
    image.set_data_dtype(np.int16)  # nibabel chooses slope and intercept
    path = tmp_path / f"scan{ending}"
    nib.save(image, path)
    assert nib.load(path).dataobj.slope != 1
    frames = open_source(path, window=(-500, 500))
    expected = ArrayFrames(values.T, window=(-500, 500))
    for frame in range(5):
        difference = frames.read(frame).astype(int) - expected.read(frame)
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_with_time(ending: str, tmp_path: Path) -> None:
    stored = noise(7, 6, 5, 4, dtype="i2")
    path = tmp_path / f"fmri{ending}"
    image = nib.Nifti1Image(stored, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    volume = open_source(path, at={0: 3})
    assert_shows(volume, stored.T[3])
    assert not volume.temporal and volume.spacing == (2.0, 0.25, 0.5)
    movie = open_source(path, at={1: 2})
    assert_shows(movie, stored.T[:, 2])
    assert movie.temporal and movie.spacing == (1.0, 0.25, 0.5)
    for at in (None, {0: 4}, {7: 0}):
        with pytest.raises(DataError):
            open_source(path, at=at)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_in_colour_of_one_slice_and_in_microns(ending: str, tmp_path: Path) -> None:
    colour = np.zeros((7, 6, 5), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for name in "RGB":
        colour[name] = np.random.default_rng(ord(name)).integers(0, 255, colour.shape)
    nib.save(nib.Nifti1Image(colour, AFFINE), tmp_path / f"rgb{ending}")
    stack = np.stack([colour[name].T for name in "RGB"], axis=-1)
    assert_shows(open_source(tmp_path / f"rgb{ending}"), stack, rgb=True)
    assert_shows(open_source(tmp_path / f"rgb{ending}", channel=1), stack[..., 1])
    thin = nib.Nifti1Image(noise(7, 6, 1, dtype="i2"), np.diag([500.0, 500, 3000, 1]))
    thin.header.set_xyzt_units("micron")
    nib.save(thin, tmp_path / f"thin{ending}")
    frames = open_source(tmp_path / f"thin{ending}")
    assert (len(frames), frames.ndim) == (1, 3)
    np.testing.assert_allclose(frames.spacing, (3.0, 0.5, 0.5))
    flat = nib.Nifti1Image(noise(7, 6, dtype="i2"), AFFINE)
    nib.save(flat, tmp_path / f"flat{ending}")
    assert open_source(tmp_path / f"flat{ending}").ndim == 2


def test_uncompressed_nifti_reads_only_the_slice(tmp_path: Path) -> None:
    stored = noise(64, 64, 50, dtype="i2")
    nib.save(nib.Nifti1Image(stored, AFFINE), tmp_path / "scan.nii")
    frames = open_source(tmp_path / "scan.nii", window=(0, 250))
    data = bytearray((tmp_path / "scan.nii").read_bytes())
    data[352 + 2 * 64 * 64 * 20 :] = b""  # slices 20 and later vanish
    (tmp_path / "scan.nii").write_bytes(data)
    np.testing.assert_array_equal(frames.read(19), ArrayFrames(stored.T, window=(0, 250)).read(19))
    with pytest.raises(DataError, match="Frame 20"):
        frames.read(20)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_damaged_nifti_says_so(ending: str, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 3000, (30, 30, 30)).astype(np.int16)
    nib.save(nib.Nifti1Image(stored, AFFINE), tmp_path / f"whole{ending}")
    data = (tmp_path / f"whole{ending}").read_bytes()
    (tmp_path / f"cut{ending}").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cut"):
        open_source(tmp_path / f"cut{ending}").fingerprint  # noqa: B018
    (tmp_path / f"none{ending}").write_text("no scan" * 100)
    with pytest.raises(DataError, match="none"):
        open_source(tmp_path / f"none{ending}")


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_arrays(version: int, tmp_path: Path) -> None:
    stack = noise(5, 20, 30)
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), data=stack, chunks=(1, 20, 30), zarr_format=version)
    assert_shows(open_source(path), stack)
    assert not open_source(path).temporal
    moved = tmp_path / "unnamed"
    path.rename(moved)
    assert_shows(open_source(moved), stack)


def test_zarr_v3_and_xarray_name_their_axes(tmp_path: Path) -> None:
    movie = noise(4, 2, 20, 30)
    zarr.create_array(
        str(tmp_path / "a.zarr"), data=movie, dimension_names=["time", "channel", "y", "x"]
    )
    frames = open_source(tmp_path / "a.zarr", channel=1)
    assert_shows(frames, movie[:, 1])
    assert frames.temporal
    array = zarr.create_array(str(tmp_path / "b.zarr"), data=movie[:, 0], zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = ["t", "y", "x"]
    assert open_source(tmp_path / "b.zarr").temporal


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(version: int, tmp_path: Path) -> None:
    hyper = noise(3, 1, 4, 20, 30)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=version)
    group.create_array("0", data=hyper)
    group.create_array("1", data=hyper[..., ::2, ::2])
    space = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    image = {
        "axes": [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *space],
        "datasets": [
            {
                "path": level,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1, 1, 2000, 500 * step, 250 * step]}
                ],
            }
            for level, step in (("0", 1), ("1", 2))
        ],
    }
    content = {"multiscales": [image]}
    group.attrs.update(content if version == 2 else {"ome": {"version": "0.5", **content}})
    volume = open_source(tmp_path / "a.zarr", at={0: 1})
    assert_shows(volume, hyper[1, 0])
    assert not volume.temporal
    np.testing.assert_allclose(volume.spacing, (2.0, 0.5, 0.25))
    assert open_source(tmp_path / "a.zarr", at={1: 1}).temporal


def test_zarr_groups_with_one_array_or_several(tmp_path: Path) -> None:
    stack = noise(5, 20, 30)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    group.create_array("raw", data=stack)
    assert_shows(open_source(tmp_path / "a.zarr"), stack)
    group.create_array("mask", data=stack)
    with pytest.raises(DataError, match="2 arrays \\(mask, raw\\)"):
        open_source(tmp_path / "a.zarr")
    assert_shows(open_source(tmp_path / "a.zarr" / "raw"), stack)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "zarr.json").write_text("{")
    with pytest.raises(DataError, match=r"b\.zarr cannot be read as zarr"):
        open_source(tmp_path / "b.zarr")


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(5, 20, 30))
    assert_shows(open_source(tmp_path / "a.npy"), noise(5, 20, 30))
    np.save(tmp_path / "c.npy", noise(5, 20, 30, 3, dtype="u1"))
    assert_shows(open_source(tmp_path / "c.npy"), noise(5, 20, 30, 3, dtype="u1"), rgb=True)
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"o\.npy cannot be read"):
        open_source(tmp_path / "o.npy")


def test_the_fingerprint_of_a_file_follows_its_content(tmp_path: Path) -> None:
    stack = noise(40, 20, 30)
    np.save(tmp_path / "a.npy", stack)
    before = open_source(tmp_path / "a.npy").fingerprint
    assert open_source(tmp_path / "a.npy").fingerprint == before
    assert open_source(tmp_path / "a.npy", axis=1).fingerprint != before
    stack[1, 3, 3] += 1  # a frame that is not sampled
    np.save(tmp_path / "a.npy", stack)
    assert open_source(tmp_path / "a.npy").fingerprint != before
