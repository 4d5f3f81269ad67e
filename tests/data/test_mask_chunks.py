"""Masks that leave memory and come back, and files that go with their last copy."""

import gc
import logging

import numpy as np
import pytest

from napari_surgisam.data.mask_chunks import MaskChunk, MaskShelf
from napari_surgisam.data.masklets import CHUNK, Masklet
from napari_surgisam.data.stored_masks import StoredMask


def mask(seed):
    logits = np.random.default_rng(seed).normal(0, 4, (16, 16)).astype(np.float32)
    return StoredMask.from_logits(
        logits, iou=0.5, presence=1.0, pointer=np.ones(4), conditioning=False, direction=1
    )


def masklet(frames, shelf=None):
    made = Masklet(1)
    for frame in frames:
        made = made.with_mask(frame, mask(frame))
        if shelf is not None:
            shelf.keep([made.chunk(frame)])
    return made


def assert_same(found, wanted):
    assert list(found) == list(wanted) and len(found) == len(wanted)
    for frame in wanted:
        np.testing.assert_array_equal(found[frame].logits(), wanted[frame].logits())
        assert found[frame].data == wanted[frame].data


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_chunk_is_a_mapping_in_the_order_of_its_frames():
    chunk = MaskChunk({70: mask(1), 64: mask(2), 127: mask(3)})
    assert list(chunk) == [64, 70, 127] and len(chunk) == 3
    assert 70 in chunk and 71 not in chunk and 0 not in chunk and 1000 not in chunk
    assert chunk.get(71) is None and chunk.get(63) is None
    assert list(chunk.with_mask(65, mask(4))) == [64, 65, 70, 127]
    assert list(chunk.without(64)) == [70, 127]
    assert list(MaskChunk({})) == []
    with pytest.raises(KeyError):
        chunk[65]


def test_beyond_the_budget_masks_are_on_disk_and_read_back(tmp_path):
    shelf = MaskShelf(100_000, tmp_path)
    frames = range(10, 10 + 5 * CHUNK)
    made, wanted = masklet(frames, shelf), masklet(frames)
    assert shelf.nbytes <= shelf.budget
    held = [chunk.in_memory for chunk in made.chunks.values()]
    assert held[-1] and held.count(False) == len(files(tmp_path)) >= 3
    assert made.nbytes == wanted.nbytes
    assert sum(file.stat().st_size for file in files(tmp_path)) < made.nbytes + len(made) * 300
    for _ in range(2):  # again and again, with no second file
        count = len(files(tmp_path))
        assert_same(made, wanted)
        assert shelf.nbytes <= shelf.budget
    assert len(files(tmp_path)) <= count + 1
    changed = made.with_mask(20, mask(999))
    assert changed[20].data == mask(999).data and made[20].data == mask(20).data
    assert_same(made.without([20]), masklet(f for f in frames if f != 20))


def test_copies_share_what_is_on_disk_and_its_file_goes_with_the_last(tmp_path):
    shelf = MaskShelf(0, tmp_path)
    old = masklet(range(2 * CHUNK), shelf)
    new = old.with_mask(2 * CHUNK, mask(0))
    shelf.keep(new.chunks.values())
    assert all(old.chunks[n] is new.chunks[n] for n in (0, 1))
    assert len(files(tmp_path)) == 2
    del new
    assert_same(old, masklet(range(2 * CHUNK)))
    del old
    gc.collect()
    assert files(tmp_path) == [] and shelf.nbytes == 0


def test_masks_outlive_their_shelf_and_can_change_it(tmp_path):
    old = masklet(range(3 * CHUNK), MaskShelf(0, tmp_path))
    gc.collect()
    second = MaskShelf(0, tmp_path)
    second.keep(old.chunks.values())
    assert_same(old, masklet(range(3 * CHUNK)))
    stripped = old.without_pointers()
    assert {m.pointer.size for m in (stripped[f] for f in stripped)} == {0}
    assert second.nbytes < 2 * CHUNK * 2000


def test_a_full_disk_leaves_masks_in_memory(tmp_path, monkeypatch, caplog):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with caplog.at_level(logging.WARNING):
        made = masklet(range(3 * CHUNK), MaskShelf(0, tmp_path))
    assert 0 < caplog.text.count("No space left") < 20
    assert_same(made, masklet(range(3 * CHUNK)))
