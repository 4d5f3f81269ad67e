"""Which sessions are being worked on, so that a crash leaves a trace of them."""

from __future__ import annotations

import json
import os
import re
import uuid
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from napari_surgisam.formats.label_files import remove
from napari_surgisam.formats.session_folder import ENDING, INDEX, LOCK
from napari_surgisam.formats.session_parts import write_whole

FOLDER_VARIABLE = "SURGISAM_SESSIONS"


def sessions_folder() -> Path:
    """Return where sessions without a name are saved.

    ``SURGISAM_SESSIONS`` overrides the operating system's folder for a program's data.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("napari-surgisam", appauthor=False) / "sessions"


class OpenSessions:
    """Notes in a folder, one for each session that some window works on.

    A note that nobody removed, of a session that nobody holds, is what a crash leaves.

    Parameters
    ----------
    folder : Path
        Made when the first session is noted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new_path(self, name: str) -> Path:
        """Return where a session without a name can be saved."""
        word = re.sub(r"[^\w-]+", "_", name).strip("_")[:40] or "session"
        return self.folder / f"{word}-{uuid.uuid4().hex[:8]}{ENDING}"

    def note(self, path: Path) -> None:
        """Note that a session is being worked on.

        Raises
        ------
        OSError
            If the folder cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._note(path), json.dumps({"path": str(path)}).encode())

    def forget(self, path: Path) -> None:
        """Note that it is not any more."""
        with suppress(OSError):
            self._note(path).unlink(missing_ok=True)

    def interrupted(self) -> list[Path]:
        """Return the sessions that a crash has left, the latest first.

        Notes of sessions that are gone are removed on the way, and so are sessions without a
        name that no note speaks of.
        """
        found: list[tuple[float, Path]] = []
        noted = set()
        for note in sorted(self.folder.glob("*.json")):
            try:
                path = Path(json.loads(note.read_bytes())["path"])
            except (OSError, ValueError, KeyError, TypeError):
                continue
            noted.add(path)
            if is_held(path):
                continue
            try:
                found.append(((path / INDEX).stat().st_mtime, path))
            except OSError:
                with suppress(OSError):
                    note.unlink()
                noted.discard(path)
        for left in self.folder.glob(f"*{ENDING}"):
            if left not in noted and not is_held(left):
                remove(left)
        return [path for _, path in sorted(found, reverse=True)]

    def _note(self, path: Path) -> Path:
        return self.folder / f"{blake2b(str(path).encode(), digest_size=8).hexdigest()}.json"


def is_held(path: Path) -> bool:
    """Whether some window or run has a session open."""
    if not (path / LOCK).exists():
        return False
    lock = FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False
