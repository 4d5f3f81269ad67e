"""Remember what an object looked like long ago, in unlike views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from napari_surgisam.engine.memory import MemoryBank, MemorySelection
from napari_surgisam.engine.network import Prediction
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies.recent import RECENT, nearest
from napari_surgisam.engine.policies.settings import check_choice, check_range


@dataclass(frozen=True, slots=True)
class _Views:
    """The run of sure frames that goes on, and the frames that were kept, oldest first."""

    run: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DiverseMemory:
    """SAM 2's memories, and a few long-term ones chosen for how little they resemble.

    When `run` consecutive frames have a predicted IoU above `min_iou`, the one that is least
    like the last long-term memory, at first the prompted frame nearest to it, joins these;
    the oldest of more than `frames` is dropped. They are presented last, with the temporal
    encoding of conditioning frames, as weights that were not trained for them have none.

    Parameters
    ----------
    min_iou : float
        Above 1 no frame qualifies, which is `RecentFrames`.
    run : int
        Consecutive frames that must qualify, at most as many as the bank always holds.
    frames : int
        Long-term memories, besides the prompted frames.
    compare : {"image", "memory"}
        The frames' features, as the paper does, or the object's memories, as ReSurgSAM2
        does, which costs no embedding of a frame that was evicted.

    References
    ----------
    Liu et al., SAM2S: Segment Anything in Surgical Videos via Semantic Long-term Tracking,
    arXiv:2511.16618. Liu et al., ReSurgSAM2: Referring Segment Anything in Surgical Video
    via Credible Long-term Tracking, arXiv:2505.08581.
    """

    min_iou: float = 0.95
    run: int = 5
    frames: int = 4
    compare: Literal["image", "memory"] = "image"

    def __post_init__(self) -> None:
        check_range("diverse", "min_iou", self.min_iou, 0)
        check_range("diverse", "run", self.run, 1, 6)
        check_range("diverse", "frames", self.frames, 0, 32)
        check_choice("diverse", "compare", self.compare, ("image", "memory"))

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose SAM 2's memories and the long-term ones that are not among them."""
        whole = RECENT.select(bank, frame, direction)
        shown = {*whole.conditioning, *whole.recent.values()}
        lasting = tuple(f for f in _views(bank).kept if f not in shown and f in bank)
        return replace(whole, lasting=lasting)

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep the long-term memories."""
        return frozenset(_views(bank).kept)

    def observe(self, bank: MemoryBank, frame: int, prediction: Prediction) -> object:
        """Lengthen or break the run of sure frames, and choose from it once it is complete."""
        views, memory = _views(bank), bank[frame]
        sure = memory.iou > self.min_iou and memory.presence > 0
        if not self.frames or not sure or frame in bank.conditioning_frames:
            return replace(views, run=())
        adjacent = bool(views.run) and abs(frame - views.run[-1]) == 1
        run = (*(views.run if adjacent else ()), frame)
        if len(run) < self.run:
            return replace(views, run=run)
        last = views.kept[-1:] or nearest(bank.conditioning_frames, run[0], 1)
        alike = bank.similarities(run, last[0], of=self.compare) if last else (0.0,) * len(run)
        unlike, _ = min(zip(run, alike, strict=True), key=lambda pair: pair[1])
        return _Views(kept=(*views.kept, unlike)[-self.frames :])


def _views(bank: MemoryBank) -> _Views:
    return bank.state if isinstance(bank.state, _Views) else _Views()
