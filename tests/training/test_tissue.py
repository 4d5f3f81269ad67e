"""Stains, relief and a lumen: what each changes, and what it leaves alone."""

import pytest
import torch

from napari_surgisam.training.draws import Draws
from napari_surgisam.training.optics import Look
from napari_surgisam.training.tissue import in_relief, lumen, stained

BATCH, SIZE = 24, 32


@pytest.fixture
def draws():
    return Draws(BATCH, torch.Generator().manual_seed(3))


@pytest.fixture
def grid():
    axis = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1)


def looks(look):
    return torch.full((BATCH,), int(look))


def disc(grid, radius=0.6):
    return (radius - grid.norm(dim=-1)).expand(BATCH, 1, SIZE, SIZE)


def test_a_stain_keeps_the_texture_below_and_its_outline(draws, grid):
    below = torch.rand(BATCH, 1, 3, SIZE, SIZE)
    texture, alpha = torch.full_like(below, 0.5), torch.sigmoid(disc(grid) / 0.02)
    tools = torch.zeros(BATCH, dtype=torch.bool)
    found, broad = stained(draws, below, texture, alpha, looks(Look.ENDOSCOPY), tools)
    changed = (found != texture).flatten(1).any(1)
    assert 2 < int(changed.sum()) < BATCH - 2
    flat, under = (x[changed].flatten(3) for x in (found, below))
    flat, under = (x - x.mean(-1, keepdim=True) for x in (flat, under))
    assert torch.cosine_similarity(flat, under, dim=-1).min() > 0.99
    assert torch.equal(broad > 0.5, alpha > 0.5)
    assert ((broad - 0.5).abs() <= (alpha - 0.5).abs() + 1e-5).all()


def test_instruments_are_no_stains(draws, grid):
    below = torch.rand(BATCH, 1, 3, SIZE, SIZE)
    texture, alpha = torch.full_like(below, 0.5), torch.sigmoid(disc(grid) / 0.02)
    tools = torch.ones(BATCH, dtype=torch.bool)
    found, _ = stained(draws, below, texture, alpha, looks(Look.ENDOSCOPY), tools)
    assert torch.equal(found, texture)


def test_relief_is_bright_on_one_side_and_dark_on_the_other(draws, grid):
    texture = torch.full((BATCH, 1, 3, SIZE, SIZE), 0.5)
    size = torch.full((BATCH,), 0.6)
    found = in_relief(draws, texture, disc(grid), size, looks(Look.ENDOSCOPY))
    lit = (found != texture).flatten(1).any(1)
    assert 2 < int(lit.sum()) < BATCH
    shade = found[lit] - 0.5
    assert (shade.flatten(1).amax(1) > 0.02).all()
    assert (shade.flatten(1).amin(1) < -0.02).all()
    assert torch.equal(in_relief(draws, texture, disc(grid), size, looks(Look.TOMOGRAPHY)), texture)


def test_a_lumen_is_dark_and_only_in_endoscopy(draws, grid):
    ground = torch.full((BATCH, 1, 3, SIZE, SIZE), 0.5)
    where = grid.expand(BATCH, 1, SIZE, SIZE, 2)
    found = lumen(draws, ground, where, looks(Look.ENDOSCOPY))
    seen = (found != ground).flatten(1).any(1)
    assert 2 < int(seen.sum()) < BATCH
    assert found[seen].flatten(1).amin(1).max() < 0.45
    assert torch.equal(lumen(draws, ground, where, looks(Look.NATURAL)), ground)
