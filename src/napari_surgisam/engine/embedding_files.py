"""Embeddings on disk, by content, within a byte budget that several processes share."""

from __future__ import annotations

import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path
from threading import BoundedSemaphore, Lock
from time import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.engine.network import FrameEmbedding

if TYPE_CHECKING:
    from napari_surgisam.engine.embeddings import EmbeddingKey

RESERVE = 1 << 30
"""Bytes that are left free on the disk, whatever the budget."""

_QUEUED = 8  # embeddings that wait for the disk; while it is that far behind, none is added
_OVERHEAD = 8192  # bytes that an entry takes beside its tensors: two folders and a header
_ABANDONED_SECONDS = 600  # after which an unfinished entry belongs to nobody
_NEW, _GONE = ".new-", ".gone-"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)

_log = logging.getLogger(__name__)


class EmbeddingFiles:
    """Embeddings in a folder: one zarr group per source and encoder, one array per embedding.

    An entry appears whole or not at all, whenever a process is killed: it is written under a
    name of its own and then renamed, and its checksum is compared when it is read. What was
    unused longest makes room, whichever process wrote it. A disk that is full or fails ends
    the writing, and nothing else: embeddings can always be computed.

    Parameters
    ----------
    folder : Path
        Made when the first embedding is written.
    budget : int
        Bytes that all embeddings in the folder may take together. Processes that write at
        once may exceed it by a tenth, for a while.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder, self.budget = folder, budget
        self._lock = Lock()
        self._nbytes: int | None = None  # in the folder; None before it has been looked at
        self._since = 0  # bytes written since then
        self._writing = True
        self._waiting = BoundedSemaphore(_QUEUED)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="embedding-files")

    def __contains__(self, key: EmbeddingKey) -> bool:
        return (self._place(key) / "zarr.json").exists()

    @property
    def nbytes(self) -> int:
        """Bytes that the embeddings in the folder take, counted anew."""
        return sum(nbytes for _, nbytes, _ in self._entries())

    def read(self, key: EmbeddingKey, device: torch.device) -> FrameEmbedding | None:
        """Return an embedding on a device and count it as used; None where there is none.

        What is damaged counts as missing, and is removed.
        """
        import zarr

        place = self._place(key)
        if not (place / "zarr.json").exists():
            return None
        try:
            array = zarr.open_array(str(place), mode="r")
            values: NDArray[np.uint8] = np.asarray(array[...], np.uint8)
            about: dict[str, Any] = {**array.attrs.asdict()}
            if about["key"] != repr(key) or about["checksum"] != zlib.crc32(values.data):
                raise ValueError("not what was written")
            tensors = list(_split(values, about["tensors"]))
            height, width = about["size"]
        except _UNREADABLE:
            if place.exists():  # and was not evicted by another process meanwhile
                self._remove(place)
            return None
        with suppress(OSError):
            os.utime(place)
        first, *finer = (tensor.to(device) for tensor in tensors)
        return FrameEmbedding(first, tuple(finer), (int(height), int(width)))

    def keep(self, key: EmbeddingKey, embedding: FrameEmbedding) -> Future[bool] | None:
        """Write an embedding in the background.

        Returns
        -------
        Future of bool, or None
            Whether it was written; None where the disk cannot keep up, or writing has ended.
        """
        if not self._writing or not self._waiting.acquire(blocking=False):
            return None
        try:
            return self._writer.submit(self._keep, key, embedding)
        except RuntimeError:  # closed meanwhile
            self._waiting.release()
            return None

    def close(self) -> None:
        """Write what waits, and end; reading goes on."""
        self._writing = False
        self._writer.shutdown(wait=True)

    def _keep(self, key: EmbeddingKey, embedding: FrameEmbedding) -> bool:
        try:
            return self._write(key, embedding)
        except OSError as error:
            self._writing = False
            _log.warning("Embeddings are no longer written to %s: %s.", self.folder, error)
            return False
        finally:
            self._waiting.release()

    def _write(self, key: EmbeddingKey, embedding: FrameEmbedding) -> bool:
        import zarr

        place, nbytes = self._place(key), embedding.nbytes + _OVERHEAD
        if place.exists() or not self._make_room(nbytes):
            return False
        group = place.parent
        if not (group / "zarr.json").exists():
            about = {"source": key.source, "encoder": key.encoder, "entry_bytes": nbytes}
            with suppress(ValueError):  # another process made it meanwhile
                zarr.create_group(str(group), attributes=about)
        new = self.folder / f"{_NEW}{uuid.uuid4().hex}"
        tensors = [embedding.features, *embedding.high_resolution]
        values = np.concatenate([_as_bytes(tensor) for tensor in tensors])
        kinds: Any = [[str(t.dtype).removeprefix("torch."), list(t.shape)] for t in tensors]
        try:
            zarr.create_array(
                str(new),
                data=values,
                chunks=values.shape,
                compressors=None,
                attributes={
                    "key": repr(key),
                    "size": list(embedding.size),
                    "tensors": kinds,
                    "checksum": zlib.crc32(values.data),
                },
            )
            new.rename(place)
        except FileExistsError:
            return False  # another process was faster
        except OSError:
            if place.exists():
                return False
            raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
        with self._lock:
            self._nbytes = (self._nbytes or 0) + nbytes
            self._since += nbytes
        return True

    def _make_room(self, nbytes: int) -> bool:
        """Evict what was unused longest until `nbytes` more fit; False where they cannot."""
        if nbytes > self.budget:
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._nbytes is not None and self._since < self.budget // 10:
            if self._nbytes + nbytes <= self.budget:
                return True
        try:
            with FileLock(self.folder / ".lock", timeout=0 if self._nbytes is not None else 10):
                self._sweep()
                entries = sorted(self._entries(), key=lambda entry: entry[2])
                total = sum(size for _, size, _ in entries)
                room = min(self.budget, total + shutil.disk_usage(self.folder).free - RESERVE)
                goal = room if total + nbytes <= room else room - room // 10
                for place, size, _ in entries:
                    if total + nbytes <= max(goal, nbytes):
                        break
                    self._remove(place)
                    total -= size
        except Timeout:  # another process is making room
            return False
        with self._lock:
            self._nbytes, self._since = total, 0
        return total + nbytes <= room

    def _entries(self) -> Iterator[tuple[Path, int, float]]:
        """Yield place, bytes and time of the last use of every embedding, in no order."""
        import zarr

        for group in _folders(self.folder):
            if group.name.startswith("."):
                continue
            try:
                about: dict[str, Any] = {**zarr.open_group(group.path, mode="r").attrs.asdict()}
                nbytes = int(about["entry_bytes"])
            except FileNotFoundError:  # being made
                continue
            except _UNREADABLE:
                self._remove(Path(group.path))
                continue
            for entry in _folders(Path(group.path)):
                with suppress(OSError):
                    yield Path(entry.path), nbytes, entry.stat().st_mtime

    def _sweep(self) -> None:
        """Remove what killed processes left behind."""
        for folder in _folders(self.folder):
            with suppress(OSError):
                old = time() - folder.stat().st_mtime > _ABANDONED_SECONDS
                if folder.name.startswith(_GONE) or (folder.name.startswith(_NEW) and old):
                    shutil.rmtree(folder.path, ignore_errors=True)

    def _remove(self, place: Path) -> None:
        gone = self.folder / f"{_GONE}{uuid.uuid4().hex}"
        with suppress(OSError):
            place.rename(gone)  # at once, so that nobody reads half of it
            shutil.rmtree(gone, ignore_errors=True)

    def _place(self, key: EmbeddingKey) -> Path:
        """Return the folder of an embedding: named by the frame and all else in the key."""
        rest = [
            (field.name, getattr(key, field.name))
            for field in fields(key)
            if field.name not in ("source", "encoder", "frame")
        ]
        group = _digest((key.source, key.encoder))
        return self.folder / group / f"{key.frame:08d}-{_digest(rest)[:8]}"


def _digest(value: object) -> str:
    return blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if entry.is_dir()]
    except OSError:
        return []


def _as_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    return tensor.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy()


def _split(values: NDArray[np.uint8], kinds: list[list[Any]]) -> Iterator[Tensor]:
    """Yield the tensors whose bytes follow each other."""
    start = 0
    for name, shape in kinds:
        dtype = getattr(torch, name)
        stop = start + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        part = torch.from_numpy(values[start:stop].copy())  # a tensor's own memory, aligned
        yield part.view(dtype).reshape(shape)
        start = stop
