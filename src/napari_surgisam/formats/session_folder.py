"""A saved session on disk: whole after every kill, rewritten only where it changed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from napari_surgisam.errors import DamagedError, DataError, SurgisamError
from napari_surgisam.formats.label_files import remove
from napari_surgisam.formats.session_json import state_from_json, state_to_json
from napari_surgisam.formats.session_parts import PartStore, sync_names, write_whole
from napari_surgisam.formats.session_state import SessionState
from napari_surgisam.formats.session_versions import FORMAT, VERSION, migrate

ENDING = ".surgisam"
INDEX, PARTS, LOCK = "session.json", "parts", "lock"

_REMEDY = "Take it from a backup, or open its prompts alone (--prompts-only) and propagate anew."


class SessionFolder:
    """A folder ``NAME.surgisam``, held by one process until it is closed; docs/sessions.md.

    ``session.json`` names every other file by the digest of its content. A save writes the
    parts that are new, replaces ``session.json`` in one step, and deletes only then what it no
    longer names: whenever the process is killed, one state is whole.

    Parameters
    ----------
    path : Path
    new : bool
        Whether to begin a session here; one that exists is replaced by the first save.

    Raises
    ------
    DataError
        If there is no session or, for a new one, something else; if another window holds it; if
        it cannot be read.
    """

    def __init__(self, path: str | Path, *, new: bool = False) -> None:
        self.path = Path(path).absolute()
        self._mutex = RLock()
        if new:
            self._create()
        elif not (self.path / INDEX).is_file():
            raise DataError(
                f"{self.path} is no saved session: there is no {INDEX} in it. Choose a folder "
                f"whose name ends with {ENDING}."
            )
        self._lock = self._acquired(new)
        self._parts = PartStore(self.path / PARTS)

    @property
    def writable(self) -> bool:
        """Whether it can be saved to; a folder on a read-only disk can only be read."""
        return self._lock is not None

    def read(self, *, masks: bool = True) -> SessionState:
        """Return what was saved last; masks stay on disk until they are looked at.

        Parameters
        ----------
        masks : bool
            Whether to take masks up; without, the prompts alone are left.

        Raises
        ------
        DamagedError
            If it is not whole.
        DataError
            If a newer program wrote it.
        """
        data = migrate(self._load(), self.path)
        try:
            missing = self._parts.missing(data["parts"]) if masks else []
            if missing:
                raise DamagedError(
                    f"{self.path} is damaged: {len(missing)} of its {len(data['parts'])} parts are "
                    f"missing or cut off, {missing[0]} for one."
                )
            return state_from_json(data, self._parts, masks=masks)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DamagedError(
                f"{self.path} is damaged: its {INDEX} cannot be understood "
                f"({type(error).__name__}: {error}). {_REMEDY}"
            ) from error
        except SurgisamError as error:
            raise DamagedError(f"{error} {_REMEDY}") from error

    def save(self, state: SessionState) -> None:
        """Save a session, writing only what is not there yet; any thread may.

        Raises
        ------
        DataError
            If the disk is full or read-only: what was saved before stays whole.
        """
        with self._mutex:
            if self._lock is None:
                raise DataError(
                    f"{self.path} cannot be written to: save the session in another folder."
                )
            try:
                self._parts.begin()
                data = state_to_json(state, self._parts)
                data["source"]["relative"] = _relative(state.source.path, self.path.parent)
                sync_names(self._parts.folder)
                whole = {"format": FORMAT, "version": VERSION, **data, "parts": self._parts.used}
                write_whole(self.path / INDEX, json.dumps(whole, indent=1).encode())
                with suppress(OSError):  # it is in place, if perhaps not for a power cut
                    sync_names(self.path)
            except OSError as error:
                raise DataError(
                    f"The session cannot be saved to {self.path}: {error}. What was saved before "
                    "is kept. Make room, or save it in another folder."
                ) from error
            self._parts.finish()

    def close(self) -> None:
        """Let others have it."""
        with self._mutex:
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def remove(self) -> None:
        """Let go of it, and delete it."""
        with self._mutex:
            self.close()
            remove(self.path)

    def _create(self) -> None:
        if self.path.exists() and not is_session(self.path):
            raise DataError(
                f"{self.path} holds something else than a session and was left alone: choose "
                "another name."
            )
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error}.") from error

    def _acquired(self, new: bool) -> BaseFileLock | None:
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise DataError(
                f"{self.path} is open in another window or run: close it there first."
            ) from None
        except OSError as error:
            if new:
                raise DataError(f"{self.path} cannot be written: {error}.") from error
            return None
        return lock

    def _load(self) -> Any:
        try:
            return json.loads((self.path / INDEX).read_bytes())
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}.") from error
        except ValueError as error:
            raise DataError(
                f"{self.path} is damaged: its {INDEX} is no JSON ({error}). Take it from a backup."
            ) from error


def is_session(path: Path) -> bool:
    """Whether a folder is a session, or nothing but the beginning of one."""
    if not path.is_dir():
        return False
    names = {entry.name for entry in path.iterdir()}
    return INDEX in names or names <= {PARTS, LOCK, f"{INDEX}.new"}


def _relative(path: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix() if path else ""
    except ValueError:  # another drive
        return ""
