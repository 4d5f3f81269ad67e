"""What is practised on a batch of clips: which objects, how they are prompted and disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a batch is practised.

    Parameters
    ----------
    objects : int
        Most objects per clip.
    rounds : int
        Predictions on the prompted frame: one, then one per correction click. Of many, the
        first and the last two are learned from.
    box, mask : float
        Share of objects that are prompted with a box, and in clips with a mask.
    several : float
        Chance that the objects of a batch start with two to `points` clicks at once, the last
        of them sometimes beside the object; the points of a file enter together like this.
    corrected : float
        Chance that a later frame of a clip receives one or two correction clicks, after which it
        is remembered as a prompted one.
    again : float
        Chance that a prediction on the prompted frame is refined as it is, with no new click.
    mistaken : float
        Chance that what is remembered of a tracked frame, and carried to the next one, has
        leaked or lost a piece.
    between : float
        Chance that the masks of a clip's last frame are given, and condition the others.
    smallest : int
        Least area of an object on its prompted frame, in pixels.
    points : int
        Most clicks that enter at once.
    """

    objects: int = 6
    rounds: int = 2
    box: float = 0.15
    mask: float = 0.3
    several: float = 0.45
    corrected: float = 0.3
    again: float = 0.0
    mistaken: float = 0.0
    between: float = 0.0
    smallest: int = 24
    points: int = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch gave.

    Parameters
    ----------
    loss : Tensor
    prompts : int
        Prompts answered.
    ious : dict of str to float
        Mean IoU by kind of answer.
    """

    loss: Tensor
    prompts: int
    ious: dict[str, float]


class ClipBatch(Protocol):
    """Clips with their objects, in a batch on the training device."""

    @property
    def images(self) -> Tensor:
        """(B, T, 3, S, S) uint8 frames."""
        ...

    @property
    def labels(self) -> Tensor:
        """(B, T, S, S) uint8 labels, 0 for what cannot be segmented."""
        ...

    def mask(self, clip: int, label: int, *, whole: bool = False) -> Tensor:
        """Return the (T, S, S) bool mask of an object, with its parts if `whole`."""
        ...


def choose_objects(
    batch: ClipBatch, lesson: Lesson, random: torch.Generator
) -> tuple[list[int], Tensor]:
    """Draw up to `lesson.objects` objects per clip that are seen on its first frame.

    Returns
    -------
    owners : list of int
        The clip of each object.
    masks : (K, T, S, S) bool Tensor
    """
    owners: list[int] = []
    masks: list[Tensor] = []
    for clip in range(len(batch.images)):
        areas = torch.bincount(batch.labels[clip, 0].flatten().long(), minlength=256)[1:]
        seen = (areas >= lesson.smallest).nonzero()[:, 0] + 1
        if not len(seen):
            continue
        shuffled = torch.randperm(len(seen), generator=random, device=random.device)
        for label in seen[shuffled.to(seen.device)][: lesson.objects].tolist():
            whole = bool(torch.rand(1, generator=random, device=random.device) < 0.8)
            owners.append(clip)
            masks.append(batch.mask(clip, label, whole=whole))
    size = batch.images.shape[-1]
    empty = torch.zeros(0, batch.images.shape[1], size, size, dtype=torch.bool)
    return owners, torch.stack(masks) if masks else empty
