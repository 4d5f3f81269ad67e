"""What a crash leaves is found again, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_surgisam.formats.open_sessions import OpenSessions, sessions_folder
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_state import SessionState, SourceRecord

STATE = SessionState(SourceRecord("", "f", "", 9, (8, 8)))


@pytest.fixture
def notes(tmp_path):
    return OpenSessions(tmp_path / "sessions")


def begun(notes, path):
    notes.note(path)
    folder = SessionFolder(path, new=True)
    folder.save(STATE)
    return folder


def test_a_session_that_is_open_or_was_closed_is_not_interrupted(notes, tmp_path):
    assert notes.interrupted() == []
    first = begun(notes, notes.new_path("a film"))
    second = begun(notes, tmp_path / "named.surgisam")
    assert notes.interrupted() == []
    for folder in (first, second):
        folder.close()
        notes.forget(folder.path)
    assert notes.interrupted() == []
    assert not first.path.exists(), "a session without a name and a note is left over"
    assert second.path.exists()


def test_the_latest_of_the_interrupted_comes_first(notes, tmp_path):
    paths = [notes.new_path("a"), tmp_path / "b.surgisam", notes.new_path("c")]
    for age, path in enumerate(paths):
        begun(notes, path).close()
        os.utime(path / "session.json", (age, age))
    assert notes.interrupted() == paths[::-1]


def test_a_note_of_a_session_that_is_gone_goes_too(notes, tmp_path):
    notes.note(tmp_path / "gone.surgisam")
    (notes.folder / "odd.json").write_text("{")
    assert notes.interrupted() == []
    assert [file.name for file in notes.folder.iterdir()] == ["odd.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_leaves_its_session_to_be_resumed(notes, tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from formats.test_open_sessions import STATE, begun
from napari_surgisam.formats.open_sessions import OpenSessions
notes = OpenSessions(Path({str(notes.folder)!r}))
folder = begun(notes, notes.new_path("film"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *sys.path])}
    subprocess.run([sys.executable, "-c", code], env=environment, timeout=120)
    (path,) = notes.interrupted()
    again = SessionFolder(path)
    assert again.read().source == STATE.source
    assert notes.interrupted() == []
    again.close()


def test_names_are_fit_for_files(notes):
    path = notes.new_path("a/b: 手术 №1" + "x" * 99)
    assert path.parent == notes.folder and path.suffix == ".surgisam" and len(path.name) < 60
    assert notes.new_path("").name.startswith("session-")


def test_the_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("SURGISAM_SESSIONS", str(tmp_path))
    assert sessions_folder() == tmp_path
    monkeypatch.delenv("SURGISAM_SESSIONS")
    assert "napari-surgisam" in str(sessions_folder())
