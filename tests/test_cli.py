"""The shell: results on stdout, words on stderr, exit code 0 only on success."""

import csv
import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np
import pytest
import tifffile
import zarr
from file_server import serving
from PIL import Image
from typer.testing import CliRunner, Result

from napari_surgisam.cli import app
from napari_surgisam.cli.run import write_masks
from napari_surgisam.engine import registry
from napari_surgisam.engine.focus import Focus
from napari_surgisam.resources import sample_data

LENGTH, HEIGHT, WIDTH = 6, 40, 56
POINTS = "index,axis-0,axis-1,axis-2,object_id,polarity\n"
CLICKS = f"{POINTS}0,2,20,20,1,positive\n1,2,30,50,1,negative\n2,2,10,40,7,positive\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (LENGTH, HEIGHT, WIDTH), np.uint8)


@pytest.fixture
def work(tmp_path: Path, stack: np.ndarray) -> Path:
    """A folder with a volume, clicks, and room for an output."""
    folder = tmp_path / "work"
    folder.mkdir()
    tifffile.imwrite(folder / "volume.tif", stack)
    (folder / "clicks.csv").write_text(CLICKS)
    return folder


@pytest.fixture
def propagate(work: Path, model: Path):
    """Run `propagate` on the volume with its clicks, unless told otherwise."""

    def run(*extra: str, source="volume.tif", prompts="clicks.csv", out="labels.tif") -> Result:
        files = ["--prompts", work / prompts] if prompts else []
        paths = [work / source, *files, "--out", work / out, "--model", model]
        return CliRunner().invoke(app, ["propagate", *map(str, paths), *extra])

    return run


def surgisam(
    arguments: Sequence[object], cwd: Path | None = None, **options
) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "napari_surgisam", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=cwd, **options)


# --- help ----------------------------------------------------------------------------------


def test_without_arguments_it_shows_five_commands():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if line.startswith("  ")]
    assert len(lines) == 5
    assert {line.split()[0] for line in lines} == {"surgisam", "napari"}


