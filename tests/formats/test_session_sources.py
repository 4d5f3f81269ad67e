"""A session's source is found where it went, and refused where it is another."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from formats.movies import Recipe

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import SourceChangedError, SourceMovedError
from napari_surgisam.formats.session_sources import describe_source, find_source, is_source
from napari_surgisam.formats.sources import open_source


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 2000, (40, 24, 32), np.uint16)


@pytest.fixture
def scan(tmp_path, stack):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "scan.tif"
    tifffile.imwrite(path, stack)
    return path


def recorded(scan, folder):
    record = describe_source(open_source(scan), scan)
    return replace(record, relative=os.path.relpath(scan, folder.parent))


def test_it_is_found_where_it_was_and_where_it_moved_with_the_session(scan, tmp_path):
    session = tmp_path / "data" / "scan.surgisam"
    record = recorded(scan, session)
    frames, path = find_source(record, session)
    assert path == scan and is_source(frames, record)
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / "scan.surgisam"
    assert find_source(record, moved)[1] == tmp_path / "elsewhere" / "scan.tif"


def test_a_copy_with_another_date_is_the_same_and_keeps_the_window(scan, tmp_path, stack):
    record = recorded(scan, tmp_path / "s.surgisam")
    assert record.window[0] < record.window[1]
    copy = tmp_path / "copy.tif"
    shutil.copy(scan, copy)
    os.utime(copy, (1, 1))
    scan.unlink()
    with pytest.raises(SourceMovedError, match=r"scan\.tif") as moved:
        find_source(record, tmp_path / "s.surgisam")
    assert moved.value.name == "scan.tif"
    frames, _ = find_source(record, tmp_path / "s.surgisam", copy)
    np.testing.assert_array_equal(frames.read(7), ArrayFrames(stack, window=record.window).read(7))


@pytest.mark.parametrize("change", ["pixels", "length", "kind"])
def test_what_changed_is_refused_with_a_way_out(scan, tmp_path, stack, change):
    record = recorded(scan, tmp_path / "s.surgisam")
    if change == "kind":
        scan.write_text("no picture at all")
    else:
        tifffile.imwrite(scan, stack[:-1] if change == "length" else stack[::-1])
    with pytest.raises(SourceChangedError, match="--prompts-only") as changed:
        find_source(record, tmp_path / "s.surgisam")
    assert changed.value.path == str(scan)


def test_a_changed_file_beside_the_session_does_not_hide_the_original(scan, tmp_path, stack):
    session = tmp_path / "s.surgisam"
    record = recorded(scan, tmp_path / "data" / "x.surgisam")
    tifffile.imwrite(tmp_path / "scan.tif", stack[::-1])
    assert find_source(record, session)[1] == scan


def test_a_movie_is_known_by_its_packets(tmp_path):
    movie = Recipe(".mp4", "libx264").write(tmp_path / "film.mp4")
    record = describe_source(open_source(movie), movie)
    assert record.pixels == "" and record.window == "auto"
    os.utime(movie, (1, 1))
    shutil.move(movie, tmp_path / "other.mp4")
    assert find_source(record, tmp_path / "s.surgisam", tmp_path / "other.mp4")


def test_an_image_that_never_was_a_file_is_asked_for(tmp_path, stack):
    record = describe_source(ArrayFrames(stack), None)
    with pytest.raises(SourceMovedError, match="in memory") as moved:
        find_source(record, tmp_path / "s.surgisam")
    assert moved.value.name == ""
    path = tmp_path / "stack.npy"
    np.save(path, stack)
    assert is_source(find_source(record, tmp_path / "s.surgisam", path)[0], record)
