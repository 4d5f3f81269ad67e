"""Masks that agree with the clicks, where a network does not do as they say.

A network of this size follows a first click well, and a tenth at a border hardly. What it made of
the frame tells cells that belong together, so a click that it did not follow moves the logits of
cells that are like the clicked one and near it, and of no others: a Gaussian process over the
frame's cells, whose covariance is that of their embeddings, faded with distance.

References
----------
Jang and Kim, Interactive Image Segmentation via Backpropagating Refinement Scheme, CVPR 2019.
Zhou et al., Interactive Segmentation as Gaussian Process Classification, arXiv:2302.14578.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ASKED = 2.0
"""Logit, at least, that a click asks for around it."""

HELD = 4.0
"""Logit, at least, of the cell that was clicked on."""

REACH = 0.2
"""Standard deviation of the distance that a click counts for, as a share of the mask's side."""

DOUBT = 0.1
"""Variance of what a click asks for; a cell's own is 1."""

FLOOR = 0.1
"""Share of the mean variance that is added to every direction of the embedding."""


def agreed(
    decoder: nn.Module, masks: Tensor, points: Mapping[str, Tensor] | None, image_size: int
) -> Tensor:
    """Return masks as the clicks want them, where their decoder lends its embedding.

    Parameters
    ----------
    decoder : Module
        The one that made the masks last.
    masks : (B, M, h, w) Tensor
        Logits.
    points : mapping of str to Tensor, or None
        ``point_coords``, (B, N, 2) x and y in pixels of the network's square, and
        ``point_labels``, (B, N): 1 and 0 for positive and negative clicks; others are none.
    image_size : int
        Side of the square.
    """
    lend = getattr(decoder, "take_embedding", None)
    embedding: Tensor | None = lend() if lend is not None else None
    if points is None or embedding is None:
        return masks
    coordinates, labels = points["point_coords"], points["point_labels"]
    signs = (labels == 1).float() - (labels == 0).float()
    if not signs.any():
        return masks
    places = (coordinates + 0.5) * (masks.shape[-1] / image_size) - 0.5
    with torch.autocast(masks.device.type, enabled=False):
        masks = agree(masks.float(), embedding.float(), places, signs)
    return _held(masks, places, signs)


def agree(masks: Tensor, embedding: Tensor, places: Tensor, signs: Tensor) -> Tensor:
    """Move logits so that clicks come true, of cells that are like the clicked ones and near them.

    Clicks that the masks agree with hold what is like them in place.

    Parameters
    ----------
    masks : (B, M, h, w) Tensor
    embedding : (B, C, h, w) Tensor
    places : (B, N, 2) Tensor
        x and y of the clicks, in cells of the masks.
    signs : (B, N) Tensor
        1 for positive, -1 for negative clicks, 0 for what is no click.
    """
    height, width = masks.shape[-2:]
    x, y = places.round().long().unbind(-1)
    cells = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)  # (B, N)
    flat = masks.flatten(2)  # (B, M, hw)
    said = _at(flat, cells)  # (B, M, N)
    sign = signs[:, None]
    missing = sign * (ASKED - sign * said).clamp(min=0)
    likeness = _likeness(embedding, cells, places) * sign.abs()  # (B, hw, N)
    among = likeness.gather(1, cells[..., None].expand(-1, -1, cells.shape[1]))
    among = among + DOUBT * torch.eye(cells.shape[1], device=masks.device)
    # what is no click asks for nothing, and has no likeness: any pivot does
    among = among + torch.diag_embed(1 - signs.abs())
    weights = torch.linalg.solve(among, missing.transpose(1, 2))  # (B, N, M)
    moved: Tensor = masks + (likeness @ weights).transpose(1, 2).view(masks.shape)
    return moved


def _likeness(embedding: Tensor, cells: Tensor, places: Tensor) -> Tensor:
    """Return (B, hw, N) in [-1, 1]: how like every cell is to the clicked ones, and how near."""
    height, width = embedding.shape[-2:]
    vectors = embedding.flatten(2)  # (B, C, hw)
    channels = vectors.shape[1]
    variance = vectors @ vectors.transpose(1, 2) / vectors.shape[2]
    mean = variance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    floor = FLOOR * mean + torch.finfo(torch.float32).tiny
    variance = variance + floor * torch.eye(channels, device=embedding.device)
    root = torch.linalg.cholesky(variance)
    white = F.normalize(torch.linalg.solve_triangular(root, vectors, upper=False), dim=1)
    alike = white.transpose(1, 2) @ _at(white, cells)
    rows, columns = (torch.arange(n, device=places.device) for n in (height, width))
    dy = rows[None, :, None, None] - places[:, None, None, :, 1]
    dx = columns[None, None, :, None] - places[:, None, None, :, 0]
    spread = REACH * width
    near = torch.exp(-(dy.square() + dx.square()) / (2 * spread**2)).flatten(1, 2)
    likeness: Tensor = alike * near
    return likeness


def _at(maps: Tensor, cells: Tensor) -> Tensor:
    """Return (B, K, N) values of (B, K, hw) maps at (B, N) cells."""
    return maps.gather(2, cells[:, None].expand(-1, maps.shape[1], -1))


def _held(masks: Tensor, places: Tensor, signs: Tensor) -> Tensor:
    """Return logits that say what was clicked in the cells that were clicked on.

    They do not always after `agree`, least of all on objects of a few pixels; a person expects it.
    """
    height, width = masks.shape[-2:]
    rows, columns = (torch.arange(n, device=places.device) for n in (height, width))
    dy = rows[:, None] - places[..., 1, None, None]
    dx = columns - places[..., 0, None, None]
    near = dy.square() + dx.square() <= 0.75**2  # (B, N, h, w)
    inside, outside = (
        (near & (signs == sign)[..., None, None]).any(dim=1, keepdim=True) for sign in (1, -1)
    )
    masks = torch.where(inside, masks.clamp(min=HELD), masks)
    return torch.where(outside, masks.clamp(max=-HELD), masks)
