"""What a propagation has done so far, on disk after every frame."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from napari_surgisam.data.mask_records import StepMasks, pack_masks, unpack_masks
from napari_surgisam.errors import DataError

_MAGIC = b"surgisam masks 1\n"
_FRAME = struct.Struct("<II")  # length and checksum of a record
_LONGEST = 1 << 30


class Journal:
    """Masks in the order in which they were made, in a file that only grows.

    A record is written in one piece with its checksum: of a process that is killed, all
    records are there but perhaps the one that was being written, which is cut off.

    Parameters
    ----------
    path : Path
    settings : mapping of str to str
        What the masks depend on, by what a person calls it. A journal that exists was made
        with the same settings, or it is refused.

    Raises
    ------
    DataError
        If the file exists and is no journal, or was made with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, str]) -> None:
        self.path = path
        header = json.dumps(dict(settings)).encode()
        if not path.exists() or path.stat().st_size == 0:
            self._file = path.open("w+b", buffering=0)
            self._file.write(_MAGIC + _framed(header))
            self._start = self._file.tell()
            return
        self._file = path.open("r+b", buffering=0)
        try:
            began = _read(self._file) if self._file.read(len(_MAGIC)) == _MAGIC else None
            if began is None:
                raise DataError(
                    f"{path} does not say how the run was begun: start it over (--overwrite)."
                )
            _check_same(path, json.loads(began), settings)
            self._start = self._file.tell()
            for _ in self.records():
                pass
            self._file.truncate(self._file.tell())
        except BaseException:
            self._file.close()
            raise

    def records(self) -> Iterator[StepMasks]:
        """Yield what was done, in order; do not append meanwhile."""
        self._file.seek(self._start)
        while (packed := _read(self._file)) is not None:
            masks, about = unpack_masks(packed)
            yield StepMasks(about["frame"], about["direction"], masks)

    def append(self, record: StepMasks) -> None:
        """Add what was done; it is with the operating system when this returns.

        Raises
        ------
        OSError
            If the disk is full, for instance; the file then ends with the record before.
        """
        about = {"frame": record.frame, "direction": record.direction}
        framed = _framed(pack_masks(record.masks, about))
        end = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(framed)
            if written != len(framed):
                self._file.write(framed[written:])
        except OSError:
            with suppress(OSError):
                self._file.truncate(end)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def remove(self) -> None:
        """Close the file and delete it."""
        self.close()
        self.path.unlink(missing_ok=True)


def _framed(data: bytes) -> bytes:
    return _FRAME.pack(len(data), zlib.crc32(data)) + data


def _read(file: BinaryIO) -> bytes | None:
    """Return the next record, or None with the file where the whole ones end."""
    start = file.tell()
    head = file.read(_FRAME.size)
    if len(head) == _FRAME.size:
        length, checksum = _FRAME.unpack(head)
        data = file.read(length) if length < _LONGEST else b""
        if len(data) == length and zlib.crc32(data) == checksum:
            return data
    file.seek(start)
    return None


def _check_same(path: Path, began: Mapping[str, str], settings: Mapping[str, str]) -> None:
    changed = [
        f"{name} {began.get(name, 'none')}, now {settings.get(name, 'none')}"
        for name in {**began, **settings}
        if began.get(name) != settings.get(name)
    ]
    if changed:
        raise DataError(
            f"The unfinished run in {path} was begun otherwise ({'; '.join(changed)}): give the "
            "same again to go on, or start over with --overwrite."
        )
