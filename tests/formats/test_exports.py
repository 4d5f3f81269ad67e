"""Exports, each read back by a reader that is not ours."""

import csv
import importlib.util
import json
from pathlib import Path
from types import MappingProxyType

import av
import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import zarr
from formats.dicom_files import cine, enhanced, image, save, series
from PIL import Image
from pycocotools.coco import COCO

from napari_surgisam.data.classes import ObjectClass
from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.formats import coco, dicom_seg
from napari_surgisam.formats.label_frames import open_labels
from napari_surgisam.formats.labelled import Labelled
from napari_surgisam.formats.labels import create_labels, export_labels, read_labels
from napari_surgisam.formats.sources import open_source
from napari_surgisam.resources import sample_data

NAMES = {1: "liver", 3: "Gallenblase, groß"}


def stack(length: int = 6, height: int = 20, width: int = 30) -> np.ndarray:
    """Two objects that move, one of which comes and goes."""
    labels = np.zeros((length, height, width), np.uint8)
    for k in range(length):
        labels[k, 2 + k : 8 + k, 3:9] = 1
        if 1 <= k <= 3:
            labels[k, 10:15, 20 - k : 25] = 3
    return labels


def source(labels: np.ndarray, *, time: bool = False, spacing=(2.0, 0.5, 0.25)) -> ArrayFrames:
    pixels = np.random.default_rng(0).integers(0, 255, labels.shape, np.uint8)
    return ArrayFrames(pixels, spacing=spacing, time_axis=0 if time else None)


def export(path: Path, frames, labels: np.ndarray, names=NAMES, classes=MappingProxyType({})):
    labelled = Labelled(frames, labels.__getitem__, int(labels.max()), names, classes)
    for _ in export_labels(path, labelled):
        pass
    return path


# --- COCO ----------------------------------------------------------------------------------


def read_coco(path: Path) -> COCO:
    dataset = COCO()  # given a path, it leaves the file open
    dataset.dataset = json.loads(path.read_text("utf-8"))
    dataset.createIndex()
    return dataset


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_pycocotools_reads_the_masks_back(tmp_path, capsys) -> None:
    labels = stack()
    path = export(tmp_path / "coco.json", source(labels), labels)
    dataset = read_coco(path)
    assert {c["id"]: c["name"] for c in dataset.cats.values()} == NAMES
    assert len(dataset.imgs) == len(labels)
    back = np.zeros_like(labels)
    for annotation in dataset.anns.values():
        mask = dataset.annToMask(annotation).astype(bool)
        back[annotation["image_id"]][mask] = annotation["category_id"]
        rows, columns = np.nonzero(mask)
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == [
            columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
        ]  # fmt: skip
    np.testing.assert_array_equal(back, labels)


TOOL = ObjectClass("tool", 40, (255, 0, 0))
BLUE = ObjectClass("blue", 1, (0, 0, 255))


def test_coco_has_a_category_a_class_and_one_an_object_without(tmp_path) -> None:
    labels = stack()
    labels[:, 16:18, 2:5] = 5
    path = export(tmp_path / "coco.json", source(labels), labels, classes={1: TOOL, 5: TOOL})
    data = json.loads(path.read_text("utf-8"))
    categories = {c["id"]: c["name"] for c in data["categories"]}
    assert categories == {40: "tool", 43: NAMES[3]}
    found = {(a["track_id"], a["category_id"]) for a in data["annotations"]}
    assert found == {(1, 40), (5, 40), (3, 43)}


def test_labels_by_class_hold_classes(tmp_path) -> None:
    labels = stack()
    labels[:, 16:18, 2:5] = 5
    kinds = {1: TOOL, 5: ObjectClass("organ", 300, (0, 0, 9))}
    labelled = Labelled(source(labels), labels.__getitem__, 5, {}, kinds).by_class()
    for _ in export_labels(tmp_path / "classes.tif", labelled):
        pass
    expected = np.zeros(labels.shape, np.uint16)
    expected[labels == 1], expected[labels == 5] = 40, 300
    np.testing.assert_array_equal(read_labels(tmp_path / "classes.tif"), expected)
    assert labelled.name(40) == "tool" and labelled.max_id == 300
    with pytest.raises(DataError, match="No object has a class"):
        Labelled(source(labels), labels.__getitem__, 5, {}).by_class()


