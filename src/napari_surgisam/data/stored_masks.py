"""One object on one frame, in a few kilobytes: logits that are quantised and compressed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_surgisam.data.regions import Region

_SOFTNESS = 0.5  # levels are even up to this logit, then grow with the logit
_LIMIT = 32.0  # SAM 2 clamps logits that are fed back here, too
_LEVELS = 1400  # levels per unit of asinh(logit / softness)
_HIGHEST = int(np.arcsinh(_LIMIT / _SOFTNESS) * _LEVELS)
_FINE, _COARSE = 8, 256  # levels that are one: next to the outline, and where it cannot move
_OUTSIDE, _FLOOR = -6.0, -8.0  # what is below the first, away from the outline, is the second


@dataclass(frozen=True, slots=True, eq=False)
class StoredMask:
    """One object on one frame: its logits in a few kilobytes, and what belongs to them.

    Those of a tracked frame are kept to half a percent next to the outline, and to a fifth
    elsewhere, where they no longer move it. Those of a conditioning frame are kept whole, in
    half precision: every other frame leans on them. Signs are exact.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the logits.
    box : tuple of int
        First row and column, and the ones after the last, of the part that is painted.
    data : bytes
        The logits, compressed; empty where the object is absent.
    iou : float
        Predicted IoU, in [0, 1].
    presence : float
        Logit of "the object is in the frame".
    pointer : (C,) float16 array
        Object pointer; it cannot be recovered from the mask.
    conditioning : bool
        Whether a prompt made this mask.
    direction : int
        1 or -1 for the pass whose memories the mask was made with, 0 for none: by a prompt, or
        by the name of its class.
    region : Region, optional
        Part of the frame that the logits cover, outside which the object is not; None is all.
    area : int
        Logits that belong to the object.
    """

    shape: tuple[int, int]
    box: tuple[int, int, int, int]
    data: bytes
    iou: float
    presence: float
    pointer: NDArray[np.float16]
    conditioning: bool
    direction: int
    region: Region | None = None
    area: int = 0

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
        region: Region | None = None,
    ) -> StoredMask:
        """Quantise and compress (h, w) logits; those of an absent object are dropped."""
        height, width = logits.shape
        box, data = (0, 0, 0, 0), b""
        area = int(np.count_nonzero(logits > 0)) if presence > 0 else 0
        if area:
            levels, box = _quantise(logits)
            data = _compress(_halve(logits) if conditioning else levels)
        return cls(
            shape=(height, width),
            box=box,
            data=data,
            iou=float(iou),
            presence=float(presence),
            pointer=np.asarray(pointer, np.float16),
            conditioning=conditioning,
            direction=int(direction),
            region=region,
            area=area,
        )

    @property
    def nbytes(self) -> int:
        """Size of mask and pointer, in bytes."""
        return len(self.data) + self.pointer.nbytes

    @property
    def empty(self) -> bool:
        """Whether no pixel belongs to the object."""
        return not self.data

    @property
    def by_class(self) -> bool:
        """Whether it was found by the name of its class: neither prompted nor tracked."""
        return not self.conditioning and self.direction == 0

    def crop(self) -> NDArray[np.float32]:
        """Return the logits inside `box`, of at least a pixel around every positive one."""
        y0, x0, y1, x1 = self.box
        if self.conditioning:
            return self.logits()[y0:y1, x0:x1]
        levels = _decompress(self.data, np.dtype("<i2")).reshape(y1 - y0, x1 - x0)
        return np.asarray(_VALUES[levels + _HIGHEST])

    def logits(self) -> NDArray[np.float32]:
        """Return the (h, w) logits; far outside a tracked object, and where it is absent, -8."""
        if self.conditioning and self.data:
            whole = _decompress(self.data, np.dtype("<f2"))
            return whole.reshape(self.shape).astype(np.float32)
        logits = np.full(self.shape, _FLOOR, np.float32)
        y0, x0, y1, x1 = self.box
        if self.data:
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
        seen = self.region or Region(0, 0, *shape)
        rows, top, bottom, down = _taps(self.shape[0], seen.height, y0, y1)
        columns, left, right, across = _taps(self.shape[1], seen.width, x0, x1)
        crop = self.crop()
        lines = crop[top] + (crop[bottom] - crop[top]) * down[:, None]
        first = lines.take(left, axis=1)
        logits = lines.take(right, axis=1)
        logits -= first
        logits *= across
        logits += first
        return _shifted(rows, seen.top), _shifted(columns, seen.left), logits

    def paint(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which of the (H, W) pixels of a frame belong to the object."""
        painted = np.zeros(shape, np.bool_)
        if not self.empty:
            rows, columns, logits = self.upsample(shape)
            painted[rows, columns] = logits > 0
        return painted


def same_mask(one: StoredMask | None, other: StoredMask | None) -> bool:
    """Whether two masks look alike, wherever each was read from; None is like None only."""
    if one is None or other is None or one is other:
        return one is other
    return (one.data, one.box, one.shape, one.region) == (
        other.data,
        other.box,
        other.shape,
        other.region,
    )


def _halve(logits: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return logits in half precision, none of which loses its sign or becomes infinite."""
    half = np.clip(logits, -65_000, 65_000).astype("<f2")
    return np.where(logits > 0, np.maximum(half, np.finfo(np.float16).smallest_subnormal), half)


def _compress(values: NDArray[np.int16] | NDArray[np.float16]) -> bytes:
    """Compress numbers of two bytes: the high bytes first, then the low ones."""
    return zlib.compress(values.view(np.uint8).reshape(-1, 2).T[::-1].tobytes())


def _decompress(data: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
    planes = np.frombuffer(zlib.decompress(data) if data else b"", np.uint8).reshape(2, -1)
    return np.ascontiguousarray(planes[::-1].T).view(dtype)


def _quantise(
    logits: NDArray[np.float32],
) -> tuple[NDArray[np.int16], tuple[int, int, int, int]]:
    """Return the levels of the part that matters, and its box."""
    positive = logits > 0
    outline = ndimage.maximum_filter(positive, 5) != ndimage.minimum_filter(positive, 5)
    matters = outline | (logits > _OUTSIDE)
    rows, columns = (np.flatnonzero(matters.any(axis)) for axis in (1, 0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    part = (slice(box[0], box[2]), slice(box[1], box[3]))
    kept = np.where(matters[part], logits[part], _FLOOR)
    size = np.arcsinh(np.abs(kept) / _SOFTNESS) * _LEVELS
    step = np.where(outline[part], _FINE, _COARSE)
    size = np.clip(np.rint(size / step) * step, 0, _HIGHEST)
    levels = np.where(kept > 0, np.maximum(size, 1), -size)
    return levels.astype("<i2"), box


def _dequantise() -> NDArray[np.float32]:
    levels = np.arange(-_HIGHEST, _HIGHEST + 1)
    values = np.sinh(np.abs(levels) / _LEVELS) * _SOFTNESS * np.sign(levels)
    return np.asarray(values, np.float32)


_VALUES = _dequantise()  # logit of each level, from the lowest


def _shifted(pixels: slice, by: int) -> slice:
    return slice(pixels.start + by, pixels.stop + by)


@lru_cache(maxsize=256)
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