def test_help_costs_less_than_a_second_of_a_processor():
    surgisam(["--help"])  # fills the caches
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = surgisam(["--help"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0 and "propagate" in result.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


def test_an_unknown_command_or_option_is_wrong_input():
    for arguments in (["segmentate"], ["demo", "--gpu"], ["propagate"], ["models", "drop"]):
        result = CliRunner().invoke(app, arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr


# --- propagate -----------------------------------------------------------------------------


def read(path: Path) -> np.ndarray:
    if path.suffix == ".tif":
        return tifffile.imread(path)
    if path.suffix == ".zarr":
        return np.asarray(zarr.open_array(str(path), mode="r")[...])
    if path.suffix == ".gz":
        return np.asarray(nib.load(path).dataobj).T
    return np.stack([np.asarray(Image.open(file)) for file in sorted(path.glob("*.png"))])


def test_labels_of_every_kind_hold_the_same_masks(propagate, work):
    arrays = []
    for out in ("labels.tif", "labels.zarr", "labels.nii.gz", "labels"):
        result = propagate("--quiet", out=out)
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"{work / out}\n"
        arrays.append(read(work / out))
    for array in arrays:
        assert array.shape == (LENGTH, HEIGHT, WIDTH)
        assert array.dtype == np.uint8
        assert np.array_equal(array, arrays[0])
    assert set(np.unique(arrays[0])) <= {0, 1, 7}
    assert (arrays[0] > 0).any()


@pytest.mark.parametrize(
    ("extra", "expected"),
    [((), Focus()), (("--focus", "auto"), Focus()), (("--focus", "off"), None)],
)
def test_the_focus_window_is_a_choice(propagate, monkeypatch, extra, expected):
    used = []

    def recording(frames, book, plan, tracker, writer, **options):
        used.append(tracker.focus)
        return write_masks(frames, book, plan, tracker, writer, **options)

    monkeypatch.setattr("napari_surgisam.cli.run.write_masks", recording)
    assert propagate("-q", *extra).exit_code == 0
    assert used == [expected]


def test_progress_goes_to_stderr_alone(propagate, work):
    result = propagate()
    assert result.exit_code == 0
    assert result.stdout == f"{work / 'labels.tif'}\n"
    assert "Propagating" in result.stderr and "6/6" in result.stderr


def test_scores_have_a_row_per_frame_and_object(propagate, work):
    assert propagate("--scores", str(work / "scores.csv")).exit_code == 0
    labels = read(work / "labels.tif")
    with (work / "scores.csv").open(newline="") as file:
        assert file.readline() == "frame,object_id,predicted_iou,presence,area\n"
        rows = [[float(v) for v in row] for row in csv.reader(file)]
    assert [row[:2] for row in rows] == [[f, k] for f in range(LENGTH) for k in (1, 7)]
    for frame, object_id, iou, _, area in rows:
        assert 0 <= iou <= 1
        assert area == (labels[int(frame)] == object_id).sum()


def frames_of(path: Path) -> list[int]:
    with path.open(newline="") as file:
        return sorted({int(row["frame"]) for row in csv.DictReader(file)})


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        pytest.param([], [0, 1, 2, 3, 4, 5], id="volumes-outward"),
        pytest.param(["--plan", "first-n"], [2, 3, 4, 5], id="first-n"),
        pytest.param(["--plan", "forward", "--span", "0:4"], [2, 3], id="forward-span"),
        pytest.param(["--plan", "backward"], [0, 1, 2], id="backward"),
        pytest.param(["--span=1:-1"], [1, 2, 3, 4], id="outward-span"),
    ],
)
def test_plan_and_span_decide_which_frames_are_visited(propagate, work, options, frames):
    scores = work / "scores.csv"
    assert propagate("--scores", str(scores), *options).exit_code == 0
    assert frames_of(scores) == frames


def test_a_movie_runs_forward_unless_told(work, model):
    rows = "index,axis-0,axis-1,axis-2,object_id,polarity\n0,45,200,300,1,positive\n"
    (work / "late.csv").write_text(rows)
    arguments = ["--prompts", work / "late.csv", "--out", work / "l.zarr", "--model", model]
    command = ["propagate", sample_data() / "clip.mp4", *arguments, "--scores", work / "s.csv"]
    assert CliRunner().invoke(app, list(map(str, command))).exit_code == 0
    assert frames_of(work / "s.csv") == [45, 46, 47]
    assert read(work / "l.zarr").shape == (48, 480, 640)


def test_nifti_labels_lie_on_the_source(work, model):
    samples = sample_data()
    source, out = samples / "volume.nii.gz", work / "labels.nii.gz"
    arguments = [source, "--prompts", samples / "volume_prompts.csv", "--out", out, "-q"]
    command = ["propagate", *arguments, "--model", model, "--span", "14:19"]
    assert CliRunner().invoke(app, list(map(str, command))).exit_code == 0
    labels, image = nib.load(out), nib.load(source)
    assert labels.shape == image.shape
    assert np.array_equal(labels.affine, image.affine)
    assert labels.header.get_data_dtype() == np.uint8


def test_another_axis_runs_along_columns(propagate, work):
    (work / "side.csv").write_text(f"{POINTS}0,3,20,30,1,positive\n")
    scores = work / "scores.csv"
    assert propagate("--axis", "2", "--scores", str(scores), prompts="side.csv").exit_code == 0
    assert frames_of(scores) == list(range(WIDTH))
    assert read(work / "labels.tif").shape == (LENGTH, HEIGHT, WIDTH)


def test_one_volume_of_a_series_and_one_channel_can_be_chosen(propagate, work, stack):
    series = np.stack([np.zeros_like(stack), stack])
    np.save(work / "series.npy", series)
    np.save(work / "channels.npy", np.stack([np.zeros_like(stack), stack], axis=-1))
    assert propagate("-q").exit_code == 0
    expected = read(work / "labels.tif")
    assert propagate("-q", "--at", "0=1", source="series.npy", out="a.tif").exit_code == 0
    assert np.array_equal(read(work / "a.tif"), expected)
    result = propagate("-q", "--channel", "1", source="channels.npy", out="b.tif")
    assert result.exit_code == 0
    assert np.array_equal(read(work / "b.tif"), expected)


def test_a_window_stretches_the_values_that_the_model_sees(propagate, work, stack):
    np.save(work / "wide.npy", stack.astype(np.int16) * 16 - 1000)
    assert propagate("-q").exit_code == 0
    window = "--window=-1000:3080"  # 255 x 16 - 1000
    assert propagate("-q", window, source="wide.npy", out="a.tif").exit_code == 0
    assert np.array_equal(read(work / "a.tif"), read(work / "labels.tif"))


def test_a_picture_is_a_clip_of_one_frame(propagate, work, stack):
    Image.fromarray(stack[0]).save(work / "picture.png")
    (work / "flat.csv").write_text("index,axis-0,axis-1\n0,20,20\n")
    assert propagate(source="picture.png", prompts="flat.csv").exit_code == 0
    assert read(work / "labels.tif").shape == (HEIGHT, WIDTH)


def test_points_and_boxes_come_from_several_files(propagate, work):
    corners = ((5, 5), (5, 30), (25, 30), (25, 5))
    rows = [f"0,rectangle,{k},1,{y},{x},300" for k, (y, x) in enumerate(corners)]
    header = "index,shape-type,vertex-index,axis-0,axis-1,axis-2,object_id"
    (work / "boxes.csv").write_text("\n".join([header, *rows]))
    scores = work / "scores.csv"
    result = propagate("--prompts", str(work / "boxes.csv"), "--scores", str(scores))
    assert result.exit_code == 0
    assert read(work / "labels.tif").dtype == np.uint16  # 300 does not fit in a byte
    assert {row.split(",")[1] for row in scores.read_text().splitlines()[1:]} == {"1", "7", "300"}


def test_existing_output_is_replaced_only_when_asked(propagate, work):
    (work / "labels.tif").write_text("mine")
    result = propagate()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--overwrite" in result.stderr
    assert (work / "labels.tif").read_text() == "mine"
    assert propagate("--overwrite").exit_code == 0
    assert read(work / "labels.tif").shape == (LENGTH, HEIGHT, WIDTH)


# --- wrong input ---------------------------------------------------------------------------


def click(row: str) -> dict[str, str]:
    return {"clicks.csv": f"{POINTS}{row}\n"}


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        pytest.param({}, {"source": "gone.mp4"}, "does not exist", id="no-source"),
        pytest.param({"a.mp4": ""}, {"source": "a.mp4"}, "empty file", id="empty-movie"),
        pytest.param({"a.mp4": "x" * 999}, {"source": "a.mp4"}, "a.mp4", id="no-movie"),
        pytest.param({"a.doc": "x"}, {"source": "a.doc"}, "ending", id="unknown-source"),
        pytest.param({}, {"prompts": "gone.csv"}, "do not exist", id="no-prompts-file"),
        pytest.param({"clicks.csv": POINTS}, {}, "no prompts", id="no-prompts"),
        pytest.param({"clicks.csv": ""}, {}, "no prompts", id="empty-prompts-file"),
        pytest.param({"clicks.csv": "a,b\n1,2\n"}, {}, "no table of prompts", id="other-table"),
        pytest.param(click("0,2,400,20,1,positive"), {}, "outside frame 2", id="outside"),
        pytest.param(click("0,9,20,20,1,positive"), {}, "frames 0 to 5", id="beyond-the-end"),
        pytest.param(click("0,2,20,20,0,positive"), {}, "object_id is '0'", id="object-0"),
        pytest.param(click("0,2,20,20,1.5,positive"), {}, "object_id", id="object-fraction"),
        pytest.param(click("0,2,20,20,65536,positive"), {}, "65535", id="object-too-large"),
        pytest.param(click("0,2,nan,20,1,positive"), {}, "finite", id="not-a-number"),
        pytest.param(click("0,2,20,20,1,perhaps"), {}, "polarity", id="no-polarity"),
        pytest.param(click("0,2,20,20,1,negative"), {}, "Object 1 has", id="negative-only"),
        pytest.param({}, {"out": "labels.doc"}, "ending", id="unknown-output"),
        pytest.param({}, {"out": "gone/labels.tif"}, "does not exist", id="no-output-folder"),
        pytest.param({}, {"out": "volume.tif"}, "both input and output", id="output-is-input"),
        pytest.param({}, ["--model", "sam9"], "no model 'sam9'", id="unknown-model"),
        pytest.param(
            {}, ["--model", "sam2.1_hiera_tiny"], "surgisam models fetch", id="model-not-here"
        ),
        pytest.param({"m.pt": "x"}, ["--model", "m.pt"], "not a model file", id="no-model-file"),
        pytest.param({}, ["--plan", "sideways"], "outward", id="unknown-plan"),
        pytest.param({}, ["--span", "x"], "10:20", id="no-span"),
        pytest.param({}, ["--span", "4:2"], "holds no frame", id="empty-span"),
        pytest.param({}, ["--axis", "3"], "no axis 3", id="no-axis"),
        pytest.param({}, ["--window", "bright"], "auto", id="no-window"),
        pytest.param({}, ["--window", "9:1"], "smaller", id="inverted-window"),
        pytest.param({}, ["--channel", "9"], "channel 9", id="no-channel"),
        pytest.param({}, ["--at", "0"], "--at", id="no-index"),
        pytest.param({}, ["--at", "0=1", "--at", "0=2"], "twice", id="index-twice"),
        pytest.param({}, ["--image-size", "500"], "multiple of 32", id="image-size"),
        pytest.param({}, ["--policy", "all"], "no memory policy 'all'", id="unknown-policy"),
        pytest.param(
            {}, ["--policy", "diverse:frames=x"], "frames=x: it must be", id="policy-setting"
        ),
        pytest.param({}, ["--device", "abacus"], "'abacus' is not available", id="device"),
        pytest.param({}, ["--precision", "int4"], "'int4' is unknown", id="precision"),
        pytest.param({"s.csv": "mine"}, ["--scores", "s.csv"], "--overwrite", id="scores-exist"),
        pytest.param({}, ["--scores", "labels.tif"], "both input and output", id="scores-is-out"),
        pytest.param({}, ["--scores", "gone/s.csv"], "does not exist", id="no-scores-folder"),
        pytest.param({}, ["--focus", "on"], "choose auto, off, or default", id="focus"),
    ],
)
def test_wrong_input_is_said_in_a_sentence_and_leaves_nothing(
    propagate, work, monkeypatch, files, arguments, message
):
    monkeypatch.chdir(work)
    for name, text in files.items():
        (work / name).write_text(text)
    before = {path.name: path.read_bytes() for path in work.iterdir()}
    named = arguments if isinstance(arguments, dict) else {}
    result = propagate(*(() if named else arguments), **named)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.startswith("surgisam: ") and result.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in work.iterdir()} == before


