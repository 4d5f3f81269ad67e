"""The protocol that a promptable segmenter with a memory satisfies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.data.prompts import Box, MaskSize, Point
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.memory import Memory, Recall

ABSENT_LOGIT = -1024.0
"""Logit of every pixel of an object that is judged absent (SAM 2's NO_OBJ_SCORE)."""

SUREST = 10.0
"""Logits beyond this say no more to a network that takes up a mask."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameEmbedding:
    """What the image encoder made of one frame.

    Parameters
    ----------
    features : (1, C, h, w) Tensor
    high_resolution : tuple of Tensor
        Finer maps for the mask decoder: (1, C0, 4h, 4w) and (1, C1, 2h, 2w).
    size : tuple of int
        Height and width of the frame, in pixels; prompts are in these pixels.
    """

    features: Tensor
    high_resolution: tuple[Tensor, ...]
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        tensors = (self.features, *self.high_resolution)
        return sum(t.numel() * t.element_size() for t in tensors)


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is asked about one object on one frame.

    Parameters
    ----------
    points : tuple of Point
        In frame pixels.
    box : Box, optional
        In frame pixels.
    mask : (H, W) bool array, optional
        A mask prompt: it becomes the answer, and gives the object's pointer.
    previous_logits : (h, w) Tensor, optional
        Logits of the mask that the points refine, at the network's mask resolution.
    recall : Recall, optional
        Memories to attend to; None on a frame seen without memory.
    clip_length : int
        Frames in the source; SAM 2 scales pointer distances by it where it is below 16.
    region : Region, optional
        Part of the frame that `previous_logits` cover; None is all of it.
    class_name : str
        A class of the network's, in place of points, box and mask; empty for none.
    mask_size : {"auto", "small", "medium", "large"}
        Which candidate counts, where there are several; see `Prediction.of_size`.
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask: NDArray[np.bool_] | None = None
    previous_logits: Tensor | None = None
    recall: Recall | None = None
    clip_length: int = 1
    region: Region | None = None
    class_name: str = ""
    mask_size: MaskSize = "auto"

    @property
    def prompted(self) -> bool:
        """Whether the user said something about the object on this frame."""
        return bool(self.points) or self.box is not None or self.mask is not None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One mask that the network proposes.

    Parameters
    ----------
    logits : (h, w) float32 Tensor
        At the network's mask resolution, before the presence gate.
    iou : float
        Predicted IoU, in [0, 1].
    pointer : (C,) Tensor
    """

    logits: Tensor
    iou: float
    pointer: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The network's answer for one object on one frame.

    Parameters
    ----------
    logits : (M, h, w) float32 Tensor
        The candidates' mask logits, before the presence gate; M is 1 or 3.
    ious : (M,) float32 Tensor
        Predicted IoU of each candidate.
    pointers : (M, C) Tensor
        Object pointer of each candidate.
    presence : () float32 Tensor
        Logit of "the object is in the frame".
    prompted : bool
        Whether the frame carried a prompt for this object.
    choice : int
        Which candidate counts.
    region : Region, optional
        Part of the frame that the logits cover; None is all of it.
    """

    logits: Tensor
    ious: Tensor
    pointers: Tensor
    presence: Tensor
    prompted: bool
    choice: int
    region: Region | None = None

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The proposals, in the network's order."""
        return tuple(
            Candidate(logits, float(iou.detach()), pointer)
            for logits, iou, pointer in zip(self.logits, self.ious, self.pointers, strict=True)
        )

    @property
    def mask_logits(self) -> Tensor:
        """(h, w) logits of the chosen candidate, `ABSENT_LOGIT` where the object is absent."""
        chosen = self.logits[self.choice]
        return chosen if self.presence > 0 else chosen.new_full(chosen.shape, ABSENT_LOGIT)

    @property
    def iou(self) -> float:
        """Predicted IoU of the chosen candidate."""
        return float(self.ious[self.choice].detach())

    @property
    def pointer(self) -> Tensor:
        """(C,) object pointer of the chosen candidate."""
        return self.pointers[self.choice]

    @property
    def carried(self) -> Tensor | None:
        """(h, w) logits that the frame that follows starts from, or None of an absent object.

        They are half as sure as they were, because objects move.
        """
        if self.presence <= 0:
            return None
        return self.logits[self.choice].detach().float().clamp(-SUREST, SUREST) / 2

    def choosing(self, choice: int) -> Prediction:
        """Return the same answer with another candidate chosen."""
        return replace(self, choice=choice)

    def of_size(self, size: MaskSize) -> Prediction:
        """Return the same answer with the smallest, middle or largest candidate chosen.

        Empty candidates do not count; of two, the middle one is the larger. "auto", and a single
        candidate, leave the choice.

        References
        ----------
        Kirillov et al., Segment Anything, arXiv:2304.02643: three masks for one click, mostly
        part, whole and all of it.
        """
        if size == "auto":
            return self
        areas = (self.logits > 0).flatten(1).sum(1).tolist()
        found = [k for k in sorted(range(len(areas)), key=areas.__getitem__) if areas[k]]
        if len(found) < 2:
            return self
        place = {"small": 0, "medium": len(found) // 2, "large": -1}[size]
        return self.choosing(found[place])


@dataclass(frozen=True, slots=True)
class Traits:
    """What suits a network's weights, beside their sizes; the defaults are SAM 2's.

    Parameters
    ----------
    volume_presence, volume_likeness : float
        Where a tracked object has ended in a volume: see `Ending`. 0 leaves presence as it is.
    carries_masks : bool
        Whether it was trained to refine an object's mask of the frame before, beside attending
        to memories.
    conditioning_slots : int or None
        Prompted frames that it can attend to at once; None is any number.
    begins_anew : bool
        Whether clicks where tracking has lost the object are answered without memories, which
        say that it is not there.
    """

    volume_presence: float = 0.0
    volume_likeness: float = 0.0
    carries_masks: bool = False
    conditioning_slots: int | None = None
    begins_anew: bool = False


class Network(Protocol):
    """A promptable segmenter with a memory: it embeds, segments and remembers.

    The verbs neither open nor close a gradient scope; their caller decides.

    Attributes
    ----------
    memory_slots : int
        Recent memories it can attend to (SAM 2: 6).
    pointer_slots : int
        Object pointers besides the conditioning ones (SAM 2: 15).
    image_size : int
        Side of the square that a frame is resized to, in pixels.
    mask_size : int
        Side of the mask logits, in pixels.
    encoder_fingerprint : str
        Identity of everything that an embedding depends on, besides the frame.
    traits : Traits
    classes : mapping of str to int
        Classes that can be asked for by name, with the label of each.
    """

    memory_slots: int
    pointer_slots: int
    image_size: int
    mask_size: int
    encoder_fingerprint: str
    traits: Traits
    classes: Mapping[str, int]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def embed(self, images: Tensor) -> list[FrameEmbedding]:
        """Embed (B, 3, H, W) uint8 images, resizing inside."""
        ...

    def segment(
        self, embedding: FrameEmbedding | Sequence[FrameEmbedding], queries: Sequence[Query]
    ) -> list[Prediction]:
        """Answer K queries about one frame, or about one frame each (training)."""
        ...

    def remember(
        self,
        embedding: FrameEmbedding | Sequence[FrameEmbedding],
        predictions: Sequence[Prediction],
        frame: int,
    ) -> list[Memory]:
        """Encode the chosen masks of one frame into memories."""
        ...
