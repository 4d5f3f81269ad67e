"""Scans in napari: what a layer of DICOM or NRRD knows, and that frames are read one by one."""

import npe2
import numpy as np
import pytest
import SimpleITK as sitk
from formats.dicom_files import cine, image, save, series
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from PIL import Image

from napari_surgisam.errors import DataError
from napari_surgisam.formats import dicom_pixels
from napari_surgisam.formats.sources import open_source
from napari_surgisam.plugin import scans
from napari_surgisam.plugin.files import AFFINE
from napari_surgisam.plugin.layer_reading import layer_frames, layer_grid
from napari_surgisam.plugin.opening import open_file


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, (7, 12, 10)).astype(np.int16)


def opened(viewer, reader, path):
    ((data, facts, kind),) = reader(path)(path)
    assert kind == "image"
    return viewer.add_image(data, **facts)


def test_a_series_is_the_same_in_napari_and_in_the_shell(tmp_path, volume):
    paths = series(
        tmp_path / "ct",
        volume,
        RescaleIntercept=-1024,
        RescaleSlope=1,
        WindowCenter=40,
        WindowWidth=401,
        SeriesDescription="Thorax",
    )
    for path in (tmp_path / "ct", paths[2]):
        viewer = ViewerModel()
        reader = scans.folder_reader if path.is_dir() else scans.dicom_reader
        layer = opened(viewer, reader, path)
        np.testing.assert_array_equal(np.asarray(layer.data), volume.astype(int) - 1024)
        assert (layer.name, layer.axis_labels) == ("Thorax", ("z", "y", "x"))
        assert layer.scale.tolist() == [2.5, 0.5, 0.75]
        assert layer.contrast_limits == [-160.5, 239.5]
        ours, shell = layer_frames(layer, layer_grid(viewer, layer)), open_source(path)
        np.testing.assert_array_equal(ours.read(3), shell.read(3))
        assert ours.spacing == shell.spacing
        assert ours.temporal == shell.temporal
        np.testing.assert_array_equal(layer.metadata[AFFINE], shell.affine)


def test_a_cine_is_a_movie(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (5, 6, 8), np.uint8)
    path = save(cine(frames), tmp_path / "us.dcm")
    viewer = ViewerModel()
    layer = opened(viewer, scans.dicom_reader, path)
    assert layer.axis_labels == ("time", "y", "x")
    assert layer_frames(layer, layer_grid(viewer, layer)).temporal
    assert layer_frames(layer, layer_grid(viewer, layer)).spacing == pytest.approx((1, 0.3, 0.2))


def test_volumes_in_time_get_two_sliders(tmp_path, volume):
    for time in range(3):
        facts = {"Modality": "MR", "TemporalPositionIdentifier": time + 1}
        series(tmp_path / "mr", volume + 5000 * time, start=100 * time, **facts)
    layer = opened(ViewerModel(), scans.folder_reader, tmp_path / "mr")
    assert layer.data.shape == (3, *volume.shape)
    assert layer.axis_labels == ("time", "z", "y", "x")
    np.testing.assert_array_equal(np.asarray(layer.data[2, 4]), volume[4] + 10000)


def test_only_the_slice_that_is_shown_is_unpacked(tmp_path, volume, monkeypatch):
    series(tmp_path / "ct", volume, WindowCenter=40, WindowWidth=401)
    read, unpack = [], dicom_pixels.pixel_array
    monkeypatch.setattr(
        dicom_pixels, "pixel_array", lambda path, **o: read.append(path) or unpack(path, **o)
    )
    viewer = ViewerModel()
    opened(viewer, scans.folder_reader, tmp_path / "ct")
    viewer.dims.set_current_step(0, 5)
    assert 0 < len(set(read)) <= 3


