"""Miniature datasets, laid out as their documents say, in the VOS layout."""

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from napari_surgisam.errors import DataError
from napari_surgisam.formats.conversions import convert
from napari_surgisam.formats.datasets import find_cases
from napari_surgisam.formats.echonet import outline_mask
from napari_surgisam.formats.labels import read_labels

SHAPE = (32, 48)


def save(path: Path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def picture(seed: int):
    rows, columns = np.indices(SHAPE)
    return np.stack([rows * 4 + seed, columns * 4, rows + columns], axis=-1)


def block(y: int, x: int, value: int = 1):
    mask = np.zeros(SHAPE, np.uint8)
    mask[y : y + 8, x : x + 8] = value
    return mask


def run(dataset: str, source: Path, target: Path):
    events = list(convert(dataset, source, target))
    assert [e.done for e in events] == list(range(1, len(events) + 1))
    assert {e.total for e in events} == {len(events)}
    return find_cases(target)


def labels_of(target: Path, clip: str):
    return read_labels(target / "Annotations" / clip)


@pytest.fixture
def endovis17(tmp_path: Path) -> Path:
    root = tmp_path / "endovis17"
    folder = root / "instrument_dataset_1"
    for frame in range(3):
        name = f"frame{frame:03d}.png"
        save(folder / "left_frames" / name, picture(frame))
        truth = folder / "ground_truth"
        save(truth / "Left_Prograsp_Forceps_labels" / name, block(2, 2 + frame, 10))
        save(truth / "Maryland_Bipolar_Forceps_labels" / name, block(15, 20, 30))
        save(truth / "Other_labels" / name, block(15, 24, 40) * (frame == 2))
    second = root / "instrument_dataset_2"
    save(second / "left_frames" / "frame000.png", picture(9))
    save(second / "ground_truth" / "TypeSegmentation" / "frame000.png", block(4, 4, 6))
    save(second / "ground_truth" / "BinarySegmentation" / "frame000.png", block(4, 4, 255))
    return root


def test_endovis17_makes_each_instrument_an_object(endovis17, tmp_path):
    dataset = run("endovis17", endovis17, tmp_path / "vos")
    assert dataset.layout == "VOS"
    assert [c.name for c in dataset.cases] == ["instrument_dataset_1", "instrument_dataset_2"]
    labels = labels_of(tmp_path / "vos", "instrument_dataset_1")
    expected = np.where(block(15, 20) > 0, 2, block(2, 4))
    expected[block(15, 24) > 0] = 3
    np.testing.assert_array_equal(labels[2], expected)
    names = [dataset.classes.name("instrument_dataset_1", k) for k in (1, 2, 3)]
    assert names == ["Prograsp Forceps", "Bipolar Forceps", "Other"]
    types = labels_of(tmp_path / "vos", "instrument_dataset_2")
    assert set(np.unique(types)) == {0, 6}
    assert dataset.classes.name("instrument_dataset_2", 6) == "Monopolar Curved Scissors"
    image = np.asarray(Image.open(dataset.cases[0].image / "00001.jpg"), int)
    assert np.abs(image - picture(1)).mean() < 3


def test_endovis18_reads_classes_by_colour(tmp_path):
    root, colours = (
        tmp_path / "endovis18",
        {"background-tissue": [0, 0, 0], "thread": [0, 255, 255]},
    )
    entries = [
        {"name": name, "color": colour, "classid": number}
        for number, (name, colour) in enumerate(colours.items())
    ]
    for frame in (0, 2, 10):
        name = f"frame{frame:03d}.png"
        save(root / "seq_1" / "left_frames" / name, picture(frame))
        save(root / "seq_1" / "labels" / name, block(2, frame)[..., None] * np.array([0, 255, 255]))
    (root / "labels.json").write_text(json.dumps(entries))
    dataset = run("endovis18", root, tmp_path / "vos")
    labels = labels_of(tmp_path / "vos", "seq_1")
    np.testing.assert_array_equal(labels, [block(2, 0), block(2, 2), block(2, 10)])
    assert dataset.classes.name("seq_1", 1) == "thread"
    save(root / "seq_1" / "labels" / "frame002.png", np.full((*SHAPE, 3), 7))
    with pytest.raises(DataError, match=r"colour \[7, 7, 7\], which labels.json does not name"):
        list(convert("endovis18", root, tmp_path / "again"))


def test_cholecseg8k_reads_grey_values_and_sorts_by_number(tmp_path):
    root = tmp_path / "cholecseg8k"
    for frame, value in ((99, 0x21), (100, 0x22), (80, 0x50)):
        folder = root / "video01" / "video01_00080"
        save(folder / f"frame_{frame}_endo.png", picture(0))
        grey = np.where(block(3, 3) > 0, value, 255)
        save(folder / f"frame_{frame}_endo_watershed_mask.png", np.dstack([grey] * 3))
        save(folder / f"frame_{frame}_endo_color_mask.png", picture(0))
        save(folder / f"frame_{frame}_endo_mask.png", np.dstack([grey] * 3))
    dataset = run("cholecseg8k", root, tmp_path / "vos")
    (case,) = dataset.cases
    assert case.name == "video01_00080"
    labels = labels_of(tmp_path / "vos", case.name)
    np.testing.assert_array_equal(labels, [0 * block(3, 3), 2 * block(3, 3), 10 * block(3, 3)])
    names = [dataset.classes.name(case.name, k) for k in (1, 2, 10, 12)]
    assert names == ["abdominal wall", "liver", "gallbladder", "liver ligament"]


@pytest.fixture
def echonet(tmp_path: Path) -> Path:
    root = tmp_path / "echonet"
    (root / "Videos").mkdir(parents=True)
    with av.open(str(root / "Videos" / "0X1A.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=50)
        stream.width, stream.height, stream.pix_fmt = 112, 112, "yuvj420p"
        for frame in range(6):
            pixels = np.full((112, 112, 3), 10 + 20 * frame, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    with (root / "VolumeTracings.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["FileName", "X1", "Y1", "X2", "Y2", "Frame"])
        for frame, half in ((1, 20), (4, 10)):
            rows.writerow(["0X1A.avi", 50, 20, 50, 80, frame])
            for y in range(20, 81, 3):
                rows.writerow(["0X1A.avi", 50 - half, y, 50 + half, y, frame])
        rows.writerow(["0XLOST.avi", 1, 1, 2, 2, 0])
    (root / "FileList.csv").write_text("FileName,EF\n0X1A,55\n")
    return root


def test_echonet_labels_the_two_traced_frames(echonet, tmp_path):
    dataset = run("echonet", echonet, tmp_path / "vos")
    (case,) = dataset.cases
    assert case.name == "0X1A"
    assert len(list(case.image.glob("*.jpg"))) == 6
    assert sorted(p.name for p in case.labels.iterdir()) == ["00001.png", "00004.png"]
    first, second = labels_of(tmp_path / "vos", "0X1A")
    assert first.sum() == 41 * 61
    assert second.sum() == 21 * 61
    assert dataset.classes.name("0X1A", 1) == "left ventricle"


def test_an_outline_is_filled_between_the_ends_of_its_lines():
    lines = np.array([[10, 0, 10, 9], [8, 2, 12, 2], [6, 5, 14, 5], [9, 8, 11, 8]], float)
    mask = outline_mask(lines, (12, 20))
    assert mask[5, 6:15].all()
    assert not mask[5, [5, 15]].any()
    assert mask[2, 8:13].all()
    assert not mask[0].any()


@pytest.mark.parametrize("dataset", ["endovis17", "endovis18", "cholecseg8k", "echonet"])
def test_a_folder_of_another_kind_is_refused(dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="not laid out like"):
        list(convert(dataset, tmp_path / "empty", tmp_path / "vos"))
    assert not (tmp_path / "vos").exists()


def test_what_cannot_be_converted_is_said(endovis17, tmp_path):
    with pytest.raises(DataError, match="unknown: choose one of endovis17"):
        list(convert("endovis19", endovis17, tmp_path / "vos"))
    with pytest.raises(DataError, match="exists already"):
        list(convert("endovis17", endovis17, endovis17))
    with pytest.raises(DataError, match="does not exist"):
        list(convert("endovis17", tmp_path / "nowhere", tmp_path / "vos"))
    mask = endovis17 / "instrument_dataset_1/ground_truth/Other_labels/frame001.png"
    mask.unlink()
    with pytest.raises(DataError, match=r"Other_labels/frame001.png is missing"):
        list(convert("endovis17", endovis17, tmp_path / "vos"))
