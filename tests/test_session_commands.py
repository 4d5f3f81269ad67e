"""A session from the shell: saved by `propagate`, gone on with by `resume`."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner, Result

from napari_surgisam.cli import app
from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.formats.labels import read_labels
from napari_surgisam.formats.session_folder import SessionFolder

LENGTH, HEIGHT, WIDTH = 6, 40, 56
CLICKS = (
    "index,axis-0,axis-1,axis-2,object_id,polarity\n0,2,20,20,1,positive\n1,2,10,40,7,positive\n"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def work(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a volume, its clicks, and a session that `propagate` saved."""
    folder = tmp_path / "work"
    folder.mkdir()
    stack = np.random.default_rng(0).integers(0, 2000, (LENGTH, HEIGHT, WIDTH), np.uint16)
    tifffile.imwrite(folder / "volume.tif", stack)
    (folder / "clicks.csv").write_text(CLICKS)
    monkeypatch.chdir(folder)
    options = ["--prompts", "clicks.csv", "--out", "labels.tif", "--model", str(model), "--quiet"]
    made = run("propagate", "volume.tif", *options, "--session", "volume.surgisam")
    assert (made.exit_code, made.stdout) == (0, "labels.tif\n"), made.stderr
    return folder


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


def edited(path: Path, change) -> None:
    folder = SessionFolder(path)
    folder.save(change(folder.read()))
    folder.close()


def test_a_session_holds_what_propagate_made(work, model):
    folder = SessionFolder(work / "volume.surgisam")
    state = folder.read()
    folder.close()
    assert state.source.path == str(work / "volume.tif") and state.source.window != "auto"
    assert state.model.name == str(model) and len(state.model.sha256) == 64
    assert state.order == "outward" and set(state.annotation.book.entries) == {(1, 2), (7, 2)}
    labels = read_labels(work / "labels.tif")
    for frame in range(LENGTH):
        found = state.annotation.labels(frame, (HEIGHT, WIDTH))
        np.testing.assert_array_equal(found, labels[frame])


def test_resume_does_what_is_missing_and_writes_the_labels(work):
    def without_two(state):
        masklets = dict(state.annotation.masklets)
        masklets[ObjectId(1)] = masklets[ObjectId(1)].without([4, 5])
        return replace(state, annotation=replace(state.annotation, masklets=masklets))

    edited(work / "volume.surgisam", without_two)
    result = run("resume", "volume.surgisam", "--out", "again.tif")
    assert (result.exit_code, result.stdout) == (0, "again.tif\n"), result.stderr
    assert "2 masks were missing" in result.stderr
    whole, again = read_labels(work / "labels.tif"), read_labels(work / "again.tif")
    np.testing.assert_array_equal(again[:4], whole[:4])
    folder = SessionFolder(work / "volume.surgisam")
    annotation = folder.read().annotation
    assert len(annotation.masklets[1]) == len(annotation.masklets[7]) == LENGTH
    for frame in range(LENGTH):
        np.testing.assert_array_equal(annotation.labels(frame, (HEIGHT, WIDTH)), again[frame])
    folder.close()
    after = run("resume", "volume.surgisam")
    assert (after.exit_code, after.stdout) == (0, "volume.surgisam\n")
    assert "nothing was missing" in after.stderr
    refused = run("resume", "volume.surgisam", "--out", "again.tif")
    assert refused.exit_code == 2 and "--overwrite" in refused.stderr


def test_a_correction_is_carried_on(work):
    def clicked(state):
        prompt = Prompt(ObjectId(1), 4, (Point(30.0, 11.0),))
        return replace(state, annotation=state.annotation.with_prompt(prompt))

    edited(work / "volume.surgisam", clicked)
    result = run("resume", "volume.surgisam")
    assert result.exit_code == 0 and "out of date" in result.stderr
    folder = SessionFolder(work / "volume.surgisam")
    annotation = folder.read().annotation
    folder.close()
    assert annotation.mask(ObjectId(1), 4).conditioning
    assert not annotation.stale_spans(ObjectId(1)) and not annotation.drafts


def test_a_source_that_moved_is_asked_for_and_one_that_changed_is_refused(work):
    (work / "volume.tif").rename(work / "moved.tif")
    lost = run("resume", "volume.surgisam")
    assert lost.exit_code == 2
    assert "volume.tif" in lost.stderr and "--source" in lost.stderr
    found = run("resume", "volume.surgisam", "--source", "moved.tif")
    assert found.exit_code == 0, found.stderr
    assert run("resume", "volume.surgisam").exit_code == 0, "it does not know the new place"

    tifffile.imwrite(work / "other.tif", np.ones((LENGTH, HEIGHT, WIDTH), np.uint16))
    other = run("resume", "volume.surgisam", "--source", "other.tif")
    assert other.exit_code == 2
    assert "other content" in other.stderr and "--prompts-only" in other.stderr
    options = ["--source", "other.tif", "--prompts-only"]
    where = run("resume", "volume.surgisam", *options)
    assert where.exit_code == 2 and "--save-as" in where.stderr
    before = (work / "volume.surgisam" / "session.json").read_text()
    anew = run("resume", "volume.surgisam", *options, "--save-as", "other.surgisam")
    assert (anew.exit_code, anew.stdout) == (0, "other.surgisam\n"), anew.stderr
    assert (work / "volume.surgisam" / "session.json").read_text() == before
    folder = SessionFolder(work / "other.surgisam")
    state = folder.read()
    folder.close()
    assert state.source.path == str(work / "other.tif")
    assert len(state.annotation.masklets[1]) == LENGTH
    assert run("resume", "other.surgisam").exit_code == 0


def test_masks_of_another_file_of_the_model_are_made_anew(work, model, tmp_path):
    edited(
        work / "volume.surgisam",
        lambda state: replace(state, model=replace(state.model, sha256="0" * 64)),
    )
    before = (work / "volume.surgisam" / "session.json").read_text()
    refused = run("resume", "volume.surgisam")
    assert refused.exit_code == 2 and "--save-as" in refused.stderr
    anew = run("resume", "volume.surgisam", "--save-as", "new.surgisam")
    assert anew.exit_code == 0, anew.stderr
    assert (work / "volume.surgisam" / "session.json").read_text() == before
    folder = SessionFolder(work / "new.surgisam")
    assert not folder.read().annotation.stale_spans(ObjectId(1))
    folder.close()
    shutil.copy(model, tmp_path / "kept.safetensors")
    edited(
        work / "volume.surgisam",
        lambda state: replace(state, model=replace(state.model, name="/nowhere/mini.safetensors")),
    )
    gone = run("resume", "volume.surgisam")
    assert gone.exit_code == 2 and "mini.safetensors" in gone.stderr


def test_sessions_are_replaced_only_where_asked(work):
    options = ["--prompts", "clicks.csv", "--out", "new.tif", "--quiet"]
    exists = run("propagate", "volume.tif", *options, "--session", "volume.surgisam")
    assert exists.exit_code == 2 and "exists" in exists.stderr
    wrong = run("propagate", "volume.tif", *options, "--session", "volume")
    assert wrong.exit_code == 2 and ".surgisam" in wrong.stderr
    none = run("resume", "clicks.csv")
    assert none.exit_code == 2 and "no saved session" in none.stderr
    held = SessionFolder(work / "volume.surgisam")
    busy = run("resume", "volume.surgisam")
    held.close()
    assert busy.exit_code == 2 and "another window" in busy.stderr
    assert not (work / "new.tif").exists()