def test_what_a_person_should_know_is_shown(tmp_path, volume):
    series(tmp_path / "ct", volume, heights=[0, 2.5, 5, 7.5, 10.3, 12.5, 15])
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    try:
        opened(ViewerModel(), scans.folder_reader, tmp_path / "ct")
    finally:
        notification_manager.notification_ready.disconnect(shown.append)
    assert "not evenly spaced" in shown[0].message


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_nrrd_and_metaimage_have_their_spacing_and_place(tmp_path, volume, ending):
    scan = sitk.GetImageFromArray(volume)
    scan.SetSpacing((0.75, 0.5, 2.5))
    scan.SetOrigin((1, 2, 3))
    path = tmp_path / f"scan{ending}"
    sitk.WriteImage(scan, str(path))
    layer = opened(ViewerModel(), scans.itk_reader, path)
    np.testing.assert_array_equal(layer.data, volume)
    assert layer.scale.tolist() == [2.5, 0.5, 0.75]
    np.testing.assert_allclose(layer.metadata[AFFINE] @ (0, 0, 0, 1), (-1, -2, 3, 1))


def test_a_folder_of_frames_is_a_movie(tmp_path):
    (tmp_path / "frames").mkdir()
    for k in (1, 2, 10):
        Image.new("RGB", (30, 20), (k, 0, 0)).save(tmp_path / "frames" / f"f{k}.png")
    layer = opened(ViewerModel(), scans.folder_reader, tmp_path / "frames")
    assert np.asarray(layer.data[:, 0, 0, 0]).tolist() == [1, 2, 10]
    assert layer.axis_labels == ("time", "y", "x")


def test_folders_without_either_are_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    assert scans.folder_reader(tmp_path) is None


def test_several_files_are_one_series(tmp_path, volume):
    paths = series(tmp_path / "ct", volume)
    layer = opened(ViewerModel(), scans.dicom_reader, [str(path) for path in paths[2:5]])
    assert layer.data.shape == volume.shape


def test_readers_come_to_us(tmp_path, volume):
    manager = npe2.PluginManager()
    manager.register(npe2.PluginManifest.from_distribution("napari-surgisam"))
    series(tmp_path / "ct", volume)
    for path, command in (
        ("scan.dcm", "dicom_reader"),
        ("SCAN.DCM", "dicom_reader"),
        ("scan.nrrd", "itk_reader"),
        ("scan.mha", "itk_reader"),
        (str(tmp_path / "ct"), "folder_reader"),
    ):
        commands = {reader.command for reader in manager.iter_compatible_readers([path])}
        assert f"napari-surgisam.{command}" in commands


@pytest.mark.qt
@pytest.mark.parametrize("name", ["ct/IM", "us.dcm"])
def test_the_open_button_opens_them_without_a_question(make_napari_viewer, tmp_path, volume, name):
    viewer = make_napari_viewer()
    path = series(tmp_path / "ct", volume)[2]
    if name == "us.dcm":
        path = save(cine(np.zeros((5, 6, 8), np.uint8)), tmp_path / name)
    open_file(viewer, path)
    (layer,) = viewer.layers
    assert layer.data.shape == ((5, 6, 8) if name == "us.dcm" else volume.shape)
    assert scans.DICOM in layer.metadata


@pytest.mark.qt
def test_slices_dropped_one_by_one_are_one_layer(make_napari_viewer, tmp_path, volume):
    viewer = make_napari_viewer()
    slices = series(tmp_path / "ct", volume)
    paths = [str(path.rename(path.with_suffix(".dcm"))) for path in slices]
    series(tmp_path / "other", volume, SeriesInstanceUID="1.2.9")
    viewer.open(paths, plugin="napari-surgisam")
    assert [layer.data.shape for layer in viewer.layers] == [volume.shape]
    open_file(viewer, paths[0])
    open_file(viewer, next((tmp_path / "other").iterdir()))
    assert len(viewer.layers) == 2


@pytest.mark.qt
def test_radiographs_of_one_series_are_layers_of_their_own(make_napari_viewer, tmp_path, volume):
    viewer = make_napari_viewer()
    for k in range(2):
        open_file(viewer, save(image(volume[k], Modality="DX"), tmp_path / f"view{k}.dcm"))
    assert len(viewer.layers) == 2


def test_a_file_without_an_image_says_so(tmp_path, volume):
    report = image(volume[0], Modality="SR")
    del report.Rows
    path = save(report, tmp_path / "report.dcm")
    with pytest.raises(DataError, match="without an image"):
        scans.dicom_reader(path)(path)
