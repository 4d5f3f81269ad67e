"""What to attend to: small pure strategies over the memory bank."""

from __future__ import annotations

from dataclasses import dataclass

from napari_surgisam.engine.memory import MemoryBank, MemorySelection
from napari_surgisam.engine.plan import Direction


@dataclass(frozen=True, slots=True)
class RecentFrames:
    """SAM 2's own rule: the conditioning frames and whatever came last.

    A slot belongs to a distance: frame `f - n` fills slot `n`. Where that frame is not held
    the slot stays empty, and older frames do not move up. A conditioning frame that the
    bank's limit left out still counts as a recent frame where it is one.

    References
    ----------
    Ravi et al., SAM 2: Segment Anything in Images and Videos, arXiv:2408.00714.
    """

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose the nearest conditioning frames and the frames just passed."""
        conditioning = bank.conditioning_near(frame)
        reach = max(bank.slots, bank.pointer_slots)
        passed = {
            distance: earlier
            for distance in range(1, reach + 1)
            if (earlier := frame - distance * direction) in bank and earlier not in conditioning
        }
        return MemorySelection(
            conditioning=conditioning,
            recent={d: f for d, f in passed.items() if d <= bank.slots},
            pointers={d: f for d, f in passed.items() if d <= bank.pointer_slots},
        )

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep nothing beyond the recent window."""
        return frozenset()
