"""The array behind a new Labels layer: in memory while small, else compressed by frame."""

from __future__ import annotations

import tempfile
import weakref
from typing import Any

import numpy as np

IN_MEMORY_BYTES = 2**28
"""Largest label array that is kept uncompressed in memory."""


def label_store(shape: tuple[int, ...], plane: tuple[int, int]) -> Any:
    """Return a zero array of uint16 labels that takes little memory however long the source.

    Parameters
    ----------
    shape : tuple of int
    plane : tuple of int
        The axes of a frame: one frame is one chunk.

    Returns
    -------
    (…) uint16 array
        A NumPy array up to `IN_MEMORY_BYTES`, else a zarr array in a temporary folder that
        disappears with it.
    """
    if int(np.prod(shape, dtype=np.int64)) * 2 <= IN_MEMORY_BYTES:
        return np.zeros(shape, np.uint16)
    import zarr

    folder = tempfile.TemporaryDirectory(prefix="surgisam-labels-", ignore_cleanup_errors=True)
    array = zarr.create_array(
        folder.name,
        shape=shape,
        chunks=tuple(n if axis in plane else 1 for axis, n in enumerate(shape)),
        dtype="uint16",
        fill_value=0,
    )
    weakref.finalize(array, folder.cleanup)
    return array
