"""A Labels layer saved as what is made from labels and their image, as napari saves it."""

import csv
import json

import av
import highdicom as hd
import nibabel as nib
import npe2
import numpy as np
import pytest
import SimpleITK as sitk
from formats.dicom_files import series

from napari_surgisam.errors import DataError
from napari_surgisam.plugin.exporting import save_coco
from napari_surgisam.plugin.files import write_labels
from napari_surgisam.plugin.layer_reading import layer_grid
from napari_surgisam.plugin.layers import NAMES, add_labels_layer
from napari_surgisam.plugin.opening import open_file
from napari_surgisam.resources import sample_data

pytestmark = pytest.mark.qt


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


def masks_on(viewer, image):
    layer = add_labels_layer(viewer, image, layer_grid(viewer, image), "masks")
    layer.metadata[NAMES] = {1: "liver", 2: "stent"}
    return layer


@pytest.fixture
def scan(viewer, tmp_path):
    series(tmp_path / "ct", np.zeros((7, 12, 10), np.int16), WindowCenter=40, WindowWidth=401)
    open_file(viewer, next((tmp_path / "ct").iterdir()))
    layer = masks_on(viewer, viewer.layers[0])
    layer.data[2:4, 3:6, 4:9] = 1
    layer.data[3, 8, 2] = 2
    return layer


def test_every_kind_is_offered_for_labels():
    manager = npe2.PluginManager()
    manager.register(npe2.PluginManifest.from_distribution("napari-surgisam"))
    writers = manager.iter_compatible_writers(["labels"])
    endings = {ending for writer in writers for ending in writer.filename_extensions}
    assert {".nii.gz", ".zarr", ".nrrd", ".mha", ".json", ".dcm", ".mp4", ".csv"} <= endings


def test_a_scans_labels_become_a_dicom_segmentation(scan, tmp_path):
    path = str(tmp_path / "seg.dcm")
    assert scan.save(path, plugin="napari-surgisam") == [path]
    seg = hd.seg.segread(path)
    labels = [seg.get_segment_description(n).segment_label for n in seg.segment_numbers]
    assert labels == ["liver", "stent"]
    assert seg.pixel_array.sum() == (scan.data > 0).sum()
    heights = {
        float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        for group in seg.PerFrameFunctionalGroupsSequence
    }
    assert heights == {35.0, 37.5}


def test_a_scans_labels_are_measured_and_listed(scan, tmp_path):
    scan.save(str(tmp_path / "m.csv"), plugin="napari-surgisam")
    with (tmp_path / "m.csv").open(newline="") as file:
        whole = {row["name"]: row for row in csv.DictReader(file) if row["frame"] == "all"}
    assert float(whole["liver"]["volume_mm3"]) == pytest.approx(30 * 2.5 * 0.5 * 0.75)
    scan.save(str(tmp_path / "m.json"), plugin="napari-surgisam")
    coco = json.loads((tmp_path / "m.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["liver", "stent"]
    assert sum(a["area"] for a in coco["annotations"]) == 31


def test_the_kind_that_was_chosen_gives_a_name_its_ending(scan, tmp_path):
    data, attributes = scan.as_layer_data_tuple()[:2]
    assert save_coco(str(tmp_path / "m.v2"), data, attributes) == [str(tmp_path / "m.v2.json")]
    assert (tmp_path / "m.v2.json").is_file()
    with pytest.raises(DataError, match=r"m\.v2\.json exists already"):
        save_coco(str(tmp_path / "m.v2"), data, attributes)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_a_scans_labels_keep_their_place(scan, tmp_path, ending):
    path = str(tmp_path / f"labels{ending}")
    assert write_labels(path, *scan.as_layer_data_tuple()[:2]) == [path]
    if ending == ".nrrd":
        saved = sitk.ReadImage(path)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(saved), scan.data)
        assert saved.TransformIndexToPhysicalPoint((1, 1, 2)) == pytest.approx((10.75, 20.5, 35))
    else:
        affine = nib.load(path).affine
        np.testing.assert_allclose(affine @ (1, 1, 2, 1), (-10.75, -20.5, 35, 1), atol=1e-5)


def test_a_movie_shows_the_labels(viewer, tmp_path):
    open_file(viewer, sample_data() / "clip.mp4")
    layer = masks_on(viewer, viewer.layers[0])
    layer.data[:, 100:200, 100:200] = 1
    path = str(tmp_path / "overlay.mp4")
    assert layer.save(path, plugin="napari-surgisam") == [path]
    with av.open(path) as movie:
        frames = sum(1 for _ in movie.decode(video=0))
        with av.open(str(sample_data() / "clip.mp4")) as source:
            rates = [f.streams.video[0].average_rate for f in (movie, source)]
    assert frames == len(layer.data)
    assert rates[0] == rates[1]


def test_masks_of_the_widget_are_saved_with_their_names(desk, tmp_path):
    desk.click(230, 3)
    bench = desk.widget.bench
    bench.rename(1, "gallbladder")
    bench.labels.save(str(tmp_path / "m.json"), plugin="napari-surgisam")
    coco = json.loads((tmp_path / "m.json").read_text())
    assert coco["categories"] == [{"id": 1, "name": "gallbladder"}]
    (mask,) = coco["annotations"]
    assert mask["image_id"] == 3
    assert mask["area"] == (bench.labels.data[3] == 1).sum() > 0


def test_labels_of_no_known_image_are_measured_but_not_shown(viewer, tmp_path):
    layer = viewer.add_labels(np.eye(12, dtype=np.uint8).reshape(2, 6, 12), name="mine")
    layer.save(str(tmp_path / "m.csv"), plugin="napari-surgisam")
    assert (tmp_path / "m.csv").read_text().count("object 1") == 3
    for name in ("m.mp4", "m.dcm"):
        with pytest.raises(DataError, match="the labels mine were made on"):
            layer.save(str(tmp_path / name), plugin="napari-surgisam")
