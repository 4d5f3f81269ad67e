"""SAM 2's own rule, and the walk back in time that other rules share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from napari_surgisam.engine.memory import Memory, MemoryBank, MemorySelection
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


RECENT = RecentFrames()


def latest(
    bank: MemoryBank,
    frame: int,
    direction: Direction,
    count: int,
    accept: Callable[[Memory], bool],
) -> dict[int, int]:
    """Walk back from `frame` over accepted memories, which move up where others are left out.

    The frame just passed is always accepted: it looks most like this one. As in SAM 2, a
    frame that conditions, or that the bank never saw, takes up its rank and leaves it empty:
    where everything is accepted, ranks are distances and the frames those of `RecentFrames`.

    Parameters
    ----------
    bank : MemoryBank
    frame : int
    direction : Direction
    count : int
        Ranks to fill at most, from 1.
    accept : callable
        Whether a tracked frame's memory may be attended to; prompted frames always may.

    Returns
    -------
    dict of int to int
        Frames by rank, 1 the nearest.
    """
    conditioning, prompted = bank.conditioning_near(frame), bank.conditioning_frames
    window = max(bank.slots, bank.pointer_slots)
    chosen: dict[int, int] = {}
    rank = 0
    for distance in range(1, window + 1):
        if rank == count:
            return chosen
        earlier = frame - distance * direction
        if earlier not in bank or earlier in conditioning:
            rank += 1
        elif distance == 1 or earlier in prompted or accept(bank[earlier]):
            rank += 1
            chosen[rank] = earlier
    for memory in bank.tracked_before(frame, direction):
        if rank == count:
            break
        if abs(frame - memory.frame) > window and accept(memory):
            rank += 1
            chosen[rank] = memory.frame
    return chosen


def nearest(frames: Collection[int], frame: int, count: int) -> tuple[int, ...]:
    """Return the `count` frames that lie nearest to `frame`, the nearest first."""
    return tuple(sorted(frames, key=lambda f: abs(frame - f))[: max(count, 0)])


def presented(selection: MemorySelection) -> tuple[int, ...]:
    """Return the frames of a selection in the order in which the network attends to them."""
    recent = (f for _, f in sorted(selection.recent.items(), reverse=True))
    return (*selection.conditioning, *recent, *selection.lasting)


def without(
    selection: MemorySelection, left_out: Collection[int], frame: int, direction: Direction
) -> MemorySelection:
    """Return a selection less the spatial memories of some frames; all pointers stay."""
    kept = tuple(f for f in selection.conditioning if f not in left_out)
    distances = {(frame - f) * direction: f for f in selection.conditioning if f in left_out}
    return replace(
        selection,
        conditioning=kept,
        recent={slot: f for slot, f in selection.recent.items() if f not in left_out},
        pointers={**selection.pointers, **{d: f for d, f in distances.items() if d >= 0}},
    )
