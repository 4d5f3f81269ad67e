"""What a masklet's prediction is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the terms; the defaults suit training from scratch.

    Parameters
    ----------
    entropy, dice, iou, presence : float
    absent : float
        How much more an absent object counts for presence than one that is there: absence is
        rare, and a volume is mostly where an object is not.
    empty : float
        Share of the mask loss that an absent object receives, whose mask should be empty. SAM 2
        gives it none; but pixels learn sooner than a single token that an object has gone.
    others : float
        Share of the mask loss that the candidates which are not the best receive. SAM gives
        them none; a little keeps them alive from random weights.
    focal : float
        Of SAM 2's focal loss, beside or in place of the cross-entropy.
    soften : float
        Standard deviation of the Gaussian that blurs the targets' outlines, in pixels of the
        mask; 0 leaves them sharp.
    """

    entropy: float = 5.0
    dice: float = 1.0
    iou: float = 2.0
    presence: float = 2.0
    absent: float = 3.0
    empty: float = 0.5
    others: float = 0.1
    focal: float = 0.0
    soften: float = 0.0


def masklet_loss(
    logits: Tensor,
    ious: Tensor,
    presence: Tensor,
    target: Tensor,
    weights: LossWeights | None = None,
) -> Tensor:
    """Return the mean loss of K predictions; only the best candidate counts in full.

    Parameters
    ----------
    logits : (K, M, h, w) Tensor
        Before the presence gate: gated logits of -1024 have no gradient.
    ious : (K, M) Tensor
        Predicted IoU, in [0, 1].
    presence : (K,) Tensor
        Logits of "the object is in the frame".
    target : (K, h, w) Tensor
        Coverage of each mask pixel by the object, in [0, 1]; all zero where it is absent.

    References
    ----------
    Ravi et al., arXiv:2408.00714, appendix D.2: focal (here also cross-entropy), Dice, IoU
    and presence terms, masks supervised only where the object is present. Liu et al. (SAM2S),
    arXiv:2511.16618: softened targets.
    """
    weights = weights or LossWeights()
    sharp = target[:, None].expand_as(logits)
    present = (target.flatten(1).amax(dim=1) > 0).float()
    if weights.soften:
        target = softened(target, weights.soften)
    wanted = target[:, None].expand_as(logits)
    pixels = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    entropy = pixels.mean((-2, -1))
    likely = logits.sigmoid()
    overlap = (likely * wanted).sum((-2, -1))
    dice = 1 - (2 * overlap + 1) / (likely.sum((-2, -1)) + wanted.sum((-2, -1)) + 1)
    mask_loss = weights.entropy * entropy + weights.dice * dice
    if weights.focal:
        mask_loss = mask_loss + weights.focal * _focal(pixels, likely, wanted)
    best = mask_loss.detach().argmin(dim=1, keepdim=True)
    chosen = mask_loss.gather(1, best)[:, 0]
    mask_loss = chosen + weights.others * (mask_loss.mean(dim=1) - chosen)
    iou_loss = (ious - binary_iou(logits.detach(), sharp)).square().mean(dim=1)
    counts = torch.where(present > 0, 1.0, weights.empty)
    share = counts / counts.sum().clamp(min=1)
    iou_loss = iou_loss * present
    presence_loss = F.binary_cross_entropy_with_logits(
        presence, present, weight=torch.where(present > 0, 1.0, weights.absent)
    )
    return (share * (mask_loss + weights.iou * iou_loss)).sum() + weights.presence * presence_loss


def softened(target: Tensor, deviation: float) -> Tensor:
    """Blur (K, h, w) targets with a Gaussian cut off at two deviations, at most 5 x 5 for 1.

    References
    ----------
    Liu et al. (SAM2S), arXiv:2511.16618: a 5 x 5 Gaussian of deviation 1, because where
    exactly an outline lies differs from annotator to annotator.
    """
    reach = max(1, round(2 * deviation))
    line = torch.arange(-reach, reach + 1, device=target.device, dtype=target.dtype)
    bell = torch.exp(-(line**2) / (2 * deviation**2))
    bell = bell / bell.sum()
    padded = F.pad(target[:, None], (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, bell[None, None, None, :])
    blurred: Tensor = F.conv2d(across, bell[None, None, :, None])[:, 0]
    return blurred


def _focal(pixels: Tensor, likely: Tensor, wanted: Tensor) -> Tensor:
    """Return SAM 2's focal loss of masks (alpha 0.25, gamma 2) from their cross-entropy."""
    right = likely * wanted + (1 - likely) * (1 - wanted)
    alpha = 0.25 * wanted + 0.75 * (1 - wanted)
    return (alpha * pixels * (1 - right).square()).mean((-2, -1))


def binary_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of thresholded masks over the last two axes; 0 where both are empty."""
    predicted, wanted = logits > 0, target > 0.5
    both = (predicted & wanted).sum((-2, -1))
    either = (predicted | wanted).sum((-2, -1))
    return both / either.clamp(min=1)


def covers(masks: Tensor, size: int) -> Tensor:
    """Return the coverage of (K, H, W) bool masks at (K, size, size)."""
    coverage: Tensor = F.adaptive_avg_pool2d(masks[:, None].float(), size)[:, 0]
    return torch.where(coverage.flatten(1).amax(1)[:, None, None] > 0, coverage, 0.0)
