"""Outlines of synthetic objects, as signed distances, and partitions of the whole frame."""

from __future__ import annotations

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.training.draws import Draws, over_frames

BLOB, POLYGON, ROD, TUBE, RING, LOBES = range(6)


def signed_distance(draws: Draws, kind: Tensor, where: Tensor, time: Tensor) -> Tensor:
    """Draw an outline for each clip, which deforms slowly.

    Parameters
    ----------
    kind : (B,) long Tensor
        One of `BLOB`, `POLYGON`, `ROD` (a shaft with an opening tip), `TUBE`, `RING`, `LOBES`.
    where : (B, T, S, S, 2) Tensor
        Coordinates x, y in the object's own frame, where it reaches from about -1 to 1.
    time : (B, T) Tensor
        From 0 to at most 1.

    Returns
    -------
    (B, T, S, S) Tensor
        About the distance to the outline in the object's own units, positive inside.
    """
    x, y = where[..., 0], where[..., 1]
    noise = smooth_noise(draws, where, time)
    lumpy = over_frames(draws.uniform(0, 0.6))
    aspect = over_frames(draws.uniform(-0.6, 0.6).exp())
    radius = torch.sqrt((x * aspect).square() + (y / aspect).square() + 1e-6)
    outlines = (
        1 - radius + lumpy * noise,
        _polygon(draws, x, y) + 0.15 * lumpy * noise,
        _rod(draws, x, y),
        _tube(draws, x, y - 0.3 * noise * (lumpy > 0.3)),
        over_frames(draws.uniform(0.12, 0.3)) - (radius - 0.75 - 0.3 * lumpy * noise).abs(),
        _lobes(draws, x, y) + 0.3 * lumpy * noise,
    )
    field = outlines[BLOB]
    for other in range(POLYGON, len(outlines)):
        field = torch.where(over_frames(kind == other), outlines[other], field)
    return field


def _polygon(draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    """Three to six sides, convex."""
    turns = draws.uniform(0, 1, draws.batch, 6) + torch.arange(6, device=x.device)
    sides = draws.choose([1.0, 1.0, 1.0, 1.0], draws.batch) + 3
    field = torch.full_like(x, 9.0)
    for k in range(6):
        angle = over_frames(turns[:, k] * 2 * pi / sides)
        side = 0.75 - (x * angle.cos() + y * angle.sin())
        field = torch.where(over_frames(k < sides), torch.minimum(field, side), field)
    return field


def _rod(draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    """Draw an instrument: a shaft from far away that ends in two jaws."""
    thick = over_frames(draws.uniform(0.15, 0.4))
    opening = over_frames(draws.uniform(0.0, 0.5))
    shaft = thick - torch.maximum(y.abs(), x)
    jaws = thick * 0.5 - torch.maximum((y.abs() - opening * x).abs() - 0.05, (x - 0.5).abs() - 0.6)
    return torch.maximum(shaft, jaws)


def _tube(draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    bend = over_frames(draws.uniform(-1.0, 1.0))
    width = over_frames(draws.uniform(0.1, 0.3))
    middle = y - bend * (x.square() - 0.4)
    # many run through the whole frame, as vessels, cords and edges of organs do
    reach = over_frames(draws.log_uniform(0.8, 6.0))
    return torch.minimum(width - middle.abs(), reach - x.abs())


def _lobes(draws: Draws, x: Tensor, y: Tensor) -> Tensor:
    gap = over_frames(draws.uniform(0.4, 0.7))
    return 0.6 - torch.sqrt((x.abs() - gap).square() + y.square() + 1e-6)


def smooth_noise(draws: Draws, where: Tensor, time: Tensor, channels: int = 1) -> Tensor:
    """Return noise of a few lumps that changes slowly: (B, T, S, S), or (B, T, C, S, S)."""
    batch, frames = time.shape
    cells = int(draws.choose([1.0, 1.0, 1.0], 1)) * 2 + 4
    still, moving = draws.normal(2, batch, 1, channels, cells, cells)
    lively = draws.uniform(0, 0.8)[:, None] * time
    lively = lively[:, :, None, None, None]
    noise = still * (1 - lively) + moving * lively
    field = F.grid_sample(
        noise.flatten(0, 1),
        (where / 2.5).flatten(0, 1),
        mode="bilinear" if where.device.type == "cpu" else "bicubic",
        padding_mode="reflection",
        align_corners=False,
    ).view(batch, frames, channels, *where.shape[2:4])
    return field[:, :, 0] if channels == 1 else field


def partition(draws: Draws, where: Tensor, time: Tensor, regions: int) -> Tensor:
    """Split the frame into regions without a background, as tissues in a section.

    The regions are where one of several smooth fields is the largest (Billot et al.,
    SynthSeg, arXiv:2107.09559, train on random label maps in this way too).

    Returns
    -------
    (B, T, R, S, S) Tensor
        Share of each region, with borders that are a little soft.
    """
    fields = smooth_noise(draws, where * 0.9, time, regions)
    sharpness = draws.log_uniform(8, 60)[:, None, None, None, None]
    return (fields * sharpness).softmax(dim=2)
