"""Leave out the memories that repeat others: fewer tokens to attend to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_surgisam.engine.memory import MemoryBank, MemorySelection
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies.recent import RECENT, presented, without
from napari_surgisam.engine.policies.settings import check_choice, check_range


@dataclass(frozen=True, slots=True)
class EfficientFramePruning:
    """SAM 2's memories, less those most like the latest one.

    All but the first and the last presented memory are compared with the last, by cosine
    over channels; the most alike are left out. Their object pointers stay, and so do the
    others' slots. Nothing is dropped from the bank.

    Parameters
    ----------
    version : {1, 2}
        1, the first public code: of 7 memories or more, `prune` are left out. 2: as many as
        bring them down to 7 less `prune`, so 6 memories become 5 as well.
    prune : int
        Memories to leave out of seven, 0 to 5; 0 is `RecentFrames`.
    protect_prompted : bool
        Whether prompted frames are never left out. The original protects the first memory
        only, so that it leaves out a second prompted frame.

    References
    ----------
    Liu et al., Surgical SAM 2: Real-time Segment Anything in Surgical Video by Efficient
    Frame Pruning, arXiv:2408.07931.
    """

    version: int = 2
    prune: int = 2
    protect_prompted: bool = False

    def __post_init__(self) -> None:
        check_choice("efficient-pruning", "version", self.version, (1, 2))
        check_range("efficient-pruning", "prune", self.prune, 0, 5)

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose SAM 2's memories, less the most redundant ones."""
        whole = RECENT.select(bank, frame, direction)
        frames = presented(whole)
        full = bank.slots + 1
        if self.version == 1:
            excess = self.prune if len(frames) >= full else 0
        else:
            excess = len(frames) + self.prune - full if self.prune else 0
        if excess <= 0:
            return whole
        candidates = [
            f for f in frames[1:-1] if not (self.protect_prompted and f in whole.conditioning)
        ]
        return without(whole, _most_alike(bank, candidates, frames[-1], excess), frame, direction)

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep nothing beyond the recent window."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class SplitPruning:
    """SAM 2's memories, less the most redundant one of the older and of the newer half.

    The older half is compared with the first memory, the newer with the last, by cosine over
    the grid, channel by channel.

    Parameters
    ----------
    mode : {"intended", "published"}
        ``published`` repeats the public code's index, one too high in the newer half: what it
        leaves out follows the memory that was found redundant, and is usually the latest.
    prune : int
        Memories to leave out of each half, 0 to 2; 0 is `RecentFrames`.

    References
    ----------
    Xu et al., TSMS-SAM2: Multi-scale Temporal Sampling Augmentation and Memory-Splitting
    Pruning for Promptable Video Object Segmentation and Tracking in Surgical Scenarios,
    arXiv:2508.05829.
    """

    mode: Literal["intended", "published"] = "intended"
    prune: int = 1

    def __post_init__(self) -> None:
        check_choice("split-pruning", "mode", self.mode, ("intended", "published"))
        check_range("split-pruning", "prune", self.prune, 0, 2)

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose SAM 2's memories, less the most redundant ones of both halves."""
        whole = RECENT.select(bank, frame, direction)
        frames = presented(whole)
        if not self.prune or len(frames) + 2 * self.prune <= bank.slots + 1:
            return whole
        middle = len(frames) // 2
        older, newer = frames[1:middle], frames[middle:-1]
        left_out: set[int] = set()
        if len(older) > self.prune:
            left_out |= _most_alike(bank, older, frames[0], self.prune, over="space")
        if len(newer) > self.prune:
            redundant = _most_alike(bank, newer, frames[-1], self.prune, over="space")
            shift = 1 if self.mode == "published" else 0
            left_out |= {frames[frames.index(f) + shift] for f in redundant}
        return without(whole, left_out, frame, direction)

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep nothing beyond the recent window."""
        return frozenset()


def _most_alike(
    bank: MemoryBank,
    frames: Sequence[int],
    reference: int,
    count: int,
    over: Literal["channels", "space"] = "channels",
) -> set[int]:
    """Return the frames whose memories are most like the reference's; of equals, the first."""
    alike = bank.similarities(frames, reference, over=over)
    ranked = sorted(zip(frames, alike, strict=True), key=lambda pair: -pair[1])
    return {f for f, _ in ranked[:count]}
