"""The sample clip and volume are what their README says, and small."""

import csv
from pathlib import Path

import av
import nibabel
import numpy as np
import pytest
import tifffile

SAMPLES = Path(__file__).parents[1] / "sample_data"
CLIP_NAMES, VOLUME_NAMES = {1, 2, 3}, {1, 2, 3}


def clicks(name: str):
    with (SAMPLES / name).open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        assert table.fieldnames == [
            "index",
            "axis-0",
            "axis-1",
            "axis-2",
            "object_id",
            "polarity",
        ]  # napari's points CSV and our two columns
        return [
            (*(round(float(row[f"axis-{n}"])) for n in range(3)), row["object_id"], row["polarity"])
            for row in table
        ]


@pytest.fixture(scope="module")
def clip():
    with av.open(str(SAMPLES / "clip.mp4")) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.fixture(scope="module")
def clip_labels():
    return tifffile.imread(SAMPLES / "clip_labels.tif")


@pytest.fixture(scope="module")
def volume():
    return nibabel.load(SAMPLES / "volume.nii.gz")


@pytest.fixture(scope="module")
def volume_labels():
    return nibabel.load(SAMPLES / "volume_labels.nii.gz")


def test_the_clip_has_a_truth_on_every_frame(clip, clip_labels):
    assert clip.shape == (48, 480, 640, 3)
    assert clip_labels.shape == clip.shape[:3]
    assert clip_labels.dtype == np.uint8
    assert set(np.unique(clip_labels)) == {0, *CLIP_NAMES}


def test_objects_are_neither_specks_nor_the_whole_frame(clip_labels):
    for label in CLIP_NAMES:
        share = (clip_labels[0] == label).mean()
        assert 0.04 < share < 0.25, label
        assert (clip_labels == label).mean(axis=(1, 2)).max() < 0.25


def test_one_object_leaves_and_returns_and_one_is_partly_hidden(clip_labels):
    areas = {n: np.count_nonzero(clip_labels == n, axis=(1, 2)) for n in CLIP_NAMES}
    assert [n for n, area in areas.items() if (area == 0).any()] == [2]
    gone = np.flatnonzero(areas[2] == 0)
    assert list(gone) == list(range(15, 25))
    assert areas[2][-1] > 0.9 * areas[2][0]
    assert areas[1][29] < 0.8 * max(areas[1][18], areas[1][-1])  # behind the cup
    assert areas[3][-1] > 1.8 * areas[3][0]  # it comes nearer


def test_the_truth_lies_on_the_picture(clip, clip_labels):
    """The objects are warm and the lawn is green, so their edges must agree."""
    red_over_green = clip[..., 0].astype(int) - clip[..., 1]
    for frame in (0, 12, 29, 47):
        warm = red_over_green[frame] > 5
        truth = clip_labels[frame] > 0
        union = np.count_nonzero(warm | truth)
        assert np.count_nonzero(warm & truth) / union > 0.9, frame


@pytest.mark.parametrize("kind", ["clip", "volume"])
def test_clicks_lie_on_what_they_name(kind, clip_labels, volume_labels):
    labels = clip_labels if kind == "clip" else np.asarray(volume_labels.dataobj).T
    prompted = {0, 15, 20, 30, 45} if kind == "clip" else {labels.shape[0] // 2}
    rows = clicks(f"{kind}_prompts.csv")
    assert {frame for frame, *_ in rows} == prompted
    for frame, y, x, object_id, polarity in rows:
        hit = labels[frame, y, x]
        assert polarity in {"positive", "negative"}
        assert (hit == int(object_id)) == (polarity == "positive")
    positives = [(frame, object_id) for frame, *_, object_id, p in rows if p == "positive"]
    assert {object_id for _, object_id in positives} == {"1", "2", "3"}
    assert max(positives.count(place) for place in positives) <= 5  # a person's patience


def test_the_volume_carries_its_geometry(volume, volume_labels):
    assert volume.shape == volume_labels.shape == (128, 128, 32)
    np.testing.assert_allclose(volume.header.get_zooms(), (2.5, 2.5, 4))
    np.testing.assert_array_equal(volume.affine, volume_labels.affine)
    assert nibabel.aff2axcodes(volume.affine) == ("L", "P", "S")
    truth = np.asarray(volume_labels.dataobj).T
    assert set(np.unique(truth)) == {0, *VOLUME_NAMES}
    spans = {n: np.flatnonzero((truth == n).any(axis=(1, 2)))[[0, -1]].tolist() for n in (1, 2, 3)}
    assert spans == {1: [8, 31], 2: [1, 26], 3: [9, 23]}


def test_the_organs_differ_from_what_surrounds_them(volume, volume_labels):
    image, truth = volume.get_fdata(), np.asarray(volume_labels.dataobj)
    means = {n: np.median(image[truth == n]) for n in VOLUME_NAMES}
    assert means[3] > 1.2 * means[2] > 1.2 * 1.5 * means[1]


def test_the_samples_stay_small():
    files = [path for path in SAMPLES.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert (SAMPLES / "README.md") in files
