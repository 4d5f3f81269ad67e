"""Where a mask lies and how large it is, from the logits of an answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.data.prompts import Box
from napari_surgisam.data.regions import Region, mask_bounds


def as_mask(logits: Tensor) -> NDArray[np.bool_]:
    """Return the (h, w) mask of (h, w) logits, in the computer's own memory."""
    mask: NDArray[np.bool_] = (logits > 0).cpu().numpy()
    return mask


def box_of(mask: NDArray[np.bool_], region: Region | None) -> Box | None:
    """Return the outer edges of a mask's pixels, None where it is empty.

    They are in frame pixels, or, where the mask covers the whole frame, whose size nobody
    here knows, in pixels of the mask: compare only what has, or has not, a region.
    """
    return mask_bounds(mask, region, (mask.shape[0], mask.shape[1]))


def area_of(mask: NDArray[np.bool_], region: Region | None) -> float:
    """Return how many pixels a mask has, of the same kind as in `box_of`."""
    pixel = 1.0 if region is None else region.height * region.width / mask.size
    return float(np.count_nonzero(mask)) * pixel


def box_area(box: Box) -> float:
    """Return a box's height times its width."""
    return max(box.y1 - box.y0, 0.0) * max(box.x1 - box.x0, 0.0)


def box_iou(a: Box, b: Box) -> float:
    """Return the intersection of two boxes over their union, 0 where both have no area."""
    down = max(min(a.y1, b.y1) - max(a.y0, b.y0), 0.0)
    across = max(min(a.x1, b.x1) - max(a.x0, b.x0), 0.0)
    union = box_area(a) + box_area(b) - down * across
    return down * across / union if union > 0 else 0.0
