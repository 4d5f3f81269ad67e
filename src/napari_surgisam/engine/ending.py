"""Where an object ends in a volume: how a slice that lacks it is told from one that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_surgisam.engine.memory import MemoryBank
from napari_surgisam.engine.network import FrameEmbedding, Prediction
from napari_surgisam.engine.plan import Direction

_PER_COSINE = 20.0  # presence logits for a cosine of 1
_BARELY = 0.1
"""Presence logit, at least, between slices that show the object."""

_SURER = 0.1
"""By how much each slice behind an object's end lowers its presence logit.

Most ends come too early, whatever the network and the likeness say of them: near its end a person
should look whether an object goes on, and ten slices behind it no more.
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """Rules for volumes; the default leaves presence as the network says it.

    Networks learn from clips, in which what is prompted mostly stays; most slices of a volume
    lack it, and what lies behind its end often continues its outline. So an object that one slice
    lacks stays absent in that direction, until a prompt shows it again. How sure that is counts
    the slices behind the end, and neither the network nor the likeness. Where the next prompted
    slice shows it, it has not ended, whatever these rules and the network say. In a movie an object
    turns and returns, so there these rules are not asked.

    Parameters
    ----------
    presence : float
        Presence logit below which a tracked object counts as absent.
    likeness : float
        Cosine of the mean features inside the mask with those on the least similar prompted slice,
        below which it is something else. 0 asks for none.
    """

    presence: float = 0.0
    likeness: float = 0.0

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(self.presence or self.likeness)

    def judge(
        self,
        prediction: Prediction,
        embedding: FrameEmbedding,
        bank: MemoryBank,
        frame: int,
        direction: Direction,
    ) -> Prediction:
        """Return what a network answered on a slice, with the presence that these rules leave."""
        if _goes_on(bank, frame, direction):
            return replace(prediction, presence=prediction.presence.clamp(min=_BARELY))
        presence = prediction.presence - self.presence
        if self.likeness and presence > 0:
            found = look_inside(embedding, prediction.mask_logits)
            likeness = _least_likeness(found, (bank[f].look for f in bank.conditioning_frames))
            if likeness is not None:
                presence = presence.clamp(max=_PER_COSINE * (likeness - self.likeness))
        passed = frame - direction
        ended = _has_ended(bank, passed)
        if ended or presence <= 0:
            before = float(bank[passed].presence) if ended else 0.0
            presence = presence.new_tensor(before - _SURER)
        return replace(prediction, presence=presence)


def look_inside(embedding: FrameEmbedding, logits: Tensor) -> Tensor | None:
    """Return the mean features inside a mask, (C,) of unit length, or None of an empty one.

    Parameters
    ----------
    embedding : FrameEmbedding
    logits : (h, w) Tensor
        They cover what the embedding shows.
    """
    features = embedding.features
    height, width = features.shape[-2:]
    inside = F.adaptive_avg_pool2d((logits > 0).to(features)[None], (height, width))
    if not bool(inside.any()):
        return None
    total = (features * inside).flatten(-2).sum(-1).view(-1)
    return F.normalize(total.float(), dim=0)


def _goes_on(bank: MemoryBank, frame: int, direction: Direction) -> bool:
    """Return whether the next prompted slice shows the object."""
    ahead = (f for f in bank.conditioning_frames if (f - frame) * direction > 0)
    following = min(ahead, key=lambda f: abs(f - frame), default=None)
    return following is not None and bank[following].presence > 0


def _has_ended(bank: MemoryBank, passed: int) -> bool:
    tracked = passed in bank and passed not in bank.conditioning_frames
    return tracked and bank[passed].presence <= 0


def _least_likeness(found: Tensor | None, known: Iterable[Tensor | None]) -> float | None:
    looks = [look for look in known if look is not None]
    if found is None or not looks:
        return None
    return float((torch.stack(looks).to(found) @ found).min())
