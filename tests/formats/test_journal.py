"""A file of masks that only grows, and that a kill cannot spoil."""

import resource
import signal

import numpy as np
import pytest

from napari_surgisam.data.mask_records import StepMasks
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import DataError
from napari_surgisam.formats.journal import Journal

SETTINGS = {"model": "tiny", "plan": "first-n"}


def step(frame):
    rng = np.random.default_rng(frame)
    logits = rng.normal(0, 4, (16, 16)).astype(np.float32)
    stored = StoredMask.from_logits(
        logits, iou=0.5, presence=1.0, pointer=np.zeros(4), conditioning=False, direction=1
    )
    return StepMasks(frame, 1, {1: stored, 2: stored})


def frames(journal):
    found = list(journal.records())
    assert all(set(record.masks) == {1, 2} and record.direction == 1 for record in found)
    return [record.frame for record in found]


def test_what_was_appended_is_read_in_order_and_appended_to(tmp_path):
    journal = Journal(tmp_path / "masks", SETTINGS)
    for frame in (3, 4, 5):
        journal.append(step(frame))
    assert frames(journal) == [3, 4, 5]
    journal.close()
    again = Journal(tmp_path / "masks", SETTINGS)
    again.append(step(6))
    assert frames(again) == [3, 4, 5, 6]
    np.testing.assert_array_equal(
        next(again.records()).masks[2].logits(), step(3).masks[2].logits()
    )
    again.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_was_being_written_is_cut_off_wherever_it_ends(tmp_path):
    path = tmp_path / "masks"
    journal = Journal(path, SETTINGS)
    journal.append(step(0))
    whole = path.stat().st_size
    journal.append(step(1))
    journal.close()
    data = path.read_bytes()
    for length in range(whole, len(data), 37):
        path.write_bytes(data[:length])
        torn = Journal(path, SETTINGS)
        assert frames(torn) == [0]
        torn.append(step(2))
        assert frames(torn) == [0, 2]
        torn.close()


def test_other_settings_and_other_files_are_refused(tmp_path):
    Journal(tmp_path / "masks", SETTINGS).close()
    with pytest.raises(DataError, match=r"begun otherwise \(model tiny, now large\).*--overwrite"):
        Journal(tmp_path / "masks", {**SETTINGS, "model": "large"})
    (tmp_path / "other").write_text("years of work")
    with pytest.raises(DataError, match="does not say how"):
        Journal(tmp_path / "other", SETTINGS)
    assert (tmp_path / "other").read_text() == "years of work"


def test_a_full_disk_leaves_whole_records(tmp_path):
    journal = Journal(tmp_path / "masks", SETTINGS)
    journal.append(step(0))
    size = (tmp_path / "masks").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append(step(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (tmp_path / "masks").stat().st_size == size
    journal.append(step(2))
    assert frames(journal) == [0, 2]
    journal.close()
