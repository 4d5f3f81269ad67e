"""One object's masks over time, small enough to keep, painted to labels on demand."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_surgisam.data.prompts import ObjectId

CHUNK = 64  # frames that are copied together when one of them changes

_SOFTNESS = 0.5  # levels are even up to this logit, then grow with the logit
_LIMIT = 32.0  # SAM 2 clamps logits that are fed back here, too
_LEVELS_PER_UNIT = 127 / np.arcsinh(_LIMIT / _SOFTNESS)
_COARSE = 8  # levels that are one where a pixel cannot move the outline
_OUTSIDE, _FLOOR = -6.0, -8.0  # what is below the first, away from the outline, is the second


@dataclass(frozen=True, slots=True, eq=False)
class StoredMask:
    """One object on one frame: its logits in a few kilobytes, and what belongs to them.

    Logits are kept with 127 levels either side of zero, spaced by their inverse hyperbolic
    sine, next to the outline; elsewhere with an eighth of these, because they no longer move
    the outline. Signs are exact.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the logits.
    box : tuple of int
        First row and column, and the ones after the last, of the part that is kept.
    data : bytes
        The quantised part, compressed; empty where the object is absent.
    iou : float
        Predicted IoU, in [0, 1].
    presence : float
        Logit of "the object is in the frame".
    pointer : (C,) float16 array
        Object pointer; it cannot be recovered from the mask.
    conditioning : bool
        Whether a prompt made this mask.
    direction : int
        1 or -1 for the pass whose memories the mask was made with, 0 for none.
    """

    shape: tuple[int, int]
    box: tuple[int, int, int, int]
    data: bytes
    iou: float
    presence: float
    pointer: NDArray[np.float16]
    conditioning: bool
    direction: int

    @classmethod
    def from_logits(
        cls,
        logits: NDArray[np.float32],
        *,
        iou: float,
        presence: float,
        pointer: NDArray[np.floating],
        conditioning: bool,
        direction: int,
    ) -> StoredMask:
        """Quantise and compress (h, w) logits; those of an absent object are dropped."""
        height, width = logits.shape
        box, data = (0, 0, 0, 0), b""
        if presence > 0 and (logits > 0).any():
            levels, box = _quantise(logits)
            data = zlib.compress(levels.tobytes())
        return cls(
            shape=(height, width),
            box=box,
            data=data,
            iou=float(iou),
            presence=float(presence),
            pointer=np.asarray(pointer, np.float16),
            conditioning=conditioning,
            direction=int(direction),
        )

    @property
    def nbytes(self) -> int:
        """Size of mask and pointer, in bytes."""
        return len(self.data) + self.pointer.nbytes

    @property
    def empty(self) -> bool:
        """Whether no pixel belongs to the object."""
        return not self.data

    def crop(self) -> NDArray[np.float32]:
        """Return the logits inside `box`, of at least a pixel around every positive one."""
        y0, x0, y1, x1 = self.box
        levels = np.frombuffer(zlib.decompress(self.data) if self.data else b"", np.int8)
        return _VALUES[levels.astype(np.int16) + 128].reshape(y1 - y0, x1 - x0)

    def logits(self) -> NDArray[np.float32]:
        """Return the (h, w) logits; far outside the object, and where it is absent, -8."""
        logits = np.full(self.shape, _FLOOR, np.float32)
        y0, x0, y1, x1 = self.box
        logits[y0:y1, x0:x1] = self.crop()
        return logits

    def upsample(self, shape: tuple[int, int]) -> tuple[slice, slice, NDArray[np.float32]]:
        """Interpolate the logits to a frame, bilinearly between pixel centres.

        Parameters
        ----------
        shape : tuple of int
            Height and width of the frame, in pixels.

        Returns
        -------
        rows, columns : slice
            Part of the frame outside which no pixel belongs to the object.
        logits : (rows, columns) float32 array
        """
        y0, x0, y1, x1 = self.box
        rows, top, bottom, down = _taps(self.shape[0], shape[0], y0, y1)
        columns, left, right, across = _taps(self.shape[1], shape[1], x0, x1)
        crop = self.crop()
        lines = crop[top] + (crop[bottom] - crop[top]) * down[:, None]
        first = lines.take(left, axis=1)
        logits = lines.take(right, axis=1)
        logits -= first
        logits *= across
        logits += first
        return rows, columns, logits


_CHUNKS: Mapping[int, Mapping[int, StoredMask]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Masklet:
    """The masks of one object by frame; a value.

    An edited copy shares all frames with the original, except the `CHUNK` around the edit,
    so that keeping old versions for undo costs little.
    """

    object_id: ObjectId
    chunks: Mapping[int, Mapping[int, StoredMask]] = field(default_factory=lambda: _CHUNKS)

    def __len__(self) -> int:
        """Count the frames that have a mask, empty ones included."""
        return sum(map(len, self.chunks.values()))

    def __contains__(self, frame: int) -> bool:
        return frame in self.chunks.get(frame // CHUNK, ())

    def __iter__(self) -> Iterator[int]:
        """Iterate over the frames that have a mask, ascending."""
        for number in sorted(self.chunks):
            yield from sorted(self.chunks[number])

    def __getitem__(self, frame: int) -> StoredMask:
        """Return the mask of a frame.

        Raises
        ------
        KeyError
            If the frame has none.
        """
        return self.chunks[frame // CHUNK][frame]

    def get(self, frame: int) -> StoredMask | None:
        """Return the mask of a frame, or None."""
        return self.chunks.get(frame // CHUNK, {}).get(frame)

    def with_mask(self, frame: int, mask: StoredMask) -> Masklet:
        """Return a copy in which `mask` replaces what the frame had."""
        number = frame // CHUNK
        chunk = MappingProxyType({**self.chunks.get(number, {}), frame: mask})
        return Masklet(self.object_id, MappingProxyType({**self.chunks, number: chunk}))

    def without(self, frames: Iterable[int]) -> Masklet:
        """Return a copy that has no masks on some frames."""
        chunks = {number: dict(chunk) for number, chunk in self.chunks.items()}
        for frame in frames:
            chunks.get(frame // CHUNK, {}).pop(frame, None)
        kept = {number: MappingProxyType(chunk) for number, chunk in chunks.items() if chunk}
        return Masklet(self.object_id, MappingProxyType(kept))

    @property
    def nbytes(self) -> int:
        """Size of all masks and pointers, in bytes."""
        return sum(mask.nbytes for chunk in self.chunks.values() for mask in chunk.values())


def paint_labels(
    masklets: Iterable[Masklet], frame: int, shape: tuple[int, int]
) -> NDArray[np.uint16]:
    """Paint the objects of one frame; where they overlap, the higher logit wins.

    Parameters
    ----------
    masklets : iterable of Masklet
    frame : int
    shape : tuple of int
        Height and width of the frame, in pixels.

    Returns
    -------
    (H, W) uint16 array
        Object ids; 0 where no object is, or where the frame has no mask. Of equal logits the
        first masklet's wins.
    """
    labels = np.zeros(shape, np.uint16)
    highest = np.zeros(shape, np.float32)
    for masklet in masklets:
        mask = masklet.get(frame)
        if mask is None or mask.empty:
            continue
        rows, columns, logits = mask.upsample(shape)
        wins = logits > highest[rows, columns]
        labels[rows, columns][wins] = masklet.object_id
        np.maximum(highest[rows, columns], logits, out=highest[rows, columns])
    return labels


def _quantise(
    logits: NDArray[np.float32],
) -> tuple[NDArray[np.int8], tuple[int, int, int, int]]:
    """Return the levels of the part that matters, and its box."""
    positive = logits > 0
    outline = ndimage.maximum_filter(positive, 5) != ndimage.minimum_filter(positive, 5)
    matters = outline | (logits > _OUTSIDE)
    rows, columns = (np.flatnonzero(matters.any(axis)) for axis in (1, 0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    part = (slice(box[0], box[2]), slice(box[1], box[3]))
    kept = np.where(matters[part], logits[part], _FLOOR)
    size = np.arcsinh(np.abs(kept) / _SOFTNESS) * _LEVELS_PER_UNIT
    size = np.where(outline[part], np.rint(size), np.rint(size / _COARSE) * _COARSE)
    size = np.where(kept > 0, np.clip(size, 1, 127), -np.clip(size, 0, 127))
    return size.astype(np.int8), box


def _dequantise() -> NDArray[np.float32]:
    levels = np.arange(-128, 128)
    values = np.sinh(np.abs(levels) / _LEVELS_PER_UNIT) * _SOFTNESS * np.sign(levels)
    return np.asarray(values, np.float32)


_VALUES = _dequantise()  # logit of each level, from -128


@lru_cache(maxsize=32)
def _axis_taps(
    source: int, target: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the two source pixels between which each target pixel's centre lies."""
    scale = np.float32(source / target)
    position = np.maximum((np.arange(target, dtype=np.float32) + 0.5) * scale - 0.5, 0)
    first = np.minimum(position.astype(np.intp), source - 1)
    return first, np.minimum(first + 1, source - 1), (position - first).astype(np.float32)


def _taps(
    source: int, target: int, start: int, stop: int
) -> tuple[slice, NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the target pixels that lie between pixels of a crop, and these within it."""
    first, second, weight = _axis_taps(source, target)
    inside = slice(
        int(np.searchsorted(first, start)), int(np.searchsorted(second, stop, side="left"))
    )
    return inside, first[inside] - start, second[inside] - start, weight[inside]
