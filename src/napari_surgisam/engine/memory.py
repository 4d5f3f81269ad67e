"""What was seen, kept by frame, and the protocol that chooses what to attend to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from napari_surgisam.data.regions import Region
from napari_surgisam.engine.plan import Direction
from napari_surgisam.errors import ModelError

if TYPE_CHECKING:
    from napari_surgisam.engine.network import Prediction


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What the network remembers of one object on one frame.

    Parameters
    ----------
    frame : int
    tokens : Tensor
        The spatial memory, opaque to everything but the network that made it; its first
        axis is the batch, of length 1, its second the channels.
    pointer : (C,) Tensor
        The object pointer.
    iou : float
        Predicted IoU of the mask that was remembered, in [0, 1].
    presence : float
        Logit of "the object is in the frame".
    next_region : Region, optional
        Where to look for the object on the frame that follows; None is the whole frame.
    look : (C,) Tensor, optional
        Mean features of the frame inside the mask, where a volume's `Ending` asks for them.
    mask : (h, w) Tensor, optional
        `Prediction.carried` of the mask that was remembered, for a network that takes it up.
    region : Region, optional
        Part of the frame that `mask` covers; None is all of it.
    """

    frame: int
    tokens: Tensor
    pointer: Tensor
    iou: float
    presence: float
    next_region: Region | None = None
    look: Tensor | None = None
    mask: Tensor | None = None
    region: Region | None = None


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
    lasting : tuple of int
        Tracked frames of long ago; they are presented last, without a time of their own,
        as conditioning frames are, and without their pointers.
    """

    conditioning: tuple[int, ...]
    recent: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    pointers: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    lasting: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recall:
    """A selection with its memories, ready for the network.

    Parameters
    ----------
    spatial : tuple of (int, Memory)
        Temporal slot and memory; slot 0 is a conditioning or lasting frame, 1 the latest
        tracked one.
    pointers : tuple of (int, Memory)
        Distance in frames (>= 0) and the memory whose pointer is read.
    """

    spatial: tuple[tuple[int, Memory], ...]
    pointers: tuple[tuple[int, Memory], ...]

    @property
    def signature(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Slots of the memories and distances of the pointers, whatever the frames."""
        return tuple(s for s, _ in self.spatial), tuple(d for d, _ in self.pointers)

    @property
    def counts(self) -> tuple[int, int]:
        """How many memories and pointers: objects with as many run as one batch."""
        return len(self.spatial), len(self.pointers)


class MemoryPolicy(Protocol):
    """Chooses what to attend to; it returns frame numbers, never tensors.

    See Also
    --------
    ChoosingPolicy : picks among the candidate masks as well.
    ObservingPolicy : carries a state from frame to frame.
    """

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose the memories to attend to on `frame`, in a pass that runs in `direction`.

        Numbers of frames that the bank does not hold are skipped.
        """
        ...

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Name older frames to keep after `frame`, beyond the bank's recent window.

        The set must be bounded in size, or memory grows with the video.
        """
        ...


@runtime_checkable
class ChoosingPolicy(MemoryPolicy, Protocol):
    """A policy that also picks among the candidate masks of a tracked frame."""

    def choose(self, bank: MemoryBank, prediction: Prediction) -> int:
        """Return the index of the candidate that counts, before the frame is remembered."""
        ...


@runtime_checkable
class ObservingPolicy(MemoryPolicy, Protocol):
    """A policy that learns from what was found: of motion, of occlusion, of good frames.

    Its state is frozen and belongs to the bank: one per object and pass, None at the start.
    """

    def observe(self, bank: MemoryBank, frame: int, prediction: Prediction) -> object:
        """Return the bank's state after `frame` was segmented and its memory added."""
        ...