@pytest.mark.parametrize("values", ["nan", "infinite", "constant"])
def test_odd_but_readable_values_are_segmented(propagate, work, stack, values):
    odd = stack.astype(np.float32)
    if values == "constant":
        odd[:] = 7
    else:
        odd[1:3, :9] = {"nan": np.nan, "infinite": np.inf}[values]
    np.save(work / "odd.npy", odd)
    assert propagate(source="odd.npy").exit_code == 0


def test_a_volume_of_one_slice_is_segmented(propagate, work, stack):
    tifffile.imwrite(work / "slice.tif", stack[:1], metadata={"axes": "ZYX"})
    (work / "one.csv").write_text(f"{POINTS}0,0,20,20,1,positive\n")
    assert propagate(source="slice.tif", prompts="one.csv", out="labels.zarr").exit_code == 0
    assert read(work / "labels.zarr").reshape(-1, HEIGHT, WIDTH).shape[0] == 1


def test_a_truncated_movie_gives_what_is_readable_and_fails(work, model):
    whole = (sample_data() / "clip.mp4").read_bytes()
    cut = work / "cut.mkv"
    _as_matroska(sample_data() / "clip.mp4", cut)
    cut.write_bytes(cut.read_bytes()[: len(whole) // 2])
    rows = f"{POINTS}0,0,200,300,1,positive\n"
    (work / "first.csv").write_text(rows)
    command = ["propagate", cut, "--prompts", work / "first.csv", "--out", work / "l.zarr"]
    result = CliRunner().invoke(app, [*map(str, command), "--model", str(model), "-q"])
    assert result.exit_code == 2
    found = re.search(r"last readable frame is (\d+)", result.stderr)
    assert found
    assert read(work / "l.zarr").shape == (int(found[1]) + 1, 480, 640)
    assert 0 < int(found[1]) < 47


def _as_matroska(source: Path, target: Path) -> None:
    """Copy the packets to a container that can be read without its end."""
    import av

    with av.open(source) as reader, av.open(target, "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for packet in reader.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                writer.mux(packet)


def test_a_full_disk_keeps_the_frames_that_were_done(work, model):
    limit = 60_000  # bytes that a file may have, so that only the finished TIFF is too large
    noise = np.random.default_rng(1).integers(0, 255, (LENGTH, 400, 600), np.uint8)
    np.save(work / "large.npy", noise)
    arguments = ["--prompts", work / "clicks.csv", "--out", work / "labels.nii", "--model", model]
    result = surgisam(
        ["propagate", work / "large.npy", *arguments],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "no room for the labels" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (work / "labels.nii").exists()


def test_an_interrupt_ends_with_130_and_keeps_the_frames_that_were_done(work, model):
    np.save(work / "long.npy", np.zeros((3000, HEIGHT, WIDTH), np.uint8))
    arguments = ["--prompts", work / "clicks.csv", "--out", work / "labels.tif", "--model", model]
    command = [sys.executable, "-m", "napari_surgisam", "propagate", work / "long.npy", *arguments]
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it in `&`
    )
    try:
        deadline = time.monotonic() + 300
        while not list(work.glob("labels.tif.partial.zarr/c/2*")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, words = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, output) == (130, "")
    assert "Traceback" not in words and "interrupted" in words
    assert not (work / "labels.tif").exists()
    kept = work / "labels.tif.partial.zarr"
    assert str(kept) in words
    assert read(kept).shape == (3000, HEIGHT, WIDTH)
    assert "--resume" in words
    partial = [f"labels.tif.partial.{kind}" for kind in ("masks", "memories", "zarr")]
    assert sorted(os.listdir(work)) == ["clicks.csv", *partial, "long.npy", "volume.tif"]


# --- memory policies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], "RecentFrames()", id="auto-is-the-models-own"),
        pytest.param(["--policy", "confident"], "ConfidentFrames(min_trust=0.01)", id="by-name"),
        pytest.param(
            ["--policy", "split-pruning:mode=published,prune=2"],
            "SplitPruning(mode='published', prune=2)",
            id="with-settings",
        ),
    ],
)
def test_the_chosen_policy_reaches_the_tracker(propagate, monkeypatch, arguments, expected):
    from napari_surgisam.engine import tracker

    seen, real = [], tracker.Tracker

    def noting(network, policy, **options):
        seen.append(repr(policy))
        return real(network, policy, **options)

    monkeypatch.setattr(tracker, "Tracker", noting)
    assert propagate(*arguments).exit_code == 0
    assert seen == [expected]


def test_a_model_for_boxes_says_so_where_there_are_only_points(capsys):
    from napari_surgisam.cli.run import advise_on_prompts
    from napari_surgisam.data.prompts import Box, Point, Prompt, PromptBook

    clicked = Prompt(3, 0, (Point(4, 4),))
    boxed = Prompt(5, 0, box=Box(1, 1, 8, 8))
    book = PromptBook().with_prompt(boxed)
    advise_on_prompts("medsam2", book)
    advise_on_prompts("surgisam2", book.with_prompt(clicked))
    assert capsys.readouterr().err == ""
    advise_on_prompts("medsam2", book.with_prompt(clicked))
    assert "boxes" in (words := capsys.readouterr().err) and "(objects 3)" in words


# --- models --------------------------------------------------------------------------------


def test_models_are_listed_as_a_table_that_programs_read():
    for arguments in (["models"], ["models", "list"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0
        rows = [line.split("\t") for line in result.stdout.splitlines()]
        assert rows[0][:3] == ["name", "here", "megabytes"]
        assert [row[0] for row in rows[1:]] == list(registry.MODELS)
        assert {len(row) for row in rows} == {7}
        assert ["sam2.1_hiera_tiny", "no", "156"] in [row[:3] for row in rows]
        assert ["surgsam2_2.1", "no", "-", "512", "efficient-pruning"] in [r[:5] for r in rows]


def test_info_says_what_is_known():
    result = CliRunner().invoke(app, ["models", "info", "sam2.1_hiera_tiny"])
    facts = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert facts["licence"] == "Apache-2.0"
    assert facts["file size"] == "156008466 bytes"
    assert len(facts["sha256"]) == 64
    assert facts["here"] == "no"
    wrong = CliRunner().invoke(app, ["models", "info", "sam"])
    assert wrong.exit_code == 2 and "no model 'sam'" in wrong.stderr


def test_fetch_resumes_over_http_and_prints_the_path(cache, monkeypatch):
    content = np.random.default_rng(0).bytes(3 << 20)
    with serving() as server:
        server.files["/tiny.pt"] = content
        spec = replace(
            registry.MODELS["sam2.1_hiera_tiny"],
            url=f"{server.url}/tiny.pt",
            nbytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        known = MappingProxyType({**registry.MODELS, spec.name: spec})
        monkeypatch.setattr(registry, "MODELS", known)
        server.break_after = 1 << 20
        broken = CliRunner().invoke(app, ["models", "fetch", spec.name])
        assert (broken.exit_code, broken.stdout) == (2, "")
        assert "fetch the model again to continue" in broken.stderr
        server.break_after = None
        whole = CliRunner().invoke(app, ["models", "fetch", spec.name, "--quiet"])
    assert (whole.exit_code, whole.stderr) == (0, "")
    assert Path(whole.stdout.strip()).read_bytes() == content
    assert server.ranges == [None, "bytes=1048576-"]


def test_an_imported_model_is_listed_and_used_by_name(model, propagate, monkeypatch):
    result = CliRunner().invoke(app, ["models", "import", str(model), "--as", "mine"])
    assert (result.exit_code, result.stdout) == (0, "mine\n")
    listed = CliRunner().invoke(app, ["models", "list"]).stdout
    assert any(line.startswith("mine\tyes\t") for line in listed.splitlines())
    assert propagate("--model", "mine").exit_code == 0


def test_a_file_that_is_no_model_is_refused(work):
    result = CliRunner().invoke(app, ["models", "import", str(work / "volume.tif")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("surgisam: ") and "volume.tif" in result.stderr


# --- demo ----------------------------------------------------------------------------------


@pytest.mark.sam2
def test_the_demo_segments_the_sample_clip_without_internet_or_qt(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    nowhere = "http://127.0.0.1:9"  # a proxy that is not there
    environment |= {"http_proxy": nowhere, "https_proxy": nowhere}
    result = surgisam(["demo", "--out", tmp_path / "demo"], env=environment)
    assert result.returncode == 0, result.stderr
    agreement = dict(re.findall(r"^object (\d+): DSC (0\.\d{3})$", result.stdout, re.MULTILINE))
    assert len(result.stdout.splitlines()) == len(agreement) == 3
    assert {k: v for k, v in agreement.items() if float(v) < 0.85} == {}
    labels = tifffile.imread(tmp_path / "demo" / "surgisam_demo_labels.tif")
    assert labels.shape == (48, 480, 640)
    with Image.open(tmp_path / "demo" / "surgisam_demo_overlay.png") as picture:
        assert picture.size == (3 * 640, 2 * 480)


@pytest.mark.sam2
def test_the_demo_needs_a_folder_it_can_write_to(work):
    result = CliRunner().invoke(app, ["demo", "--out", str(work / "volume.tif")])
    assert result.exit_code == 2
    assert "cannot be made" in result.stderr
