"""Embeddings on disk: what is kept, what is evicted, and what a kill may leave."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
import torch

from napari_surgisam.engine import embedding_files
from napari_surgisam.engine.embedding_files import EmbeddingFiles
from napari_surgisam.engine.embeddings import EmbeddingCache, EmbeddingKey
from napari_surgisam.engine.network import FrameEmbedding

CPU = torch.device("cpu")
ENTRY = 320 + embedding_files._OVERHEAD
PLENTY = 10**9


def key(frame, source="film", encoder="tiny"):
    return EmbeddingKey(source, frame, encoder)


def embedding(value=0.0, dtype=torch.float32):
    finer = torch.full((1, 1, 8, 8), -value, dtype=dtype)
    return FrameEmbedding(torch.full((1, 1, 4, 4), value, dtype=dtype), (finer,), (48, 64))


def refuse():
    raise AssertionError("computed again")


def kept(files, frames):
    return [frame for frame in frames if key(frame) in files]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_embedding_comes_back_in_another_process(tmp_path, dtype):
    noise = torch.randn(1, 5, 4, 4).to(dtype)
    given = FrameEmbedding(noise, (torch.randn(1, 2, 8, 8).to(dtype),), (480, 854))
    first = EmbeddingFiles(tmp_path / "new" / "folder", PLENTY)
    assert first.read(key(3), CPU) is None
    assert first.keep(key(3), given).result(10)
    back = EmbeddingFiles(first.folder, PLENTY).read(key(3), CPU)
    assert torch.equal(back.features, given.features) and back.features.dtype == dtype
    assert torch.equal(back.high_resolution[0], given.high_resolution[0])
    assert back.size == (480, 854)
    for other in (key(4), key(3, source="scan"), key(3, encoder="large")):
        assert other not in first and first.read(other, CPU) is None


def test_everything_that_a_key_holds_tells_embeddings_apart(tmp_path):
    @dataclass(frozen=True, slots=True)
    class Wider:
        source: str
        frame: int
        encoder: str
        region: tuple[int, ...] | None

    files = EmbeddingFiles(tmp_path, PLENTY)
    for value, region in enumerate([None, (0, 0, 8, 8), (0, 0, 8, 9)]):
        files.keep(Wider("film", 0, "tiny", region), embedding(value)).result(10)
    for value, region in enumerate([None, (0, 0, 8, 8), (0, 0, 8, 9)]):
        assert files.read(Wider("film", 0, "tiny", region), CPU).features.max() == value


def test_the_cache_asks_memory_then_disk_then_the_network(tmp_path):
    cache = EmbeddingCache(PLENTY, EmbeddingFiles(tmp_path, PLENTY))
    first = cache.get(key(0), lambda: embedding(7.0))
    assert cache.get(key(0), refuse) is first
    cache.close()
    again = EmbeddingCache(PLENTY, EmbeddingFiles(tmp_path, PLENTY))
    assert key(0) in again and key(1) not in again
    assert again.get(key(0), refuse).features.max() == 7
    assert again.get(key(0), refuse) is again.get(key(0), refuse)


def test_the_longest_unused_makes_room_whoever_wrote_it(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_files, "RESERVE", 0)
    clock = iter(range(1000, 2000))
    ours, other = (EmbeddingFiles(tmp_path, 10 * ENTRY) for _ in range(2))
    for frame in range(10):
        (ours, other)[frame % 2].keep(key(frame), embedding(frame)).result(10)
        os.utime(ours._place(key(frame)), (0, next(clock)))
    assert ours.nbytes == 10 * ENTRY
    third = EmbeddingFiles(tmp_path, 10 * ENTRY)
    assert third.read(key(0), CPU) is not None  # used just now
    assert third.keep(key(10), embedding(10)).result(10)
    assert kept(third, range(11)) == [0, *range(3, 11)]  # a tenth more, so that not each write
    assert third.nbytes <= 10 * ENTRY
    for frame in range(11, 40):
        third.keep(key(frame), embedding(frame)).result(10)
        assert third.nbytes <= 10 * ENTRY
    assert key(39) in third
    small = EmbeddingFiles(tmp_path / "small", ENTRY - 1)
    assert not small.keep(key(0), embedding()).result(10)


def test_damage_counts_as_missing_and_is_removed(tmp_path):
    files = EmbeddingFiles(tmp_path, PLENTY)

    def chunk(frame):
        return next(path for path in files._place(key(frame)).rglob("c/*") if path.is_file())

    def flip(frame):
        data = bytearray(chunk(frame).read_bytes())
        data[40] ^= 1
        chunk(frame).write_bytes(data)

    def shorten(frame):
        os.truncate(chunk(frame), 100)

    def spoil(frame):
        (files._place(key(frame)) / "zarr.json").write_text("{")

    harms = [flip, shorten, spoil, lambda frame: chunk(frame).unlink()]
    for frame, harm in enumerate(harms):
        files.keep(key(frame), embedding(5.0)).result(10)
        harm(frame)
        assert files.read(key(frame), CPU) is None
        assert key(frame) not in files
        assert files.keep(key(frame), embedding(6.0)).result(10)
        assert files.read(key(frame), CPU).features.max() == 6


def test_a_full_disk_ends_the_writing_and_nothing_else(tmp_path, monkeypatch, caplog):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    files = EmbeddingFiles(tmp_path, PLENTY)
    files.keep(key(0), embedding(1.0)).result(10)
    monkeypatch.setattr("zarr.create_array", full)
    cache = EmbeddingCache(0, files)
    with caplog.at_level(logging.WARNING):
        assert cache.get(key(1), lambda: embedding(2.0)).features.max() == 2
        cache.close()
    assert "No space left" in caplog.text
    assert cache.get(key(0), refuse).features.max() == 1
    assert cache.get(key(1), lambda: embedding(3.0)).features.max() == 3
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".new")] == []


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding_files, "RESERVE", 1 << 60)
    files = EmbeddingFiles(tmp_path, PLENTY)
    assert not files.keep(key(0), embedding()).result(10)
    assert files.nbytes == 0


WRITER = """
import itertools, sys, torch
from pathlib import Path
from napari_surgisam.engine import embedding_files
from napari_surgisam.engine.embeddings import EmbeddingKey
from napari_surgisam.engine.network import FrameEmbedding

