"""`surgisam export`, and `propagate` with several outputs."""

import csv
import json
from pathlib import Path

import av
import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
import tifffile
from formats.dicom_files import series
from typer.testing import CliRunner, Result

from napari_surgisam.cli import app
from napari_surgisam.formats import exports
from napari_surgisam.formats.labelled import Export
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.resources import sample_data

SHAPE = (6, 40, 56)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A CT in which a bright block is to be segmented."""
    volume = np.random.default_rng(0).integers(0, 60, SHAPE).astype(np.int16)
    volume[1:5, 10:30, 15:40] += 180
    series(tmp_path / "ct", volume, spacing=(2.5, 0.5, 0.75), WindowCenter=120, WindowWidth=241)
    return tmp_path / "ct"


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.csv"
    path.write_text("axis-0,axis-1,axis-2,object_id,polarity\n2,20,28,2,positive\n")
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    path = tmp_path / "classes.csv"
    path.write_text("label,class\n2,lesion\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_one_run_writes_every_kind_of_output(tmp_path, scan, clicks, classes) -> None:
    names = ("areas.csv", "masks.nii.gz", "coco.json", "seg.dcm", "overlay.mp4")
    outs = [word for name in names for word in ("--out", tmp_path / name)]
    result = run("propagate", scan, "--prompts", clicks, *outs, "--names", classes, "-q")
    assert result.exit_code == 0, result.stderr
    assert set(result.stdout.split()) == {str(tmp_path / name) for name in names}
    labels = np.asarray(nib.load(tmp_path / "masks.nii.gz").dataobj).T
    areas = [(labels[k] == 2).sum() for k in range(len(labels))]
    assert sum(areas) > 0
    with (tmp_path / "areas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {int(row["frame"]): int(row["area_px"]) for row in rows if row["frame"] != "all"} == {
        k: area for k, area in enumerate(areas) if area
    }
    assert {row["name"] for row in rows} == {"lesion"}
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert sum(a["area"] for a in coco["annotations"]) == sum(areas)
    assert coco["categories"] == [{"id": 2, "name": "lesion"}]
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    assert seg.pixel_array.sum() == sum(areas)
    with av.open(str(tmp_path / "overlay.mp4")) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == len(labels)
    assert not list(tmp_path.glob("*.partial*"))


def test_classes_pass_through(tmp_path, scan) -> None:
    clicks, table = tmp_path / "two.csv", tmp_path / "list.csv"
    clicks.write_text(
        "axis-0,axis-1,axis-2,object_id,polarity\n2,20,28,2,positive\n2,3,3,1,positive\n"
    )
    table.write_text(
        "label,class,colour,priority\n1,lesion,#0000ff,0\n2,lesion,,\n9,other,#00ff00,4\n"
    )
    out, session = tmp_path / "m.tif", tmp_path / "s.surgisam"
    more = ("--out", tmp_path / "m.json", "--session", session, "--names", table, "-q")
    made = run("propagate", scan, "--prompts", clicks, "--out", out, *more)
    assert made.exit_code == 0, made.stderr
    coco = json.loads((tmp_path / "m.json").read_text())
    assert coco["categories"] == [{"id": 1, "name": "lesion"}]
    assert {a["track_id"] for a in coco["annotations"]} == {1, 2}
    labels = tifffile.imread(out)
    by_class = tmp_path / "c.nii.gz"
    options = ("--image", scan, "--names", table, "--by-class", "--out", by_class, "-q")
    assert run("export", out, *options).exit_code == 0
    written = np.asarray(nib.load(by_class).dataobj).T
    np.testing.assert_array_equal(written, labels > 0)
    folder = SessionFolder(session)
    state = folder.read()
    folder.close()
    assert {k: (o.name, o.category) for k, o in state.objects.items()} == {
        1: ("lesion", "lesion"), 2: ("lesion", "lesion")
    }  # fmt: skip
    assert next((c.name, c.label) for c in state.annotation.catalogue.classes) == ("lesion", 1)
    again = tmp_path / "again.tif"
    resumed = run("resume", session, "--out", again, "--by-class", "-q")
    assert resumed.exit_code == 0, resumed.stderr
    np.testing.assert_array_equal(tifffile.imread(again), labels > 0)
    bare = run("export", out, "--image", scan, "--by-class", "--out", tmp_path / "d.tif")
    assert bare.exit_code == 2 and "No object has a class" in bare.stderr


@pytest.mark.parametrize("name", ["m.csv", "m.json", "m.dcm", "m.mp4", "m.mha"])
def test_any_kind_may_be_the_only_output(tmp_path, scan, clicks, name) -> None:
    command = ("propagate", scan, "--prompts", clicks, "--out", tmp_path / name, "--span", "1:4")
    result = run(*command, "-q")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / name}\n"), result.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"clicks.csv", "cache", "ct", name}
    again = run(*command, "-q")
    assert again.exit_code == 2 and "exists already" in again.stderr


def test_labels_that_were_saved_are_exported(tmp_path, scan, classes) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:4, 10:20, 10:20] = 2
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    outs = ("--out", tmp_path / "m.nii", "--out", tmp_path / "m.csv")
    result = run("export", tmp_path / "labels.tif", "--image", scan, *outs)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == [str(tmp_path / "m.nii"), str(tmp_path / "m.csv")]
    saved = nib.load(tmp_path / "m.nii")
    np.testing.assert_array_equal(np.asarray(saved.dataobj).T, labels)
    np.testing.assert_allclose(saved.affine @ (0, 0, 2, 1), (-10, -20, 35, 1))
    with (tmp_path / "m.csv").open(newline="") as file:
        (whole,) = [row for row in csv.DictReader(file) if row["frame"] == "all"]
    assert float(whole["volume_mm3"]) == pytest.approx(200 * 2.5 * 0.5 * 0.75)
    assert whole["name"] == "object 2"


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, clicks) -> None:
    outs = ("--out", tmp_path / "m.zarr", "--out", tmp_path / "seg.dcm")
    result = run("propagate", sample_data() / "clip.mp4", "--prompts", clicks, *outs)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "refers to the DICOM images" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"clicks.csv", "cache"}


@pytest.mark.parametrize(
    ("second", "message"),
    [("m.tif", "twice"), ("sub/../m.tif", "twice"), ("labels.tif", "both input and output")],
)
def test_an_output_is_no_input_and_no_other_output(tmp_path, scan, second, message) -> None:
    (tmp_path / "sub").mkdir()
    tifffile.imwrite(tmp_path / "labels.tif", np.ones(SHAPE, np.uint8))
    outs = ("--out", tmp_path / "m.tif", "--out", tmp_path / second)
    result = run("export", tmp_path / "labels.tif", "--image", scan, *outs)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "m.tif").exists()


def test_a_run_whose_export_failed_is_gone_on_with(tmp_path, scan, clicks, monkeypatch) -> None:
    def full(path, labelled):
        raise OSError(28, "No space left on device")

    outs = ("--out", tmp_path / "m.tif", "--out", tmp_path / "m.csv")
    command = ("propagate", scan, "--prompts", clicks, *outs, "-q")
    with monkeypatch.context() as patch:
        patch.setitem(exports.EXPORTS, ".csv", Export(lambda *_: None, full))
        assert run(*command).exit_code == 2
    assert not (tmp_path / "m.tif").exists()
    result = run(*command, "--resume")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "m.tif").exists() and (tmp_path / "m.csv").exists()


def test_uneven_slices_are_mentioned(tmp_path, clicks) -> None:
    volume = np.zeros((5, 30, 30), np.int16)
    series(tmp_path / "ct", volume, heights=[0, 2.5, 5.2, 7.5, 10])
    tifffile.imwrite(tmp_path / "labels.tif", np.ones(volume.shape, np.uint8))
    out = ("--out", tmp_path / "m.csv")
    result = run("export", tmp_path / "labels.tif", "--image", tmp_path / "ct", *out)
    assert result.exit_code == 0
    assert "not evenly spaced" in result.stderr
