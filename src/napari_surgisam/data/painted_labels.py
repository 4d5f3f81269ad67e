"""Labels that a person painted, before they are taken over."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import MAX_OBJECT_ID
from napari_surgisam.errors import DataError


def check_painted(frame: int, labels: NDArray[np.integer], shape: tuple[int, int]) -> None:
    """Raise a `DataError` unless labels can stand for a frame of (H, W) pixels."""
    if labels.shape != shape:
        raise DataError(
            f"The labels painted on frame {frame} have shape {labels.shape}, but the frames "
            f"have {shape}: give them on the image's own grid."
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= MAX_OBJECT_ID:
        raise DataError(
            f"The labels painted on frame {frame} run from {labels.min()} to "
            f"{labels.max()}: only 0 to {MAX_OBJECT_ID} can be stored."
        )


def pack_painted(labels: NDArray[np.integer]) -> bytes:
    """Return (H, W) labels as they are kept."""
    return zlib.compress(np.ascontiguousarray(labels, np.uint16).tobytes())


def unpack_painted(packed: bytes, shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Return the (H, W) labels that were packed."""
    return np.frombuffer(zlib.decompress(packed), np.uint16).reshape(shape).copy()


def keep_locked(
    before: NDArray[np.integer], after: NDArray[np.integer], locked: Iterable[int]
) -> NDArray[np.integer]:
    """Return painted labels in which locked objects have the pixels that they had.

    Parameters
    ----------
    before, after : (H, W) integer array
        Labels without and with what was painted.
    locked : iterable of int
        Labels that are neither painted over nor painted with.

    Returns
    -------
    (H, W) array of the type of `after`
    """
    ids = np.fromiter(locked, np.int64)
    if not ids.size:
        return after
    kept = (before != after) & (np.isin(before, ids) | np.isin(after, ids))
    return np.where(kept, before.astype(after.dtype), after) if kept.any() else after
