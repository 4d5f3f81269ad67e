"""What makes living tissue hard to outline: stains without an edge, relief, a lumen's folds."""

from __future__ import annotations

from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.training.draws import Draws, over_frames, over_images
from napari_surgisam.training.optics import Look


def stained(
    draws: Draws, below: Tensor, texture: Tensor, alpha: Tensor, look: Tensor, tool: Tensor
) -> tuple[Tensor, Tensor]:
    """Turn some objects into a stain: the texture below, in another tone and with a broad edge.

    A flat lesion in mucosa, an infarct or an oedema has no texture or outline of its own.

    Parameters
    ----------
    below, texture : (B, T, 3, S, S) Tensor
        The picture so far, and the object's own texture.
    alpha : (B, T, S, S) Tensor
        Opacity of the object.
    look, tool : (B,) Tensor
        The clip's look, and whether the object is an instrument, which stains nothing.

    Returns
    -------
    texture, alpha : Tensor
        0.5 of the opacity stays the object's outline.
    """
    likely = torch.tensor([0.04, 0.35, 0.3, 0.3, 0.04], device=look.device)
    stains = draws.chance(likely[look]) & ~tool
    grey = (look == Look.TOMOGRAPHY) | (look == Look.ULTRASOUND)
    tone = draws.normal(draws.batch, 1)
    hue = torch.where(grey[:, None], tone.expand(-1, 3), 0.5 * tone + draws.normal(draws.batch, 3))
    hue = F.normalize(hue, dim=-1) * draws.log_uniform(0.12, 0.4)[:, None]
    gain = over_images(draws.uniform(0.5, 1.1))
    mean = below.mean((-2, -1), keepdim=True)
    changed = mean + (below - mean) * gain + hue[:, None, :, None, None]
    texture = torch.where(over_images(stains), changed, texture)
    # a broad edge: opacity as a gentler function of the same distance
    broad = over_frames(torch.where(stains, draws.uniform(0.15, 1.0), 1.0))
    return texture, torch.sigmoid(torch.logit(alpha, eps=1e-6) * broad)


def in_relief(draws: Draws, texture: Tensor, field: Tensor, size: Tensor, look: Tensor) -> Tensor:
    """Light an object from one side, as a dome that bulges out of the frame or into it.

    Parameters
    ----------
    texture : (B, T, 3, S, S) Tensor
    field : (B, T, S, S) Tensor
        Distance to the outline in units of the frame's half side, positive inside.
    size : (B,) Tensor
        Half-size of the object in the same units.
    """
    likely = torch.tensor([0.25, 0.5, 0.0, 0.0, 0.2], device=look.device)
    strength = draws.uniform(0.1, 0.6) * draws.chance(likely[look])
    height = (field / over_frames(size)).clamp(0, 0.6).sqrt()
    along, across = (
        F.pad(height, pad, mode="replicate").diff(dim=dim)
        for dim, pad in ((-2, (0, 0, 1, 0)), (-1, (1, 0, 0, 0)))
    )
    angle = draws.uniform(0, 2 * pi)
    slope = along * over_frames(angle.sin()) + across * over_frames(angle.cos())
    slope = slope * over_frames(size) * (field.shape[-1] / 2)
    shade = over_frames(strength) * slope.clamp(-1, 1)
    return texture * (1 + shade)[:, :, None]


def lumen(draws: Draws, ground: Tensor, where: Tensor, look: Tensor) -> Tensor:
    """Look down a hollow organ: folds around a dark end that light does not reach.

    Parameters
    ----------
    ground : (B, T, 3, S, S) Tensor
    where : (B, T, S, S, 2) Tensor
        Coordinates x, y that move with the camera.
    """
    seen = draws.chance(0.45) & (look == Look.ENDOSCOPY)
    if not seen.any():
        return ground
    centre = draws.uniform(-0.7, 0.7, draws.batch, 1, 1, 1, 2)
    aside = where - centre
    stretch = over_frames(draws.uniform(-0.4, 0.4).exp())
    radius = torch.sqrt((aside[..., 0] * stretch).square() + aside[..., 1].square() + 1e-4)
    turn = torch.atan2(aside[..., 1], aside[..., 0])
    lobes = over_frames(draws.uniform(0.2, 1.0))
    lobes = lobes * torch.sin(3 * turn + over_frames(draws.uniform(0, 2 * pi)))
    phase = radius.log() * over_frames(draws.uniform(3.0, 9.0)) + lobes
    folds = 1 + over_frames(draws.uniform(0.05, 0.35)) * torch.sin(phase)
    reach = over_frames(draws.log_uniform(0.1, 0.6))
    dark = 1 - over_frames(draws.uniform(0.4, 0.95)) * torch.exp(-(radius / reach).square())
    return torch.where(over_images(seen), ground * (folds * dark)[:, :, None], ground)
