"""The array behind a new Labels layer: in memory while small, else compressed by frame."""

from __future__ import annotations

import tempfile
import weakref
from typing import Any

import numpy as np

from napari_surgisam.plugin.preferences import labels_limit


def label_store(shape: tuple[int, ...], plane: tuple[int, int], limit: int | None = None) -> Any:
    """Return a zero array of uint16 labels that takes little memory however long the source.

    Parameters
    ----------
    shape : tuple of int
    plane : tuple of int
        The axes of a frame: one frame is one chunk.
    limit : int, optional
        Bytes of labels that are kept in memory; what napari's preferences say by default.

    Returns
    -------
    (…) uint16 array
        A NumPy array up to `limit`, else a zarr array in a temporary folder that disappears
        with it. napari paints on either, and takes strokes back.
    """
    limit = labels_limit() if limit is None else limit
    if int(np.prod(shape, dtype=np.int64)) * 2 <= limit:
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
