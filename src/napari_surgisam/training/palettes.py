"""Colours and contrasts of synthetic objects, by the family of their look."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.training import shapes
from napari_surgisam.training.draws import Draws
from napari_surgisam.training.optics import Look
from napari_surgisam.training.textures import TexturePool


def draw_palette(
    draws: Draws, pool: TexturePool, look: Tensor, kinds: Tensor, difficulty: float
) -> tuple[Tensor, Tensor]:
    """Draw the colours of each clip's ground and objects, by the clip's look.

    Parameters
    ----------
    look : (B,) long Tensor
    kinds : (B, L) long Tensor
        Outlines of the objects; rods are instruments where the look is endoscopy.
    difficulty : float
        From 0 to 1: how often a scan has little contrast.

    Returns
    -------
    base : (B, L + 1, 3) Tensor
        Mean colours in [0, 1]; the first is the ground's.
    amplitude : (B, L + 1, 3) Tensor
        Of the texture around it.
    """
    batch, count = kinds.shape[0], kinds.shape[1] + 1

    def is_(wanted: Look) -> Tensor:
        return (look == wanted)[:, None, None]

    photographic = pool.colours(batch * count).view(batch, count, 3)
    wild = draws.uniform(0.02, 0.98, batch, count, 3)
    base = torch.where(draws.chance(0.25)[:, None, None], wild, photographic)
    amplitude = draws.uniform(0, 0.2, batch, count, 1) * draws.uniform(0.2, 1.0, batch, 1, 1)
    # cut-outs: the pattern is the picture itself, with its own contrast
    cut_out = draws.chance(0.6, batch, count, 1) & draws.chance(0.7)[:, None, None]
    amplitude = torch.where(cut_out, draws.uniform(0.12, 0.28, batch, count, 1), amplitude)
    # grey scans, now and then with little contrast
    grey = draws.uniform(0.03, 0.97, batch, count, 1).expand(-1, -1, 3)
    faint = draws.chance(0.55 * difficulty)[:, None, None]
    centre = 0.25 + 0.5 * grey[:, :1]
    grey = torch.where(
        faint, centre + (grey - 0.5) * draws.log_uniform(0.08, 0.4)[:, None, None], grey
    )
    fine = draws.uniform(0, 0.09, batch, count, 1)
    fine = torch.where(faint, 0.4 * fine, fine)
    scan = is_(Look.TOMOGRAPHY) | is_(Look.ULTRASOUND)
    base, amplitude = torch.where(scan, grey, base), torch.where(scan, fine, amplitude)
    # mucosa and organs: one hue, objects a little apart; instruments of metal or plastic
    tissue = torch.tensor([0.62, 0.32, 0.27], device=kinds.device)
    tissue = tissue + draws.normal(batch, 1, 3) * 0.1
    tissue = tissue + draws.normal(batch, count, 3) * draws.uniform(0.03, 0.14)[:, None, None]
    metal = draws.uniform(0.05, 0.85, batch, count, 1) + draws.normal(batch, count, 3) * 0.03
    tool = F.pad(kinds == shapes.ROD, (1, 0))[..., None]
    tissue = torch.where(tool, metal, tissue)
    wet = is_(Look.ENDOSCOPY)
    base = torch.where(wet, tissue, base)
    amplitude = torch.where(wet, draws.uniform(0.01, 0.13, batch, count, 1), amplitude)
    # cells: glowing, stained, or in phase contrast; all alike
    base = torch.where(is_(Look.MICROSCOPY), _cells(draws, count), base)
    amplitude = torch.where(is_(Look.MICROSCOPY), fine * 1.3, amplitude)
    # look-alikes: an object takes the look of the one before
    alike = draws.chance(0.3)
    for k in range(2, count):
        copies = (alike & draws.chance(0.6))[:, None]
        base[:, k] = torch.where(copies, base[:, k - 1], base[:, k])
        amplitude[:, k] = torch.where(copies, amplitude[:, k - 1], amplitude[:, k])
    return base.clamp(0, 1), amplitude.expand(-1, -1, 3)


def _cells(draws: Draws, count: int) -> Tensor:
    """Return (B, L + 1, 3) colours of cells that glow, are stained, or shift the phase."""
    batch = draws.batch
    kind = draws.choose([0.45, 0.25, 0.3], batch)[:, None, None]
    spread = draws.normal(batch, count, 1) * 0.07
    ground = torch.stack(
        [draws.uniform(0, 0.25), draws.uniform(0.75, 0.95), draws.uniform(0.3, 0.7)], 1
    )
    step = torch.stack(
        [
            draws.uniform(0.15, 0.7),
            -draws.uniform(0.15, 0.55),
            draws.uniform(0.06, 0.2) * draws.normal(batch).sign(),
        ],
        1,
    )
    stain = draws.uniform(0.5, 1.1, batch, 1, 3)  # haematoxylin takes away some colours more
    below = ground.gather(1, kind[:, 0])[:, None]
    change = (step.gather(1, kind[:, 0])[:, None] + spread).expand(-1, -1, 3)
    tinted = (kind == 1) | draws.chance(0.2)[:, None, None]
    base = below + torch.where(tinted, change * stain, change)
    base[:, :1] = below.expand(-1, -1, 3)
    return base
