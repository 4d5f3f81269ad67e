"""Simulated prompts, in batches on the training device.

`data/clicks.py` simulates the annotator of an evaluation, exactly and one mask at a time;
here thousands of clicks a minute matter more than the exact centre of an error.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.data.prompts import Box, Point


def depth(masks: Tensor, side: int = 64) -> Tensor:
    """Return how deep each place lies inside (K, H, W) masks, as (K, side, side).

    The frame's border counts as outside. The depth is a sum of box filters of growing
    size, which orders places as the distance to the outside does, nearly.
    """
    inside = F.adaptive_avg_pool2d(masks[:, None].float(), side)
    total = inside
    blurred = inside
    for _ in range(3):
        blurred = F.avg_pool2d(blurred, 5, stride=1, padding=2)
        total = total + blurred
    return (total * (inside > 0.5) + 1e-3 * inside)[:, 0]


def click_points(masks: Tensor, random: torch.Generator, central: float = 0.5) -> list[Point]:
    """Return a positive click inside each (K, H, W) mask: central, or anywhere."""
    return [Point(y, x) for y, x in _places(depth(masks), masks.shape[-1], random, central)]


def points_beside(masks: Tensor, random: torch.Generator, reach: float = 0.1) -> list[Point]:
    """Return a negative click outside each (K, H, W) mask, within `reach` of the frame of it."""
    side = 64
    inside = F.adaptive_max_pool2d(masks[:, None].float(), side)
    border = int(reach * side)
    near = F.max_pool2d(inside, 2 * border + 1, stride=1, padding=border)
    ring = torch.where((near > 0) & (inside == 0), 1.0, 0.0)[:, 0]
    everywhere = (1 - inside[:, 0]) + 1e-3  # where the object fills its surroundings
    ring = torch.where(ring.flatten(1).amax(1)[:, None, None] > 0, ring, everywhere)
    places = _places(ring, masks.shape[-1], random, central=0.0)
    return [Point(y, x, positive=False) for y, x in places]


def correction_points(
    predicted: Tensor, masks: Tensor, random: torch.Generator, central: float = 0.8
) -> list[Point]:
    """Return a click in the largest error of each (K, H, W) prediction, missed or extra.

    Where nothing is wrong it confirms: inside the object, or anywhere outside an absent one.
    """
    missed, extra = depth(masks & ~predicted), depth(predicted & ~masks)
    deepest = torch.stack([missed.flatten(1).amax(1), extra.flatten(1).amax(1)])
    right, present = (deepest.amax(0) == 0), masks.flatten(1).any(1)
    positive = torch.where(right, present, deepest[0] >= deepest[1])
    errors = torch.where(positive[:, None, None], missed, extra)
    confirmed = torch.where(present[:, None, None], depth(masks), torch.ones_like(errors))
    errors = torch.where(right[:, None, None], confirmed, errors)
    places = _places(errors, masks.shape[-1], random, central)
    return [Point(y, x, p) for (y, x), p in zip(places, positive.tolist(), strict=True)]


def boxes_around(masks: Tensor, random: torch.Generator, jitter: float = 0.08) -> list[Box]:
    """Return a box around each (K, H, W) mask, each side moved by up to `jitter` of it."""
    size = masks.shape[-1]
    result = []
    for mask in masks:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        y0, y1 = float(rows[0]), float(rows[-1]) + 1
        x0, x1 = float(columns[0]), float(columns[-1]) + 1
        draw = torch.rand(4, generator=random, device=masks.device) * 2 - 1
        dy0, dx0, dy1, dx1 = (draw * jitter).tolist()
        height, width = y1 - y0, x1 - x0
        result.append(
            Box(
                max(0.0, y0 + dy0 * height),
                max(0.0, x0 + dx0 * width),
                min(size - 1.0, y1 + dy1 * height),
                min(size - 1.0, x1 + dx1 * width),
            )
        )
    return result


def _places(
    score: Tensor, size: int, random: torch.Generator, central: float
) -> list[tuple[float, float]]:
    """Draw a place per (K, h, w) score map: its maximum, or any place of at least half."""
    count, side, _ = score.shape
    flat = score.flatten(1)
    draw = torch.rand(flat.shape, generator=random, device=score.device)
    anywhere = torch.where(flat > 0.25 * flat.amax(1, keepdim=True), draw, draw - 1).argmax(1)
    at_centre = torch.rand(count, generator=random, device=score.device) < central
    index = torch.where(at_centre, flat.argmax(1), anywhere)
    scale = size / side
    y = (index.div(side, rounding_mode="floor") + 0.5) * scale - 0.5
    x = (index.remainder(side) + 0.5) * scale - 0.5
    return list(zip(y.tolist(), x.tolist(), strict=True))
