"""`surgisam evaluate`, `compare`, `batch` and `infer-vos`: files, figures, exit codes."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from fakes import MovingDiscs
from films import truth_of
from PIL import Image
from typer.testing import CliRunner

from napari_surgisam.cli import app
from napari_surgisam.evaluation import jobs
from napari_surgisam.formats.folders import write_palette_png
from napari_surgisam.formats.labels import read_labels


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def surgisam(model):
    def run(command: str, *arguments: object):
        told = [] if command in ("compare", "infer-vos") else ["--model", model, "--device", "cpu"]
        return CliRunner().invoke(app, [command, *map(str, [*arguments, *told])])

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Tags(HTMLParser):
    """Counts what a page is made of, and notes what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.sources += [value for name, value in attrs if name in ("src", "href") and value]


def test_evaluate_writes_tables_summary_and_report(surgisam, dataset, tmp_path):
    out = tmp_path / "report"
    (dataset / "classes.csv").write_text("label,class\n1,grasper\n2,<hook>\n")
    done = surgisam("evaluate", dataset, "--protocol", "video", "--out", out, "--clicks", 2)
    assert done.exit_code == 1
    assert "film3 was not evaluated" in done.stderr
    assert "1 of 4 cases were not evaluated" in done.stderr
    rows = rows_of(out / "scores.csv")
    assert [(r["case"], r["object"], r["class"]) for r in rows] == [
        ("film0", "1", "grasper"),
        ("film1", "1", "grasper"),
        ("film1", "2", "<hook>"),
        ("film2", "1", "grasper"),
        ("film2", "2", "<hook>"),
    ]
    frames = rows_of(out / "frames.csv")
    assert len(frames) == 5 + 2 * 6 + 2 * 7
    own = [float(f["dsc"]) for f in frames if (f["case"], f["object"]) == ("film1", "2")]
    assert float(rows[2]["dsc"]) == pytest.approx(np.mean(own))
    summary = json.loads((out / "summary.json").read_text())
    assert summary["figures"]["dsc"]["mean"] == pytest.approx(
        np.mean([float(r["dsc"]) for r in rows])
    )
    assert summary["figures"]["dsc"]["low"] <= summary["figures"]["dsc"]["mean"]
    assert summary["failures"].keys() == {"film3"}
    assert summary["classes"]["<hook>"]["objects"] == 2
    assert summary["classes"]["grasper"]["masks"] == 5 + 6 + 7
    assert summary["arguments"]["seed"] == 0
    assert re.fullmatch("[0-9a-f]{64}", summary["arguments"]["model_sha256"])
    assert summary["versions"]["torch"]
    assert summary["times"]["segmenting_seconds"] > 0
    assert summary["peak_bytes"] > 1e6
    assert list(summary["computed_on"].values()) == [3]
    assert re.fullmatch("cpu (float32|bfloat16)", next(iter(summary["computed_on"])))
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0] == ["figure", "mean", "low", "high", "values", "cases"]
    assert lines[1][0] == "dsc"
    assert lines[1][4:] == ["5", "3"]
    page = (out / "report.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.counts["img"] == 3
    assert tags.counts["svg"] >= 1
    assert tags.counts["table"] >= 4
    assert "script" not in tags.counts
    assert all(source.startswith(("data:", "#")) for source in tags.sources)
    assert "&lt;hook&gt;" in page
    assert "film3" in page


def test_a_report_says_where_millimetres_and_pixels_are_mixed(surgisam, dataset, tmp_path):
    discs = MovingDiscs(length=3, shape=(48, 64))
    for folder, stack in (
        ("images", np.stack([discs.read(frame)[..., 0] for frame in range(3)])),
        ("labels", truth_of(discs)),
    ):
        path = dataset / folder / "scan.nii"
        nib.save(nib.Nifti1Image(stack.T, np.diag([0.5, 0.5, 2.0, 1.0])), path)
    arguments = ("evaluate", dataset, "--protocol", "image", "--max-frames", 1, "-q")
    surgisam(*arguments, "--out", tmp_path / "mixed")
    summary = json.loads((tmp_path / "mixed" / "summary.json").read_text())
    assert summary["cases_by_unit"] == {"mm": 1, "px": 3}
    assert summary["bootstrap"]["over"] == "cases"
    assert "mm in the 1 cases that know" in (tmp_path / "mixed" / "report.html").read_text()
    surgisam(*arguments, "--tolerance", "2px", "--out", tmp_path / "pixels")
    page = (tmp_path / "pixels" / "report.html").read_text()
    assert "tolerance is 2, in pixels. " in page


def test_an_evaluation_goes_on_where_it_was(surgisam, dataset, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole", tmp_path / "report"
    arguments = ("evaluate", dataset, "--protocol", "video", "-q", "--out")
    surgisam(*arguments, whole)
    evaluated = []
    evaluate_case = jobs.evaluate_case

    def record(case, *rest):
        evaluated.append(case.name)
        if len(evaluated) == 2:
            raise KeyboardInterrupt
        return evaluate_case(case, *rest)

    monkeypatch.setattr(jobs, "evaluate_case", record)
    assert surgisam(*arguments, out).exit_code == 130
    assert evaluated == ["film0", "film1"]
    evaluated[:] = ["", ""]
    assert surgisam(*arguments, out).exit_code == 1
    assert evaluated[2:] == ["film1", "film2", "film3"]
    for name in ("scores.csv", "frames.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_cases_whose_files_changed_are_evaluated_again(surgisam, dataset, tmp_path, monkeypatch):
    arguments = ("--protocol", "video", "--out", tmp_path / "report")
    surgisam("evaluate", dataset, *arguments)
    evaluated = []
    evaluate_case = jobs.evaluate_case

    def record(case, *rest):
        evaluated.append(case.name)
        return evaluate_case(case, *rest)

    monkeypatch.setattr(jobs, "evaluate_case", record)
    path = dataset / "labels" / "film1.tif"
    labels = tifffile.imread(path)
    tifffile.imwrite(path, np.where(labels == 2, 0, labels))
    done = surgisam("evaluate", dataset, *arguments)
    assert "4 cases, 2 of them done before" in done.stderr
    assert evaluated == ["film1", "film3"]
    rows = rows_of(tmp_path / "report" / "scores.csv")
    assert [(r["case"], r["object"]) for r in rows] == [
        ("film0", "1"), ("film1", "1"), ("film2", "1"), ("film2", "2"),
    ]  # fmt: skip
    other = tmp_path / "elsewhere" / dataset.name  # another dataset of the same name
    shutil.copytree(dataset, other, copy_function=shutil.copyfile)
    del evaluated[:]
    surgisam("evaluate", other, *arguments)
    assert evaluated == ["film0", "film1", "film2", "film3"]


def test_a_cluster_writes_the_same_tables(surgisam, dataset, tmp_path):
    pytest.importorskip("distributed", reason="pip install 'napari-surgisam[cluster]'")
    arguments = ("evaluate", dataset, "--protocol", "video", "-q", "--out")
    surgisam(*arguments, tmp_path / "here")
    done = surgisam(*arguments, tmp_path / "there", "--scheduler", "local:2")
    assert done.exit_code == 1
    assert "1 of 4 cases were not evaluated" in done.stderr
    for name in ("scores.csv", "frames.csv", "arguments.json"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_other_arguments_do_not_mix_with_what_is_there(surgisam, dataset, tmp_path):
    out = tmp_path / "report"
    arguments = ("evaluate", dataset, "--protocol", "image", "-q", "--out", out)
    surgisam(*arguments)
    refused = surgisam(*arguments, "--clicks", 5)
    assert refused.exit_code == 2
    assert "clicks: 3, now 5" in refused.stderr
    assert surgisam(*arguments, "--clicks", 5, "--overwrite").exit_code == 1
    assert json.loads((out / "summary.json").read_text())["arguments"]["clicks"] == 5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    refused = surgisam("evaluate", dataset, "--protocol", "image", "--out", tmp_path / "mine")
    assert refused.exit_code == 2
    assert "other files" in refused.stderr


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (("--protocol", "vidoe"), "no protocol 'vidoe': choose one of image,"),
        (("--protocol", "image", "--prompt", "circle"), "choose points, box or mask"),
        (("--protocol", "image", "--clicks", 11), "1 to 10"),
        (("--protocol", "image", "--click-mode", "left"), "choose random or center"),
        (("--protocol", "image", "--tolerance", "2cm"), "for example 2, 2mm or 2px"),
        (("--protocol", "video", "--prompted-frames", 0), "--prompted-frames is 0"),
        (("--protocol", "video", "--policy", "nonsense"), "nonsense"),
        (("--protocol", "video", "--focus", "nonsense"), "nonsense"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    extra, reason, surgisam, dataset, tmp_path
):
    done = surgisam("evaluate", dataset, "--out", tmp_path / "report", *extra)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("protocol", ["image-interactive", "correction"])
def test_interactive_protocols_write_their_curves(protocol, surgisam, dataset, tmp_path):
    out = tmp_path / "report"
    options = ("--max-clicks", 3, "--max-frames", 1, "--rounds", 1, "-q")
    surgisam("evaluate", dataset, "--protocol", protocol, "--out", out, *options)
    steps = {int(row["step"]) for row in rows_of(out / "curves.csv")}
    assert steps == ({1, 2, 3} if protocol == "image-interactive" else {0, 1})
    tags = Tags()
    tags.feed((out / "report.html").read_text())
    assert tags.counts["svg"] >= 2


def test_compare_pairs_objects_and_gives_intervals(surgisam, dataset, tmp_path):
    first, other = tmp_path / "a", tmp_path / "b"
    for out, clicks in ((first, 1), (other, 5)):
        surgisam("evaluate", dataset, "--protocol", "image", "-q", "--out", out, "--clicks", clicks)
    done = surgisam("compare", first, other, "--figure", "dsc")
    assert done.exit_code == 0
    assert "differs from" in done.stderr
    assert "clicks (1 → 5)" in done.stderr
    header, base, line = [line.split("\t") for line in done.stdout.splitlines()]
    assert header[:4] == ["figure", "report", "mean", "difference"]
    ours, theirs = (
        [float(r["dsc"]) for r in rows_of(p / "scores.csv") if r["object"]] for p in (first, other)
    )
    assert float(base[2]) == pytest.approx(np.mean(ours), rel=1e-5)
    assert float(line[3]) == pytest.approx(np.mean(np.subtract(theirs, ours)), abs=1e-5)
    assert float(line[4]) <= float(line[3]) <= float(line[5])
    assert line[6] == "5"
    refused = surgisam("compare", first)
    assert refused.exit_code == 2
    refused = surgisam("compare", first, tmp_path)
    assert refused.exit_code == 2
    assert "no finished evaluation" in refused.stderr


@pytest.fixture
def manifest(dataset: Path) -> Path:
    """Two films that can be segmented, and one whose prompts lie outside."""
    lines = ["source,prompts,out"]
    for number, x in ((0, 8), (1, 8), (2, 800)):
        table = dataset / f"clicks{number}.csv"
        table.write_text(f"index,axis-0,axis-1,axis-2,object_id,polarity\n0,0,12,{x},1,positive\n")
        lines.append(f"images/film{number}.tif,{table.name},masks{number}.tif")
    path = dataset / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_batch_segments_each_row_and_goes_on(surgisam, manifest):
    done = surgisam("batch", manifest, "-q")
    assert done.exit_code == 1
    masks = [manifest.parent / f"masks{k}.tif" for k in range(3)]
    assert done.stdout.split() == [str(path) for path in masks[:2]]
    assert re.search(r"masks2.tif was not written: .*clicks2.csv, row 2", done.stderr)
    assert read_labels(masks[0]).shape == (5, 48, 64)
    before = masks[0].stat().st_mtime_ns
    again = surgisam("batch", manifest)
    assert "2 of 3 outputs exist" in again.stderr
    assert masks[0].stat().st_mtime_ns == before
    assert not masks[2].exists()
    assert not list(manifest.parent.glob(".*partial*"))


def test_batch_makes_the_folders_that_a_manifest_names(surgisam, manifest):
    manifest.write_text(manifest.read_text().replace("masks0.tif", "case 1/left/masks.tif"))
    surgisam("batch", manifest, "-q")
    assert read_labels(manifest.parent / "case 1" / "left" / "masks.tif").shape == (5, 48, 64)


def test_batch_removes_what_a_killed_process_left_of_its_outputs(surgisam, manifest):
    folder = manifest.parent
    (folder / ".masks0.tif.0123abcd.partial").mkdir()
    (folder / ".masks0.tif.0123abcd.partial" / "zarr.json").touch()
    (folder / ".masks0.tif.0123abcd.tmp").touch()
    mine = folder / ".masks0.tif.backup.partial"
    mine.touch()
    surgisam("batch", manifest, "-q")
    assert list(folder.glob(".*")) == [mine]


def test_batch_gives_the_same_masks_on_a_cluster(surgisam, manifest):
    pytest.importorskip("distributed", reason="pip install 'napari-surgisam[cluster]'")
    surgisam("batch", manifest, "-q")
    masks = [manifest.parent / f"masks{k}.tif" for k in range(2)]
    alone = [read_labels(path) for path in masks]
    done = surgisam("batch", manifest, "-q", "--overwrite", "--scheduler", "local:2")
    assert set(done.stdout.split()) == {str(path) for path in masks}
    for labels, path in zip(alone, masks, strict=True):
        np.testing.assert_array_equal(read_labels(path), labels)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("source,out\na,b\n", "needs the columns source, prompts, out"),
        ("source,prompts,out\na,,b\n", "line 2: prompts is missing"),
        ("source,prompts,out\na,p,b\nc,p,b\n", "line 3: line 2 writes to"),
        ("source,prompts,out\n", "has no rows"),
    ],
)
def test_manifests_that_cannot_be_used_are_refused(text, reason, surgisam, tmp_path):
    (tmp_path / "manifest.csv").write_text(text)
    done = surgisam("batch", tmp_path / "manifest.csv")
    assert done.exit_code == 2
    assert reason in done.stderr


@pytest.fixture
def vos(tmp_path: Path) -> Path:
    """Two videos in the layout of `vos_inference.py`; in one an object appears later."""
    for video, hidden in (("one", {}), ("two", {140: {0, 1, 2}})):
        discs = MovingDiscs(6, (230, 140), (48, 64), hidden=hidden)
        truth = truth_of(discs)
        for kind in ("JPEGImages", "Annotations", "Inputs"):
            (tmp_path / kind / video).mkdir(parents=True)
        for frame in range(6):
            name = f"{frame:05d}"
            Image.fromarray(discs.read(frame)).save(tmp_path / "JPEGImages" / video / f"{name}.jpg")
            write_palette_png(tmp_path / "Annotations" / video / f"{name}.png", truth[frame])
            if frame in (0, 3):
                write_palette_png(tmp_path / "Inputs" / video / f"{name}.png", truth[frame])
    return tmp_path


def infer(surgisam, vos, model, *extra, out="out"):
    return surgisam(
        "infer-vos",
        "--sam2_cfg", "configs/sam2.1/sam2.1_hiera_s.yaml",
        "--sam2_checkpoint", model,
        "--output_mask_dir", vos / out,
        "--input_mask_dir", vos / "Inputs",
        "--base_video_dir", vos / "JPEGImages",
        *extra,
    )  # fmt: skip


def test_infer_vos_takes_the_published_command_and_scores(surgisam, vos, model):
    done = infer(surgisam, vos, model, "--gt_root", vos / "Annotations", "--gpu_id", 0, "-q")
    assert done.exit_code == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[0] == ["video", "object", "j", "f", "j_and_f", "dsc"]
    assert [line[:2] for line in lines[1:]] == [
        ["one", "1"], ["one", "2"], ["two", "1"], ["two", "2"], ["mean", "4"],
    ]  # fmt: skip
    for video in ("one", "two"):
        files = sorted((vos / "out" / video).iterdir())
        assert [f.name for f in files] == [f"{k:05d}.png" for k in range(6)]
        with Image.open(files[0]) as image:
            assert image.mode == "P"
            assert image.getpalette()[3:6] == [128, 0, 0]
    assert not (read_labels(vos / "out" / "two")[:3] == 2).any()
    # a mask that prompts comes back from the network's coarser grid, as in SAM 2
    masks = [read_labels(vos / kind / "two")[3] == 2 for kind in ("out", "Annotations")]
    assert np.mean(masks[0] != masks[1]) < 0.02


def test_infer_vos_keeps_objects_apart_in_files_of_their_own(surgisam, vos, model):
    assert infer(surgisam, vos, model, "-q").exit_code == 0
    together = read_labels(vos / "out" / "one")
    for video in ("one", "two"):
        for file in sorted((vos / "Inputs" / video).glob("*.png")):
            labels = read_labels(file)[0]
            for number in (1, 2):
                folder = vos / "Inputs" / video / f"{number:03d}"
                folder.mkdir(exist_ok=True)
                write_palette_png(folder / file.name, (labels == number).astype(np.uint8))
    done = infer(surgisam, vos, model, "-q", "--per_obj_png_file", out="apart")
    assert done.exit_code == 0, done.stderr
    for number in (1, 2):
        own = read_labels(vos / "apart" / "one" / f"{number:03d}")
        assert (own[together == number] == 1).all()


def test_infer_vos_says_what_is_missing(surgisam, vos, model):
    for file in (vos / "Inputs" / "one").iterdir():
        file.unlink()
    done = infer(surgisam, vos, model, "-q")
    assert done.exit_code == 2
    assert "one has no mask to start from" in done.stderr
    (vos / "videos.txt").write_text("two\n\n")
    assert infer(surgisam, vos, model, "-q", "--video_list_file", vos / "videos.txt").exit_code == 0
    (vos / "videos.txt").write_text("three\n")
    done = infer(surgisam, vos, model, "-q", "--video_list_file", vos / "videos.txt")
    assert "no folder for three" in done.stderr


def test_convert_prints_where(tmp_path):
    root = tmp_path / "endovis18"
    for kind in ("left_frames", "labels"):
        (root / "seq_1" / kind).mkdir(parents=True)
        Image.new("RGB", (8, 6)).save(root / "seq_1" / kind / "frame000.png")
    (root / "labels.json").write_text('[{"name": "tissue", "color": [0, 0, 0], "classid": 0}]')
    done = CliRunner().invoke(app, ["convert", "endovis18", str(root), str(tmp_path / "vos"), "-q"])
    assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "vos"))
    assert (tmp_path / "vos" / "classes.csv").exists()


def test_some_of_the_cases_can_be_chosen(surgisam, dataset, tmp_path):
    arguments = ("evaluate", dataset, "--protocol", "image", "-q", "--out")
    globs = ("--cases", "film0", "--cases", "*2")
    assert surgisam(*arguments, tmp_path / "a", *globs).exit_code == 0
    rows = rows_of(tmp_path / "a" / "scores.csv")
    assert {row["case"] for row in rows} == {"film0", "film2"}
    refused = surgisam(*arguments, tmp_path / "b", "--cases", "movie*")
    assert refused.exit_code == 2
    assert "the first are film0, film1" in refused.stderr


def test_labels_that_are_floats_fail_their_case(surgisam, dataset, tmp_path):
    labels = tifffile.imread(dataset / "labels" / "film0.tif") * 1.5
    tifffile.imwrite(dataset / "labels" / "film0.tif", labels.astype(np.float32))
    out = tmp_path / "report"
    done = surgisam("evaluate", dataset, "--protocol", "video", "-q", "--out", out)
    assert done.exit_code == 1
    assert "float32, not labels" in done.stderr
    assert {row["case"] for row in rows_of(out / "scores.csv")} == {"film1", "film2"}
