"""How much memory and disk caches may take: chosen from the machine, or said by a person."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from napari_surgisam.engine.registry import cache_folder
from napari_surgisam.errors import DataError

if TYPE_CHECKING:
    from napari_surgisam.engine.embeddings import EmbeddingCache

MEMORY_VARIABLE = "SURGISAM_CACHE_MEMORY"
DISK_VARIABLE = "SURGISAM_CACHE_DISK"
FOLDER_VARIABLE = "SURGISAM_CACHE_DIR"

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?)b?", re.IGNORECASE)
_CONTAINER_LIMITS = (  # of memory; the second pair is that of older systems
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def parse_size(text: str) -> int:
    """Read a number of bytes, such as ``800 MB``, ``2GiB``, ``1.5g`` or ``0``.

    Raises
    ------
    DataError
        If the text is anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = match[2].lower() if match else "?"
    if match is None or unit not in {**_UNITS, **_BINARY_UNITS}:
        raise DataError(
            f"Cannot read the size {text!r}: write a number with a unit, for example 500MB or "
            "2GB; 0 is none."
        )
    return int(float(match[1]) * {**_UNITS, **_BINARY_UNITS}[unit])


def available_memory() -> int:
    """Return the bytes of memory that can be taken, in a container of what it may take."""
    free = int(psutil.virtual_memory().available)
    for limit, used in _CONTAINER_LIMITS:
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # none, or "max"
            continue
    return max(free, 0)


def memory_budget() -> int:
    """Return the bytes for embeddings in memory: a quarter of what is free, 256 MB to 4 GB."""
    return min(max(available_memory() // 4, 256 * 10**6), 4 * 10**9)


def labels_budget() -> int:
    """Return the bytes of labels in memory: an eighth of what is free, 64 MB to 1 GB."""
    return min(max(available_memory() // 8, 64 * 10**6), 10**9)


def disk_budget(folder: Path) -> int:
    """Return the bytes for embeddings on disk: a tenth of what is free there, 20 GB at most."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return min(shutil.disk_usage(folder).free // 10, 20 * 10**9)


@dataclass(frozen=True, slots=True)
class CacheBudget:
    """Where embeddings are kept.

    Parameters
    ----------
    memory : int or None
        Bytes in memory; None takes a share of what is free.
    disk : int or None
        Bytes on disk, 0 for nothing; None takes a share of what is free.
    folder : Path or None
        Where on disk; None is the operating system's folder for caches.
    """

    memory: int | None = None
    disk: int | None = 0
    folder: Path | None = None

    def overridden(self, environment: Mapping[str, str] = os.environ) -> CacheBudget:
        """Return a copy that the environment's variables override where they are set.

        Raises
        ------
        DataError
            If one of them is no size.
        """
        memory, disk = environment.get(MEMORY_VARIABLE), environment.get(DISK_VARIABLE)
        folder = environment.get(FOLDER_VARIABLE)
        return CacheBudget(
            parse_size(memory) if memory else self.memory,
            parse_size(disk) if disk else self.disk,
            Path(folder).expanduser() if folder else self.folder,
        )

    def open(self) -> EmbeddingCache:
        """Return an empty cache in memory, in front of what the folder holds."""
        from napari_surgisam.engine.embedding_files import EmbeddingFiles
        from napari_surgisam.engine.embeddings import EmbeddingCache

        folder = self.folder or cache_folder() / "embeddings"
        disk = disk_budget(folder) if self.disk is None else self.disk
        return EmbeddingCache(self.memory, EmbeddingFiles(folder, disk) if disk else None)
