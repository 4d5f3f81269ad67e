"""Masks of consecutive frames, in memory while they are used, else in a file."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.mask_records import pack_masks, unpack_masks
from napari_surgisam.data.stored_masks import StoredMask

BUDGET = 16 * 10**6
"""Bytes of masks that a shelf keeps in memory by default: some 6,000, each read in 0.02 ms."""

FIGURES = np.dtype(
    [("frame", "i4"), ("iou", "f4"), ("presence", "f4"), ("share", "f4"), ("seen", "f4")]
)
"""What stays in memory of each mask: predicted IoU, presence logit, the share that it has of the
pixels that were seen, and how many pixels of the frame these are, 0 for all."""

_OVERHEAD = 1024  # bytes that a mask takes in memory besides its logits

_log = logging.getLogger(__name__)


class MaskFile(Protocol):
    """Where the masks of a chunk are, besides memory."""

    def packed(self) -> bytes:
        """Return what `pack_masks` made of them."""
        ...


class MaskChunk(Mapping[int, StoredMask]):
    """Masks by frame, at most 64 frames apart; a value, wherever its masks are.

    Parameters
    ----------
    masks : mapping of int to StoredMask
    """

    __slots__ = (
        "__weakref__",
        "_figures",
        "_file",
        "_masks",
        "_present",
        "_shelf",
        "_start",
        "nbytes",
    )

    def __init__(self, masks: Mapping[int, StoredMask]) -> None:
        self._masks: Mapping[int, StoredMask] | None = masks
        self._start = min(masks, default=0)
        self._present = sum(1 << (frame - self._start) for frame in masks)
        self.nbytes = sum(mask.nbytes for mask in masks.values())
        self._file: MaskFile | None = None
        self._shelf: MaskShelf | None = None
        self._figures: NDArray[np.void] | None = None

    @classmethod
    def stored(cls, frames: Iterable[int], nbytes: int, file: MaskFile) -> MaskChunk:
        """Return a chunk whose masks stay in a file until they are looked at.

        Parameters
        ----------
        frames : iterable of int
            Those that have a mask, at most 64 apart.
        nbytes : int
            As `nbytes` was.
        file : MaskFile
        """
        chunk = cls({})
        known = sorted(frames)
        chunk._start = known[0] if known else 0
        chunk._present = sum(1 << (frame - chunk._start) for frame in known)
        chunk.nbytes, chunk._file, chunk._masks = nbytes, file, None
        return chunk

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __len__(self) -> int:
        return self._present.bit_count()

    def __contains__(self, frame: object) -> bool:
        if not isinstance(frame, int) or frame < self._start:
            return False
        return bool(self._present >> (frame - self._start) & 1)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the frames, ascending."""
        for place in range(self._present.bit_length()):
            if self._present >> place & 1:
                yield self._start + place

    def __getitem__(self, frame: int) -> StoredMask:
        """Return the mask of a frame, reading the file where it is needed.

        Raises
        ------
        KeyError
            If the frame has none.
        """
        if frame not in self:
            raise KeyError(frame)
        return self.masks()[frame]

    def with_mask(self, frame: int, mask: StoredMask) -> MaskChunk:
        """Return a copy in which `mask` replaces what the frame had."""
        return MaskChunk({**self.masks(), frame: mask})

    def without(self, frame: int) -> MaskChunk:
        """Return a copy that has no mask on a frame."""
        return MaskChunk({f: mask for f, mask in self.masks().items() if f != frame})

    def without_pointers(self) -> MaskChunk:
        """Return a copy whose masks have no pointers; where this one is on disk, so is it."""
        masks = {f: replace(mask, pointer=mask.pointer[:0]) for f, mask in self.masks().items()}
        chunk = MaskChunk(masks)
        if self._shelf is not None:
            self._shelf.keep([chunk])
        return chunk

    @property
    def figures(self) -> NDArray[np.void]:
        """Return a record per mask, see `FIGURES`, by frame; they stay when the masks leave."""
        if self._figures is None:
            masks = self.masks()
            self._figures = np.array([_figures_of(f, masks[f]) for f in self], FIGURES)
        return self._figures

    @property
    def in_memory(self) -> bool:
        """Whether the masks are in memory, too."""
        return self._masks is not None

    def masks(self) -> Mapping[int, StoredMask]:
        """Return the masks by frame, reading the file where it is needed."""
        masks = self._masks
        if masks is None and self._file is not None:
            unpacked, _ = unpack_masks(self._file.packed())
            masks = {int(frame): mask for frame, mask in unpacked.items()}
            self._masks = masks
            if self._shelf is not None:
                self._shelf.keep([self])
        return masks or {}

    def packed(self) -> bytes:
        """Return the masks as `pack_masks` does; those on disk stay there."""
        masks, file = self._masks, self._file
        return file.packed() if masks is None and file is not None else pack_masks(masks or {}, {})

    def put_on(self, shelf: MaskShelf) -> None:
        """Tell `shelf` whenever the masks come into memory."""
        self._shelf = shelf

    def leave_memory(self, folder: Callable[[], _Folder]) -> None:
        """Write the masks to a file of a folder, unless they are in one, and drop them.

        Raises
        ------
        OSError
            If the disk is full; they stay.
        """
        if self._file is None:
            _ = self.figures
            self._file = _File(folder(), self.masks())
        self._masks = None


