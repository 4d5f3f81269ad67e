"""Mistakes put into a tracked mask, so that the frames that follow learn to mend them.

Left alone, a clip of a few frames seldom shows what a thousand frames do: a mask that leaks
into what lies beside the object, and is then taken for the object.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.data.prompts import Point
from napari_surgisam.training.prompting import click_points, points_beside

SURE = 8.0  # logits


def with_mistakes(logits: Tensor, truth: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
    """Return mask logits with a leak beside each object, or with a piece of it lost.

    Half of them leak. Leaks and pieces are discs, half of the time no further than the region of
    the frame that they begin in, as real ones stop at edges.

    Parameters
    ----------
    logits : (K, h, w) Tensor
    truth : (K, S, S) bool Tensor
    labels : (K, S, S) uint8 Tensor
        The frame's regions.
    random : torch.Generator

    Returns
    -------
    (K, h, w) Tensor
        Detached. Absent objects stay as they are.
    """
    size, device = truth.shape[-1], truth.device

    def draws(low: float, high: float) -> Tensor:
        unit = torch.rand(len(truth), generator=random, device=device)
        return unit * (high - low) + low

    radius = (truth.flatten(1).sum(1) / torch.pi).sqrt()
    held = (draws(0, 1) < 0.5)[:, None, None]

    def discs(centres: list[Point], radii: Tensor) -> Tensor:
        begun = torch.stack([labels[k, round(p.y), round(p.x)] for k, p in enumerate(centres)])
        return _discs(centres, radii, size, device) & (~held | (labels == begun[:, None, None]))

    leak = discs(
        points_beside(truth, random, reach=0.06), (radius * draws(0.4, 1.2)).clamp(min=0.02 * size)
    )
    hole = discs(click_points(truth, random, central=0.0), radius * draws(0.4, 1.2))
    leaks = (draws(0, 1) < 0.5)[:, None, None]
    present = truth.flatten(1).any(1)[:, None, None]
    extra = _resized(leak & leaks & present, logits) * SURE
    lost = _resized(hole & ~leaks & present, logits) * SURE
    damaged = logits.detach()
    damaged = torch.where(extra > 0, torch.maximum(damaged, extra), damaged)
    return torch.where(lost > 0, torch.minimum(damaged, -lost), damaged)


def _discs(centres: list[Point], radius: Tensor, size: int, device: torch.device) -> Tensor:
    """Return (K, size, size) bool discs."""
    y, x = (
        torch.tensor([getattr(p, axis) for p in centres], device=device)[:, None] for axis in "yx"
    )
    side = torch.arange(size, device=device)
    squared = ((side - y) ** 2)[:, :, None] + ((side - x) ** 2)[:, None, :]
    return squared <= radius[:, None, None] ** 2


def _resized(masks: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(masks[:, None].float(), size=like.shape[-2:], mode="area")[:, 0]