def test_coco_names_the_pictures_of_a_folder(tmp_path) -> None:
    (tmp_path / "frames").mkdir()
    for name in ("a2.jpg", "a10.jpg"):
        Image.new("RGB", (30, 20)).save(tmp_path / "frames" / name)
    labels = stack(2)
    path = export(tmp_path / "coco.json", open_source(tmp_path / "frames"), labels)
    images = json.loads(path.read_text("utf-8"))["images"]
    assert [entry["file_name"] for entry in images] == ["a2.jpg", "a10.jpg"]


def test_no_labels_are_valid_coco(tmp_path, capsys) -> None:
    labels = np.zeros((2, 20, 30), np.uint8)
    frames = source(labels)
    for _ in export_labels(tmp_path / "c.json", Labelled(frames, labels.__getitem__, 1, {})):
        pass
    assert len(read_coco(tmp_path / "c.json").anns) == 0


# --- DICOM SEG -----------------------------------------------------------------------------


def masks_of(path: Path, shape: tuple[int, ...], place) -> tuple[dict[str, np.ndarray], object]:
    """Return a mask per segment's label; `place` says to which slice a frame belongs."""
    seg = hd.seg.segread(path)
    masks = {}
    for number in seg.segment_numbers:
        masks[seg.get_segment_description(number).segment_label] = np.zeros(shape, bool)
    for k, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        label = seg.get_segment_description(number).segment_label
        masks[label][place(group)] = seg.pixel_array[k]
    return masks, seg


