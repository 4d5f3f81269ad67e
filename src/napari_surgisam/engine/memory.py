"""What was seen, kept by frame, and the protocol that chooses what to attend to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What the network remembers of one object on one frame.

    Parameters
    ----------
    frame : int
    tokens : Tensor
        The spatial memory, opaque to everything but the network that made it; its first
        axis is the batch, of length 1.
    pointer : (C,) Tensor
        The object pointer.
    iou : float
        Predicted IoU of the mask that was remembered, in [0, 1].
    presence : float
        Logit of "the object is in the frame".
    """

    frame: int
    tokens: Tensor
    pointer: Tensor
    iou: float
    presence: float


@dataclass(frozen=True, slots=True)
class MemorySelection:
    """Which frames to attend to: numbers only, so it can be compared, logged and shown.

    Parameters
    ----------
    conditioning : tuple of int
        Prompted frames; their pointers are added where they lie in the pass's past.
    recent : mapping of int to int
        Tracked frames by temporal slot, 1 the latest.
    pointers : mapping of int to int
        Frames whose object pointer is read, by distance in frames.
    """

    conditioning: tuple[int, ...]
    recent: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    pointers: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, eq=False)
class Recall:
    """A selection with its memories, ready for the network.

    Parameters
    ----------
    spatial : tuple of (int, Memory)
        Temporal slot and memory; slot 0 is a conditioning frame, 1 the latest tracked one.
    pointers : tuple of (int, Memory)
        Distance in frames (>= 0) and the memory whose pointer is read.
    """

    spatial: tuple[tuple[int, Memory], ...]
    pointers: tuple[tuple[int, Memory], ...]

    @property
    def signature(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Slots and distances: objects with equal signatures run as one batch."""
        return tuple(s for s, _ in self.spatial), tuple(d for d, _ in self.pointers)
