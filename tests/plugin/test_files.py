"""What napari opens through us, found by npe2 and read lazily."""

import nibabel as nib
import npe2
import numpy as np
import pytest
import zarr
from formats.movies import Recipe
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.plugin import files
from napari_surgisam.plugin.layer_reading import layer_frames, layer_grid
from napari_surgisam.plugin.layers import add_labels_layer
from napari_surgisam.resources import sample_data

SAMPLES = {
    "clip": (48, 480, 640, 3),
    "volume": (32, 128, 128),
    "ultrasound": (30, 240, 320, 3),
    "brain": (2, 24, 96, 128),
    "coins": (303, 384),
    "retina": (1411, 1411, 3),
}


@pytest.fixture
def manifest():
    return npe2.PluginManifest.from_distribution("napari-surgisam")


def test_a_movie_that_is_cut_off_opens_with_a_warning(tmp_path):
    whole = Recipe(".mp4", "libx264", faststart=True).write(tmp_path / "whole.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    try:
        files.movie_reader(tmp_path / "whole.mp4")(tmp_path / "whole.mp4")
        assert not shown
        ((data, *_),) = files.movie_reader(cut)(cut)
    finally:
        notification_manager.notification_ready.disconnect(shown.append)
    assert 0 < len(data) < 40
    (warning,) = shown
    assert f"last readable frame is {len(data) - 1}" in warning.message


def test_every_sample_of_the_manifest_opens(manifest):
    samples = {s.key: s.command for s in manifest.contributions.sample_data}
    assert set(samples) == set(SAMPLES)
    commands = {c.id: c.python_name for c in manifest.contributions.commands}
    viewer = ViewerModel()
    for key, command in samples.items():
        module, _, name = commands[command].partition(":")
        assert module == files.__name__
        ((data, kwargs, kind),) = getattr(files, name)()
        assert data.shape == SAMPLES[key]
        layer = getattr(viewer, f"add_{kind}")(data, **kwargs)
        frames = layer_frames(layer, layer_grid(viewer, layer))
        assert frames.read(len(frames) - 1).std() > 0, key


def test_only_what_is_shown_of_a_movie_is_decoded():
    ((data, kwargs, _),) = files.open_clip()
    read = []
    stack = kwargs["metadata"][files.SOURCE]
    inner = stack._frames

    class Spy:
        def read(self, frame):
            read.append(frame)
            return inner.read(frame)

    stack._frames = Spy()
    viewer = ViewerModel()
    image = viewer.add_image(data, **kwargs)
    viewer.dims.set_current_step(0, 31)
    assert len(read) <= 3
    np.testing.assert_array_equal(np.asarray(image.data[31]), inner.read(31))


def test_a_computation_reads_a_movie_on_its_own():
    viewer = ViewerModel()
    ((data, kwargs, _),) = files.open_clip()
    image = viewer.add_image(data, **kwargs)
    frames = layer_frames(image, layer_grid(viewer, image))
    assert frames.temporal
    assert not isinstance(frames, ArrayFrames)
    np.testing.assert_array_equal(frames.read(7), np.asarray(data[7]))
    image.data = image.data[::2]  # no longer the file
    halved = layer_frames(image, layer_grid(viewer, image))
    np.testing.assert_array_equal(halved.read(7), np.asarray(data[14]))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_is_read_in_reverse_order_with_its_spacing(tmp_path, ending):
    stored = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16)  # x, y, z
    path = tmp_path / f"scan{ending}"
    image = nib.Nifti1Image(stored, np.diag([0.5, 0.75, 3, 1]))
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    ((data, kwargs, kind),) = files.nifti_reader(str(path))(str(path))
    assert kind == "image"
    np.testing.assert_array_equal(np.asarray(data[2]), stored[:, :, 2].T)
    assert kwargs["scale"] == pytest.approx([3, 0.75, 0.5])
    assert kwargs["axis_labels"] == ("z", "y", "x")
    viewer = ViewerModel()
    layer = viewer.add_image(data, **kwargs)
    frames = layer_frames(layer, layer_grid(viewer, layer))
    assert frames.spacing == pytest.approx((3, 0.75, 0.5))
    assert not frames.temporal


def test_a_file_that_is_no_nifti_is_refused(tmp_path):
    path = tmp_path / "scan.nii"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"scan\.nii cannot be read as NIfTI"):
        files.nifti_reader(path)(path)


def test_movies_and_volumes_come_to_us(manifest):
    patterns = {p for r in manifest.contributions.readers for p in r.filename_patterns}
    assert {"*.mp4", "*.avi", "*.mkv", "*.mov", "*.nii", "*.nii.gz"} <= patterns
    assert files.movie_reader([sample_data() / "clip.mp4"] * 2) is None


def test_labels_are_saved_with_the_affine_of_their_scan(tmp_path):
    stored = np.zeros((5, 6, 7), np.int16)  # x, y, z
    affine = np.array([[0.5, 0.1, 0, 3], [0, 0.75, 0, 4], [0, 0, 3, 5], [0, 0, 0, 1]])
    scan = nib.Nifti1Image(stored, affine)
    scan.header.set_xyzt_units("mm")
    nib.save(scan, tmp_path / "scan.nii")
    ((data, kwargs, _),) = files.nifti_reader(tmp_path / "scan.nii")(tmp_path / "scan.nii")
    viewer = ViewerModel()
    image = viewer.add_image(data, **kwargs)
    labels = add_labels_layer(viewer, image, layer_grid(viewer, image), "masks")
    labels.data[2, 3, 4] = 300
    path = str(tmp_path / "labels.nii.gz")
    assert files.write_labels(path, *labels.as_layer_data_tuple()[:2]) == [path]
    saved = nib.load(path)
    np.testing.assert_allclose(saved.affine, affine, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(saved.dataobj), labels.data.T)


def test_a_movies_labels_are_saved_as_zarr(tmp_path):
    labels = ViewerModel().add_labels(np.eye(4, dtype=np.uint16).reshape(2, 2, 4))
    path = str(tmp_path / "labels.zarr")
    assert files.write_labels(path, *labels.as_layer_data_tuple()[:2]) == [path]
    np.testing.assert_array_equal(np.asarray(zarr.open_array(path)), labels.data)