def test_a_series_is_segmented_where_it_lies(tmp_path) -> None:
    labels = stack()
    series(tmp_path / "ct", np.zeros(labels.shape, np.int16), spacing=(2.5, 0.5, 0.75))
    frames = open_source(tmp_path / "ct")
    path = export(tmp_path / "seg.dcm", frames, labels, classes={3: TOOL})

    def place(group) -> int:
        position = group.PlanePositionSequence[0].ImagePositionPatient
        return round((float(position[2]) - 30) / 2.5)

    masks, seg = masks_of(path, labels.shape, place)
    assert set(masks) == set(NAMES.values())
    for number, name in NAMES.items():
        np.testing.assert_array_equal(masks[name], labels == number)
    liver, bladder = (seg.get_segment_description(number) for number in (1, 2))
    assert "SegmentDescription" not in liver and bladder.SegmentDescription == "tool"
    red = (53.24 / 100 * 65535, (80.09 + 128) * 257, (67.20 + 128) * 257)  # in CIELab
    assert list(bladder.RecommendedDisplayCIELabValue) == pytest.approx(red, abs=5)
    assert seg.SeriesInstanceUID != "1.2.3.4" and seg.StudyInstanceUID == "1.2.3"
    assert seg.PatientID == "1"
    # highdicom finds for each source image its own mask
    uid = hd.imread(frames.files[2]).SOPInstanceUID
    pixels = seg.get_pixels_by_source_instance([uid], assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(pixels[0, ..., 0], labels[2] == 1)


def test_frames_of_an_enhanced_image_keep_their_places(tmp_path) -> None:
    labels = stack()
    order = [3, 1, 5, 0, 2, 4]
    volume = enhanced(np.zeros(labels.shape, np.int16), [2.0 * k for k in order])
    for group, k in zip(volume.PerFrameFunctionalGroupsSequence, order, strict=True):
        content = type(group)()
        content.DimensionIndexValues = [k + 1]
        group.FrameContentSequence = [content]
    save(volume, tmp_path / "enhanced.dcm")
    path = export(tmp_path / "seg.dcm", open_source(tmp_path / "enhanced.dcm"), labels)

    def place(group) -> int:
        return round(float(group.PlanePositionSequence[0].ImagePositionPatient[2]) / 2)

    masks, _ = masks_of(path, labels.shape, place)
    np.testing.assert_array_equal(masks["liver"], labels == 1)


@pytest.mark.parametrize("kind", ["cine", "radiograph"])
def test_what_lies_nowhere_is_refused_with_what_to_write_instead(tmp_path, kind) -> None:
    frames = np.zeros((6, 20, 30), np.uint8)
    save(cine(frames) if kind == "cine" else image(frames[0], Modality="DX"), tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"where each image lies.*COCO"):
        create_labels(tmp_path / "seg.dcm", open_source(tmp_path / "a.dcm"), 3)


def test_a_segmentation_needs_dicom_and_something_in_it(tmp_path) -> None:
    labels = stack()
    with pytest.raises(DataError, match=r"refers to the DICOM images.*NIfTI"):
        create_labels(tmp_path / "seg.dcm", source(labels), 3)
    series(tmp_path / "ct", np.zeros(labels.shape, np.int16))
    with pytest.raises(DataError, match="along axis 1"):
        create_labels(tmp_path / "seg.dcm", open_source(tmp_path / "ct", axis=1), 3)
    with pytest.raises(DataError, match="no frame has labels"):
        frames = open_source(tmp_path / "ct")
        nothing = Labelled(frames, (labels * 0).__getitem__, 1, {})
        list(export_labels(tmp_path / "seg.dcm", nothing))
    assert not (tmp_path / "seg.dcm").exists()


# --- the movie -----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [64, 63])
def test_the_movie_shows_labels_over_frames(tmp_path, width) -> None:
    labels = np.zeros((6, 49, width), np.uint8)
    labels[2:4, 10:30, 20:50] = 1
    frames = ArrayFrames(np.full(labels.shape, 60, np.uint8), time_axis=0)
    labels[4] = labels[2] * 2
    path = export(tmp_path / "overlay.mp4", frames, labels, classes={2: BLUE})
    with av.open(str(path)) as file:
        pictures = [p.to_ndarray(format="rgb24").astype(int) for p in file.decode(video=0)]
        assert file.streams.video[0].average_rate == 25
    assert len(pictures) == 6 and pictures[0].shape == (50, 64, 3)
    np.testing.assert_allclose(pictures[0][20, 35], 60, atol=8)
    red, _, blue = pictures[2][20, 35]  # orange over grey
    assert red > 110 and blue < 60
    red, _, blue = pictures[4][20, 35]  # the colour of its class
    assert red < 60 and blue > 110


def test_the_movie_is_as_fast_as_its_source(tmp_path) -> None:
    frames = open_source(sample_data() / "clip.mp4")
    labels = np.zeros((len(frames), *frames.shape), np.uint8)
    labels[:, 5:50, 5:50] = 1
    path = export(tmp_path / "overlay.mp4", frames, labels)
    with av.open(str(path)) as ours, av.open(str(sample_data() / "clip.mp4")) as theirs:
        assert ours.streams.video[0].average_rate == theirs.streams.video[0].average_rate


# --- measurements --------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_areas_and_volumes_have_their_units(tmp_path) -> None:
    labels = stack()
    path = export(tmp_path / "areas.csv", source(labels), labels, classes={3: TOOL})
    rows = rows_of(path)
    assert {(row["object_id"], row["class_id"], row["class"]) for row in rows} == {
        ("1", "", ""), ("3", "40", "tool")
    }  # fmt: skip
    frames = [row for row in rows if row["frame"] != "all"]
    assert [(row["frame"], row["object_id"]) for row in frames] == [
        *(("0", "1"),), *((str(k), o) for k in (1, 2, 3) for o in ("1", "3")),
        ("4", "1"), ("5", "1"),
    ]  # fmt: skip
    first = frames[0]
    assert (first["name"], first["area_px"], first["area_mm2"]) == ("liver", "36", "4.5")
    assert (first["centroid_y_px"], first["centroid_x_px"]) == ("4.5", "5.5")
    assert (first["centroid_y_mm"], first["centroid_x_mm"]) == ("2.25", "1.375")
    box = [first[f"bbox_{edge}_px"] for edge in ("y0", "x0", "y1", "x1")]
    assert box == ["2", "3", "8", "9"]
    whole = {row["object_id"]: row for row in rows if row["frame"] == "all"}
    liver = whole["1"]
    assert (liver["volume_voxels"], liver["volume_mm3"], liver["volume_ml"]) == (
        "216", "54", "0.054"
    )  # fmt: skip
    z, y, _ = np.argwhere(labels == 1).mean(axis=0)
    assert float(liver["centroid_z_px"]) == pytest.approx(z)
    assert float(liver["centroid_y_mm"]) == pytest.approx(y * 0.5)
    assert float(liver["centroid_z_mm"]) == pytest.approx(z * 2)
    assert (whole["3"]["bbox_z0_px"], whole["3"]["bbox_z1_px"]) == ("1", "4")


def test_itk_measures_the_same_volume(tmp_path) -> None:
    labels = stack()
    rows = rows_of(export(tmp_path / "areas.csv", source(labels), labels))
    itk_labels = sitk.GetImageFromArray(labels)
    itk_labels.SetSpacing((0.25, 0.5, 2.0))
    theirs = sitk.LabelShapeStatisticsImageFilter()
    theirs.Execute(itk_labels)
    for row in (row for row in rows if row["frame"] == "all"):
        label = int(row["object_id"])
        assert float(row["volume_mm3"]) == pytest.approx(theirs.GetPhysicalSize(label))
        centroid = [float(row[f"centroid_{axis}_mm"]) for axis in "xyz"]
        assert centroid == pytest.approx(theirs.GetCentroid(label), rel=1e-5)


def test_a_movie_has_areas_alone_and_none_in_mm_where_nobody_knows(tmp_path) -> None:
    labels = stack()
    rows = rows_of(export(tmp_path / "a.csv", source(labels, time=True, spacing=None), labels))
    assert len(rows) == 9
    assert {row["area_mm2"] + row["volume_voxels"] + row["centroid_y_mm"] for row in rows} == {""}


# --- through one function ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.tif", "out.zarr", "out.nii.gz", "out.nrrd", "out.mha", "o"])
def test_saved_labels_become_every_other_kind(tmp_path, name) -> None:
    labels = stack()
    frames = source(labels)
    saved = export(tmp_path / name, frames, labels)
    labelled = open_labels(saved, frames, NAMES)
    assert labelled.max_id == 3
    for other in ("again.tif", "again.zarr", "again.nii", "again.mha", "again"):
        for _ in export_labels(tmp_path / other, labelled):
            pass
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "again.tif"), labels)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "again.zarr")[:], labels)
    nifti = nib.load(tmp_path / "again.nii")
    np.testing.assert_array_equal(np.asarray(nifti.dataobj).T, labels)
    assert nifti.header.get_zooms() == pytest.approx((0.25, 0.5, 2))
    meta = sitk.ReadImage(tmp_path / "again.mha")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(meta), labels)
    assert meta.GetSpacing() == pytest.approx((0.25, 0.5, 2))
    for frame, png in enumerate(sorted((tmp_path / "again").glob("*.png"))):
        with Image.open(png) as picture:
            assert picture.mode == "P"
            np.testing.assert_array_equal(np.asarray(picture), labels[frame])
    assert frame == len(labels) - 1


