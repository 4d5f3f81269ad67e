"""What light, lens, sensor and scanner do to a synthetic clip."""

from __future__ import annotations

from enum import IntEnum
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.training.draws import Draws, over_frames, over_images


class Look(IntEnum):
    """Families of images."""

    NATURAL = 0
    ENDOSCOPY = 1
    TOMOGRAPHY = 2
    ULTRASOUND = 3
    MICROSCOPY = 4


def degrade(draws: Draws, images: Tensor, look: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Light, haze, gloss, speckle, shadows, blur, coarse sampling and noise.

    Parameters
    ----------
    images : (B, T, 3, S, S) Tensor
        Clean images in [0, 1].
    look : (B,) long Tensor
        A `Look` per clip.
    grid : (S, S, 2) Tensor
        Coordinates x, y of the frame, from -1 to 1.

    Returns
    -------
    images : (B, T, 3, S, S) Tensor
        In [0, 1].
    shown : (B, S, S) Tensor
        1 inside the field of view, 0 where an endoscope's or a probe's picture is black.
    """
    colour = (look == Look.NATURAL) | (look == Look.ENDOSCOPY)
    images = _light(draws, images, look, grid)
    images = _film(draws, images, look, colour)
    contrast = over_images(draws.uniform(-0.35, 0.35).exp())
    images = images.clamp(0, 1) ** contrast
    # a window or an exposure that leaves most of the range unused
    dim = torch.where(draws.chance(0.2), draws.log_uniform(0.15, 0.8), 1.0)
    images = images * over_images(dim)
    images = _speckle(draws, images, look, grid)
    images = _sample(draws, images, look)
    noise = over_images(draws.uniform(0, 0.05) * draws.chance(0.6) * dim.sqrt())
    images = images + noise * draws.normal(*images.shape)
    inverted = over_images((draws.chance(0.15) & ~colour).float())
    images = images * (1 - inverted) + (1 - images) * inverted
    shown = _field_of_view(draws, look, grid)
    return images.clamp(0, 1) * shown[:, None, None], shown


def _light(draws: Draws, images: Tensor, look: Tensor, grid: Tensor) -> Tensor:
    """Uneven light (in MR a bias field), dark rims, and flicker."""
    batch, frames, size = draws.batch, images.shape[1], images.shape[-1]
    smooth = F.interpolate(draws.normal(batch, 1, 4, 4), size=size, mode="bicubic")
    light = 1 + over_images(draws.uniform(0, 0.3) * draws.chance(0.5)) * smooth[:, None]
    lamp = torch.where(look == Look.ENDOSCOPY, 0.7, 0.2)
    vignette = over_images(draws.uniform(0, 0.5) * draws.chance(lamp)) * grid.square().sum(-1)
    flicker = 1 + draws.normal(batch, frames, 1, 1, 1) * 0.03
    return images * light.clamp(min=0.2) * (1 - vignette).clamp(min=0.1) * flicker


def _film(draws: Draws, images: Tensor, look: Tensor, colour: Tensor) -> Tensor:
    """Smoke and wet reflections, in colour only."""
    batch, size = draws.batch, images.shape[-1]
    wet = look == Look.ENDOSCOPY
    cloud = F.interpolate(draws.normal(batch, 1, 4, 4), size=size, mode="bicubic")[:, None]
    smoke = over_images(draws.uniform(0, 0.6) * (colour & draws.chance(0.12)))
    smoke = smoke * cloud.clamp(0, 1)
    images = images * (1 - smoke) + 0.85 * smoke
    cells = (10, 20, 32)[int(draws.choose([1.0, 1.0, 1.0], 1))]
    spots = F.interpolate(draws.normal(batch, 1, cells, cells), size=size, mode="bicubic")[:, None]
    shiny = draws.chance(torch.where(wet, 0.7, 0.08)) & colour
    gloss = ((spots - over_images(draws.uniform(1.9, 3.0))) * 6).clamp(0, 1)
    gloss = gloss * over_images(shiny.float())
    return images + (1 - images) * gloss


def _speckle(draws: Draws, images: Tensor, look: Tensor, grid: Tensor) -> Tensor:
    """Ultrasound: multiplicative grain, and shadows that fan out below what reflects."""
    echo = look == Look.ULTRASOUND
    if not echo.any():
        return images
    batch, frames, size = draws.batch, images.shape[1], images.shape[-1]
    cell = size // (1, 2, 3)[int(draws.choose([1.0, 1.0, 1.0], 1))]
    grain = F.interpolate(draws.normal(batch * frames, 1, cell, cell), size=size, mode="bilinear")
    strength = over_images(draws.uniform(0.1, 0.4) * echo)
    images = images * (1 + strength * grain.view(batch, frames, 1, size, size)).clamp(min=0)
    angle = torch.atan2(grid[..., 0], grid[..., 1] + 1.8)
    beam = (angle - over_frames(draws.uniform(-0.5, 0.5))).abs()
    beam = torch.sigmoid((over_frames(draws.uniform(0.03, 0.12)) - beam) / 0.02)
    below = torch.sigmoid((grid[..., 1] - over_frames(draws.uniform(-0.6, 0.6))) / 0.1)
    dark = over_frames(draws.uniform(0.3, 0.9) * (echo & draws.chance(0.4)))
    return images * (1 - dark * beam * below)[:, :, None]


def _sample(draws: Draws, images: Tensor, look: Tensor) -> Tensor:
    """Blur, and small matrices enlarged: what a crop of a scan looks like."""
    size = images.shape[-1]
    scan = (look == Look.TOMOGRAPHY) | (look == Look.ULTRASOUND)
    flat = images.flatten(0, 1)
    blurred = F.avg_pool2d(F.pad(flat, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    images = torch.where(over_images(draws.chance(0.15)), blurred.view(images.shape), images)
    coarse = draws.chance(torch.where(scan, 0.6, 0.2))
    small = int(size * float(draws.uniform(0.18, 0.7, 1)))
    flat = F.interpolate(images.flatten(0, 1), size=small, mode="area")
    flat = flat + draws.normal(*flat.shape) * 0.01
    enlarged = F.interpolate(flat, size=size, mode="bicubic").view(images.shape)
    return torch.where(over_images(coarse), enlarged, images)


def _field_of_view(draws: Draws, look: Tensor, grid: Tensor) -> Tensor:
    """Return what an endoscope's circle or a probe's fan lets through, (B, S, S)."""
    circle = (look == Look.ENDOSCOPY) & draws.chance(0.3)
    fan = (look == Look.ULTRASOUND) & draws.chance(0.4)
    centre = draws.normal(draws.batch, 1, 1, 2) * 0.1
    radius = (grid - centre).norm(dim=-1)
    circular = torch.sigmoid((draws.uniform(0.9, 1.3)[:, None, None] - radius) / 0.01)
    angle = torch.atan2(grid[..., 0], grid[..., 1] + 1.2).abs()
    fanned = torch.sigmoid((draws.uniform(0.15, 0.25)[:, None, None] * pi - angle) / 0.01)
    shown = torch.where(circle[:, None, None], circular, 1.0)
    return torch.where(fan[:, None, None], fanned, shown)
