"""Masks that no network made: cut from others, or put together, in frame pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.regions import Region
from napari_surgisam.data.stored_masks import StoredMask

OUTSIDE = -8.0
"""Logit where an object certainly is not, as in stored masks."""

_MARGIN = 3  # pixels around an object, so that its outline has both sides

ABSENT = StoredMask(
    shape=(1, 1),
    box=(0, 0, 0, 0),
    data=b"",
    iou=1.0,
    presence=-10.0,
    pointer=np.zeros(0, np.float16),
    conditioning=False,
    direction=1,
)
"""The mask of an object that is known not to be in a frame; one value serves all frames."""


def frame_logits(mask: StoredMask, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the (H, W) logits of a mask in frame pixels, `OUTSIDE` where it was not looked for."""
    logits = np.full(shape, OUTSIDE, np.float32)
    if not mask.empty:
        rows, columns, part = mask.upsample(shape)
        logits[rows, columns] = part
    return logits


def cut_mask(
    logits: NDArray[np.float32], like: Sequence[StoredMask], *, conditioning: bool
) -> StoredMask:
    """Return a mask of (H, W) logits in frame pixels; its outline is theirs to the pixel.

    It has no pointer: no network made it, so that none goes on from it without being shown it.

    Parameters
    ----------
    logits : (H, W) float32 array
    like : sequence of StoredMask
        What it was made from: it is as sure as the least sure of these.
    conditioning : bool
        Whether it answers a prompt.
    """
    rows, columns = (np.flatnonzero((logits > 0).any(axis)) for axis in (1, 0))
    region = None
    if rows.size:
        height, width = logits.shape
        top, left = max(int(rows[0]) - _MARGIN, 0), max(int(columns[0]) - _MARGIN, 0)
        bottom, right = min(int(rows[-1]) + 1 + _MARGIN, height), int(columns[-1]) + 1 + _MARGIN
        right = min(right, width)
        if (bottom - top, right - left) != (height, width):
            region = Region(top, left, bottom - top, right - left)
            logits = logits[region.slices]
    direction = next((mask.direction for mask in like if mask.direction), 0)
    return StoredMask.from_logits(
        logits,
        iou=min(mask.iou for mask in like),
        presence=max(mask.presence for mask in like) if rows.size else ABSENT.presence,
        pointer=ABSENT.pointer,
        conditioning=conditioning,
        direction=0 if conditioning else direction,
        region=region,
    )


def unite_masks(
    masks: Sequence[StoredMask], shape: tuple[int, int], *, conditioning: bool
) -> StoredMask:
    """Return the union of masks of one frame."""
    logits = frame_logits(masks[0], shape)
    for mask in masks[1:]:
        np.maximum(logits, frame_logits(mask, shape), out=logits)
    return cut_mask(logits, masks, conditioning=conditioning)
