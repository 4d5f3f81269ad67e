"""NRRD and MetaImage, made and read back by SimpleITK."""

import sys

import numpy as np
import pytest
import SimpleITK as sitk

from napari_surgisam.errors import DataError
from napari_surgisam.formats.labels import create_labels, read_labels
from napari_surgisam.formats.sources import open_source

DIRECTION = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def scan(array: np.ndarray, *, vector: bool = False) -> sitk.Image:
    image = sitk.GetImageFromArray(array, isVector=vector)
    if image.GetDimension() == 3:
        image.SetSpacing((0.5, 0.75, 3.0))
        image.SetOrigin((10.0, -20.0, 30.0))
        image.SetDirection(DIRECTION)
    return image


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_a_volume_has_its_values_spacing_and_place(tmp_path, ending) -> None:
    stored = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    image, path = scan(stored), tmp_path / f"scan{ending}"
    sitk.WriteImage(image, str(path))
    source = open_source(path)
    np.testing.assert_array_equal([source.values(k) for k in range(4)], stored)
    assert source.spacing == pytest.approx((3.0, 0.75, 0.5))
    assert not source.temporal
    left, back, head = image.TransformIndexToPhysicalPoint((5, 4, 3))
    np.testing.assert_allclose(source.affine @ (5, 4, 3, 1), (-left, -back, head, 1), atol=1e-6)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("axis", [0, 2])
def test_labels_saved_in_the_same_format_keep_the_geometry(tmp_path, ending, axis) -> None:
    image, path = scan(np.zeros((4, 5, 6), np.int16)), tmp_path / f"scan{ending}"
    sitk.WriteImage(image, str(path))
    source = open_source(path, axis=axis)
    stack = np.random.default_rng(1).integers(0, 4, (len(source), *source.shape))
    with create_labels(tmp_path / f"labels{ending}", source, 300) as writer:
        for frame, labels in enumerate(stack):
            writer.write(frame, labels)
    saved = sitk.ReadImage(str(tmp_path / f"labels{ending}"))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(saved), np.moveaxis(stack, 0, axis).astype(np.uint16)
    )
    assert saved.GetSize() == image.GetSize()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(saved, name)() == pytest.approx(getattr(image, name)(), abs=1e-6)
    np.testing.assert_array_equal(
        read_labels(tmp_path / f"labels{ending}"), np.moveaxis(stack, 0, axis)
    )
    assert {file.name for file in tmp_path.iterdir()} == {path.name, f"labels{ending}"}


def test_colours_time_and_single_pictures_are_told_apart(tmp_path) -> None:
    colour = np.random.default_rng(0).integers(0, 255, (3, 4, 5, 3), np.uint8)
    sitk.WriteImage(scan(colour, vector=True), str(tmp_path / "colour.nrrd"))
    np.testing.assert_array_equal(open_source(tmp_path / "colour.nrrd").read(2), colour[2])
    moving = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 5), np.uint8)
    sitk.WriteImage(scan(moving), str(tmp_path / "moving.nrrd"))
    with pytest.raises(DataError, match="--at 0=0"):
        open_source(tmp_path / "moving.nrrd")
    source = open_source(tmp_path / "moving.nrrd", at={0: 1})
    np.testing.assert_array_equal(source.values(2), moving[1, 2])
    assert not source.temporal
    sitk.WriteImage(scan(moving[0, 0]), str(tmp_path / "flat.mha"))
    assert open_source(tmp_path / "flat.mha").ndim == 2


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.mha"])
def test_a_damaged_file_is_refused(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b"NRRD0004\nnothing of the kind")
    with pytest.raises(DataError, match="cannot be read"):
        open_source(tmp_path / name)


def test_where_simpleitk_is_missing_the_extra_is_named(tmp_path, monkeypatch) -> None:
    sitk.WriteImage(scan(np.zeros((3, 4, 5), np.uint8)), str(tmp_path / "scan.nrrd"))
    source = open_source(tmp_path / "scan.nrrd")
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DataError, match=r"pip install 'napari-surgisam\[itk\]'"):
        open_source(tmp_path / "scan.nrrd")
    with pytest.raises(DataError, match=r"pip install 'napari-surgisam\[itk\]'"):
        create_labels(tmp_path / "labels.mha", source, 3)