def _figures_of(frame: int, mask: StoredMask) -> tuple[float, ...]:
    height, width = mask.shape
    seen = 0 if mask.region is None else mask.region.height * mask.region.width
    return frame, mask.iou, mask.presence, mask.area / (height * width), seen


NO_MASKS = MaskChunk({})
"""The chunk without masks."""


class _Folder:
    """A temporary folder that lives as long as there are files in it."""

    def __init__(self, parent: Path | None) -> None:
        self._path = Path(tempfile.mkdtemp(prefix="surgisam-masks-", dir=parent))
        self._numbers = count()
        weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)

    def new(self) -> Path:
        return self._path / f"{next(self._numbers):08d}"


class _File:
    """Masks in a file that goes when nobody holds it."""

    __slots__ = ("__weakref__", "_folder", "_path")

    def __init__(self, folder: _Folder, masks: Mapping[int, StoredMask]) -> None:
        self._folder, self._path = folder, folder.new()
        self._path.write_bytes(pack_masks(masks, {}))
        weakref.finalize(self, self._path.unlink, missing_ok=True).atexit = False

    def packed(self) -> bytes:
        return self._path.read_bytes()


class MaskShelf:
    """Keeps chunks of masks in memory within a byte budget; the others it keeps in files.

    Every copy of an annotation, those kept for undo too, holds the same chunks, so a chunk
    that goes to disk leaves memory at once. Its file goes with the last copy.

    Parameters
    ----------
    budget : int
        Bytes that the masks in memory may take together, about.
    folder : Path, optional
        Where a folder for the files is made, when the first is needed; the system's place
        for temporary files by default.
    """

    def __init__(self, budget: int = BUDGET, folder: Path | None = None) -> None:
        self.budget = budget
        self._parent = folder
        self._folder: _Folder | None = None
        self._held: OrderedDict[int, tuple[weakref.ref[MaskChunk], int]] = OrderedDict()
        self._nbytes = 0
        self._lock = RLock()  # chunks may die, and be released, while it is held

    @property
    def nbytes(self) -> int:
        """Bytes that the masks in memory take, about."""
        return self._nbytes

    def keep(self, chunks: Iterable[MaskChunk]) -> None:
        """Take chunks up as used just now; others go to disk as the budget demands."""
        with self._lock:
            for chunk in chunks:
                number = id(chunk)
                self._release(number)
                chunk.put_on(self)
                if chunk.in_memory:
                    size = chunk.nbytes + _OVERHEAD * len(chunk)
                    self._held[number] = (weakref.ref(chunk, partial(self._gone, number)), size)
                    self._nbytes += size
            while self._nbytes > self.budget and len(self._held) > 1:
                oldest, (known, _) = next(iter(self._held.items()))
                held = known()
                try:
                    if held is not None:
                        held.leave_memory(self._files)
                except OSError as error:
                    _log.warning("Masks stay in memory: %s.", error)
                    self.budget = 2 * self._nbytes  # not again for every frame
                    return
                self._release(oldest)

    def _files(self) -> _Folder:
        if self._folder is None:
            self._folder = _Folder(self._parent)
        return self._folder

    def _gone(self, number: int, _: weakref.ref[MaskChunk]) -> None:
        self._release(number)

    def _release(self, number: int) -> None:
        with self._lock:
            self._nbytes -= self._held.pop(number, (None, 0))[1]