torch.set_num_threads(1)
files = embedding_files.EmbeddingFiles(Path(sys.argv[1]), 60 * 270_000)
print("ready", flush=True)
for frame in itertools.count():
    value = float(frame % 100)
    whole = torch.full((1, 64, 32, 32), value)
    files._waiting.acquire()
    files._keep(EmbeddingKey("film", frame % 100, "tiny"), FrameEmbedding(whole, (), (4, 4)))
    print(frame, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_kills_while_writing_leave_whole_embeddings_only(tmp_path):
    found = 0
    process = None
    try:
        for attempt in range(4):
            process = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
            )
            for _ in range(30 + 11 * attempt):  # while it writes, and later evicts
                process.stdout.readline()
            time.sleep(0.0007 * attempt)
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            reader = EmbeddingFiles(tmp_path, 60 * 270_000)
            for frame in range(100):
                there = reader._place(key(frame)).exists()
                back = reader.read(key(frame), CPU)
                assert (back is not None) == there
                if back is not None:
                    assert back.features.shape == (1, 64, 32, 32)
                    assert (back.features == frame).all()
                    found += 1
            assert reader.nbytes <= 60 * 270_000
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
    assert found > 50


def test_what_a_killed_process_left_is_removed(tmp_path):
    files = EmbeddingFiles(tmp_path, PLENTY)
    old, young, gone = (tmp_path / name for name in (".new-a", ".new-b", ".gone-c"))
    for folder in (old, young, gone):
        folder.mkdir()
        (folder / "zarr.json").write_text(json.dumps({}))
    os.utime(old, (0, 0))
    files.keep(key(0), embedding()).result(10)
    assert (old.exists(), young.exists(), gone.exists()) == (False, True, False)
