"""Binary parts of a saved session: files named by their content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

from napari_surgisam.data.mask_chunks import MaskChunk
from napari_surgisam.errors import DataError


class PartStore:
    """Files in a folder, none of which ever changes.

    Parameters
    ----------
    folder : Path
        It need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.used: dict[str, int] = {}
        """Size of each part that was kept since `begin`."""
        self._there = self._list()
        self._names: WeakKeyDictionary[MaskChunk, str] = WeakKeyDictionary()
        self._held: dict[int, tuple[object, str]] = {}  # by identity: what the last save kept
        self._holding: dict[int, tuple[object, str]] = {}
        self._files: WeakSet[_PartFile] = WeakSet()

    def begin(self) -> None:
        """Begin a save.

        Raises
        ------
        OSError
            If the folder cannot be made.
        """
        self.folder.mkdir(exist_ok=True)
        self.used, self._holding = {}, {}

    def keep(self, owner: object, pack: Callable[[], bytes]) -> str:
        """Write what `pack` returns for an unchanging object, unless it is there.

        Returns
        -------
        str
            Its name, the digest of its content.

        Raises
        ------
        OSError
            If the disk is full.
        """
        if isinstance(owner, MaskChunk):
            name = self._names.get(owner)
        else:
            held, known = self._held.get(id(owner), (None, None))
            name = known if held is owner else None
        if name is None or name not in self._there:
            data = pack()
            name = _digest(data)
            if self._there.get(name) != len(data):
                write_whole(self.folder / name, data)
                self._there[name] = len(data)
        if isinstance(owner, MaskChunk):
            self._names[owner] = name
        else:
            self._holding[id(owner)] = (owner, name)
        self.used[name] = self._there[name]
        return name

    def finish(self) -> None:
        """End a save: delete what it did not keep, but for masks that undo may ask for."""
        self._held = self._holding
        live = {*self.used, *(file.name for file in self._files)}
        with suppress(OSError), os.scandir(self.folder) as files:
            for file in files:
                if file.name not in live:
                    with suppress(OSError):
                        os.unlink(file.path)
                    self._there.pop(file.name, None)

    def read(self, name: str) -> bytes:
        """Return a part.

        Raises
        ------
        DataError
            If it is missing or damaged.
        """
        path = self.folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error}.") from error
        if _digest(data) != name:
            raise DataError(f"{path} is damaged: its content is not what was saved.")
        return data

    def chunk(self, name: str, frames: Iterable[int], nbytes: int) -> MaskChunk:
        """Return masks that stay in their part until they are looked at."""
        file = _PartFile(self, name)
        self._files.add(file)
        chunk = MaskChunk.stored(frames, nbytes, file)
        self._names[chunk] = name
        return chunk

    def missing(self, named: dict[str, int]) -> list[str]:
        """Return which of some parts are not there, or not of the size that they had."""
        return sorted(name for name, size in named.items() if self._there.get(name) != size)

    def _list(self) -> dict[str, int]:
        try:
            with os.scandir(self.folder) as files:
                return {file.name: file.stat().st_size for file in files}
        except OSError:
            return {}


class _PartFile:
    """Masks in a part, which stays as long as they may be asked for."""

    __slots__ = ("__weakref__", "_store", "name")

    def __init__(self, store: PartStore, name: str) -> None:
        self._store, self.name = store, name

    def packed(self) -> bytes:
        return self._store.read(self.name)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is on the disk whole, or as it was before.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def sync_names(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system lets us."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