def test_labels_of_another_image_are_refused(tmp_path) -> None:
    saved = export(tmp_path / "out.tif", source(stack(6)), stack(6))
    with pytest.raises(DataError, match=r"6 frames of 20 x 30, but the image is 5"):
        open_labels(saved, source(stack(5)), {})


def test_what_exists_is_left_alone(tmp_path) -> None:
    (tmp_path / "areas.csv").write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        export(tmp_path / "areas.csv", source(stack()), stack())
    assert (tmp_path / "areas.csv").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_export_that_fails_keeps_the_labels(tmp_path, monkeypatch) -> None:
    def full(path, labelled):
        raise OSError(28, "No space left on device")

    frames = source(stack())
    monkeypatch.setitem(
        __import__("napari_surgisam.formats.exports", fromlist=["EXPORTS"]).EXPORTS,
        ".csv",
        type(coco.COCO)(lambda *_: None, full),
    )
    with pytest.raises(DataError, match="kept in"):
        export(tmp_path / "areas.csv", frames, stack())
    (kept,) = tmp_path.iterdir()
    np.testing.assert_array_equal(read_labels(kept), stack())


@pytest.mark.parametrize(
    ("ending", "module", "extra"),
    [(".json", coco, "coco"), (".dcm", dicom_seg, "dicom-seg")],
)
def test_a_missing_package_is_named_before_any_work(
    tmp_path, monkeypatch, ending, module, extra
) -> None:
    assert module.find_spec is importlib.util.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=rf"napari-surgisam\[{extra}\]"):
        create_labels(tmp_path / f"out{ending}", source(stack()), 3)
