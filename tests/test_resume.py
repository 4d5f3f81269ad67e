"""A propagation that is killed goes on where it was, and ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_surgisam.cli import app
from napari_surgisam.formats.label_runs import begin_run
from napari_surgisam.formats.labels import read_labels
from napari_surgisam.formats.sources import open_source
from napari_surgisam.resources import sample_data

CLIP = sample_data() / "clip.mp4"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path / "cache"))


def command(out: Path, *extra: str, source: Path = CLIP) -> list[str]:
    prompts = ["--prompts", str(sample_data() / "clip_prompts.csv")]
    arguments = ["propagate", str(source), *prompts, "--out", str(out), "--quiet", *extra]
    return [sys.executable, "-m", "napari_surgisam", *arguments]


def run(out: Path, *extra: str, **options) -> subprocess.CompletedProcess:
    arguments = command(out, *extra, **options)
    return subprocess.run(arguments, capture_output=True, text=True, timeout=600)


def killed(out: Path, masks: Path, size: int, *extra: str) -> None:
    """Start a run and kill it, without a chance to clean up, when the masks reach a size."""
    process = subprocess.Popen(command(out, *extra), stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 300
        while not (masks.exists() and masks.stat().st_size > size) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        words = process.stderr.read().decode()
        process.stderr.close()
    assert process.returncode == -signal.SIGKILL, words


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(("name", "plan"), [("labels.tif", "first-n"), ("folder", "outward")])
def test_a_killed_run_loses_no_frame_and_goes_on_as_if_nothing_had_happened(tmp_path, name, plan):
    whole, out = tmp_path / f"whole{name}", tmp_path / name
    scores = tmp_path / "scores.csv"
    options = ("--plan", plan)
    assert run(whole, *options, "--scores", str(tmp_path / "whole.csv")).returncode == 0
    expected = read_labels(whole)
    spool = tmp_path / f"{name}.partial{'.zarr' if name.endswith('.tif') else ''}"
    masks = tmp_path / f"{name}.partial.masks"
    killed(out, masks, 1, *options)
    first = masks.stat().st_size
    killed(out, masks, first + 60_000, *options, "--resume")
    assert not out.exists()
    done = {p.name for p in (spool / "c" if name.endswith(".tif") else spool).iterdir()}
    assert 0 < len(done) < len(expected)
    again = CliRunner().invoke(app, command(out, *options)[3:])
    assert again.exit_code == 2 and "--resume" in again.stderr
    other = CliRunner().invoke(app, command(out, "--plan", "backward", "--resume")[3:])
    assert other.exit_code == 2 and "begun otherwise" in other.stderr

    result = run(out, *options, "--resume", "--scores", str(scores))
    assert (result.returncode, result.stdout) == (0, f"{out}\n"), result.stderr
    np.testing.assert_array_equal(read_labels(out), expected)
    assert scores.read_text() == (tmp_path / "whole.csv").read_text()
    left = {p.name for p in tmp_path.iterdir() if p.name not in ("cache", "clip_prompts.csv")}
    assert left == {name, f"whole{name}", "scores.csv", "whole.csv"}
    complete = CliRunner().invoke(app, command(out, *options, "--resume")[3:])
    assert (complete.exit_code, complete.stdout) == (0, f"{out}\n")
    assert "nothing to resume" in complete.stderr


def test_a_file_that_vanishes_is_named_and_the_run_goes_on_when_it_is_back(tmp_path):
    folder, away = tmp_path / "frames", tmp_path / "away.tif"
    folder.mkdir()
    frames = open_source(CLIP)
    for frame in range(46):
        tifffile.imwrite(folder / f"{frame:05d}.tif", frames.read(frame))
    (folder / "00030.tif").rename(away)
    (folder / "00030.tif").symlink_to(away)  # opens well, and is gone when it is read
    out = tmp_path / "labels.tif"
    assert run(out, source=folder).returncode == 0
    expected = read_labels(out)
    out.unlink()
    vanishing = subprocess.Popen(command(out, source=folder), stderr=subprocess.PIPE, text=True)
    masks = tmp_path / "labels.tif.partial.masks"
    while not masks.exists() and vanishing.poll() is None:
        time.sleep(0.005)
    away.rename(tmp_path / "elsewhere.tif")
    _, words = vanishing.communicate(timeout=300)
    assert vanishing.returncode == 2
    assert "00030.tif" in words and "--resume" in words and "Traceback" not in words
    (tmp_path / "elsewhere.tif").rename(away)
    assert run(out, "--resume", source=folder).returncode == 0
    np.testing.assert_array_equal(read_labels(out), expected)


def test_two_processes_never_write_the_same_labels(tmp_path):
    frames = open_source(CLIP)
    first = begin_run(tmp_path / "labels.zarr", frames, 3, {})
    first.write(0, np.ones(frames.shape, np.uint8))
    result = CliRunner().invoke(app, command(tmp_path / "labels.zarr", "--resume")[3:])
    assert result.exit_code == 2 and "another process" in result.stderr
    first.abort()
    assert os.listdir(tmp_path) == []