class MemoryBank:
    """What one object left behind in one pass: bounded, whatever the video's length.

    Parameters
    ----------
    slots, pointer_slots : int
        Recent memories and pointers that the network can attend to; see `Network`.
    clip_length : int
        Frames in the source: SAM 2 looks back at pointers by less than that.
    conditioning : mutable mapping of int to Memory, optional
        Memories of the prompted frames, by frame. Passes of one object share it.
    max_conditioning : int or None
        How many conditioning frames are attended to at most; None is no limit.
    image_features : callable, optional
        Returns the (1, C, h, w) features of a frame, for `similarity` of images.

    Attributes
    ----------
    state : object
        What an `ObservingPolicy` carries from frame to frame.
    """

    def __init__(
        self,
        *,
        slots: int,
        pointer_slots: int,
        clip_length: int,
        conditioning: MutableMapping[int, Memory] | None = None,
        max_conditioning: int | None = None,
        image_features: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.slots = slots
        self.pointer_slots = min(pointer_slots, clip_length - 1)
        self.clip_length = clip_length
        self.max_conditioning = max_conditioning
        self.state: object = None
        self._conditioning = {} if conditioning is None else conditioning
        self._tracked: dict[int, Memory] = {}
        self._image_features = image_features
        self._similarities: dict[tuple[int, int, str, str], float] = {}

    @property
    def conditioning_frames(self) -> tuple[int, ...]:
        """All conditioning frames, ascending."""
        return tuple(sorted(self._conditioning))

    @property
    def tracked_frames(self) -> tuple[int, ...]:
        """Tracked frames that are still held, ascending."""
        return tuple(sorted(self._tracked.keys() - self._conditioning.keys()))

    def conditioning_near(self, frame: int) -> tuple[int, ...]:
        """Return the conditioning frames to attend to on `frame`, at most `max_conditioning`.

        Where there are more, these are the nearest one before, the nearest one at or after,
        then the nearest of the rest; of two equally far ones, the earlier.
        """
        frames = self.conditioning_frames
        if self.max_conditioning is None or len(frames) <= self.max_conditioning:
            return frames
        before = [f for f in frames if f < frame][-1:]
        after = [f for f in frames if f >= frame][:1]
        rest = sorted(set(frames) - {*before, *after}, key=lambda f: (abs(f - frame), f))
        return tuple(sorted([*before, *after, *rest][: self.max_conditioning]))

    def tracked_before(self, frame: int, direction: Direction) -> tuple[Memory, ...]:
        """Return the memories of frames that a pass has tracked before `frame`, nearest first."""
        passed = [f for f in self.tracked_frames if (frame - f) * direction > 0]
        return tuple(self._tracked[f] for f in sorted(passed, key=lambda f: abs(frame - f)))

    def __contains__(self, frame: int) -> bool:
        return frame in self._conditioning or frame in self._tracked

    def __getitem__(self, frame: int) -> Memory:
        """Return the memory of a frame; a prompted frame's is the one its prompt made.

        Raises
        ------
        KeyError
            If the frame is not held, or not any more.
        """
        memory = self._conditioning.get(frame)
        return self._tracked[frame] if memory is None else memory

    def add(self, memory: Memory, *, conditioning: bool = False) -> None:
        """Take up the memory of a frame, replacing what was held of it."""
        kept = self._conditioning if conditioning else self._tracked
        kept[memory.frame] = memory
        self._similarities = {
            key: value for key, value in self._similarities.items() if memory.frame not in key[:2]
        }

    def evict(self, frame: int, retained: frozenset[int] = frozenset()) -> None:
        """Drop what can no longer be attended to after `frame`, except the retained frames."""
        window = max(self.slots, self.pointer_slots)
        held = {f for f in self._tracked if abs(frame - f) < window or f in retained}
        if len(held) == len(self._tracked):
            return
        self._tracked = {f: memory for f, memory in self._tracked.items() if f in held}
        known = held | self._conditioning.keys()
        self._similarities = {
            key: value
            for key, value in self._similarities.items()
            if key[0] in known and key[1] in known
        }

    def similarity(self, a: int, b: int, of: Literal["memory", "image"] = "memory") -> float:
        """Return how alike two frames are; see `similarities`."""
        return self.similarities([a], b, of)[0]

    def similarities(
        self,
        frames: Sequence[int],
        reference: int,
        of: Literal["memory", "image"] = "memory",
        over: Literal["channels", "space"] = "channels",
    ) -> tuple[float, ...]:
        """Return how alike some frames and a reference are, in float32.

        Parameters
        ----------
        frames : sequence of int
            Their memories must be held; images are embedded again where needed.
        reference : int
        of : {"memory", "image"}
            What is compared: the object's spatial memories or the frames' features.
        over : {"channels", "space"}
            Cosine over the channels, averaged over the grid, or cosine over the grid,
            averaged over the channels.

        Returns
        -------
        tuple of float
            In [-1, 1], in the order of `frames`.

        Raises
        ------
        KeyError
            If a memory is not held.
        ModelError
            If images are to be compared by a bank that was made without their features.
        """
        keys = [(min(f, reference), max(f, reference), of, over) for f in frames]
        new = [f for f, key in zip(frames, keys, strict=True) if key not in self._similarities]
        if new:
            maps = torch.cat([self._map(f, of) for f in new]).float()
            cosines = _cosines(maps, self._map(reference, of).float(), over).tolist()
            found = dict(zip(new, cosines, strict=True))
            for f, key in zip(frames, keys, strict=True):
                if f in found:
                    self._similarities[key] = found[f]
        return tuple(self._similarities[key] for key in keys)

    def _map(self, frame: int, of: Literal["memory", "image"]) -> Tensor:
        if of == "memory":
            return self[frame].tokens
        if self._image_features is None:
            raise ModelError("This memory bank was made without image features to compare.")
        return self._image_features(frame)

    def recall(self, selection: MemorySelection, frame: int, direction: Direction) -> Recall:
        """Fetch the selected memories in the order in which SAM 2 presents them.

        Conditioning frames come first, then recent ones from the farthest slot to the
        nearest, then lasting ones; pointers of conditioning frames that lie in the pass's past
        first, then the others by distance. Frames that are not held are skipped, never
        replaced.
        """
        conditioning = [f for f in selection.conditioning if f in self]
        recent = [(slot, f) for slot, f in sorted(selection.recent.items()) if f in self]
        distances = [((frame - f) * direction, f) for f in conditioning]
        pointers = [
            *((d, f) for d, f in distances if d >= 0),
            *((d, f) for d, f in sorted(selection.pointers.items()) if f in self),
        ]
        return Recall(
            spatial=(
                *((0, self[f]) for f in conditioning),
                *((slot, self[f]) for slot, f in reversed(recent)),
                *((0, self[f]) for f in selection.lasting if f in self),
            ),
            pointers=tuple((d, self[f]) for d, f in pointers),
        )


def _cosines(maps: Tensor, reference: Tensor, over: Literal["channels", "space"]) -> Tensor:
    """Return the (K,) mean cosines of (K, C, ...) and (1, C, ...) maps."""
    first, second = maps.flatten(2), reference.flatten(2)
    along = 1 if over == "channels" else 2
    lengths = first.square().sum(along) * second.square().sum(along)
    # a quarter of the time of torch's own cosine_similarity on the CPU
    cosines = (first * second).sum(along) / lengths.sqrt().clamp_min(1e-8)
    return cosines.mean(dim=1)
