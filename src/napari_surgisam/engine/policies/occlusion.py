"""Remember how an object looked before something covered it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_surgisam.engine.memory import Memory, MemoryBank, MemorySelection
from napari_surgisam.engine.network import Prediction
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies.confident import sigmoid
from napari_surgisam.engine.policies.recent import RECENT, latest, nearest
from napari_surgisam.engine.policies.settings import check_range
from napari_surgisam.engine.policies.shapes import area_of, as_mask


@dataclass(frozen=True, slots=True)
class _Occlusion:
    """What was kept when the object was covered, and how it has been since.

    `area` is of the last frame that showed the object, and `focused` says whether that had a
    region; 0 before any did. `steady` counts the frames since that showed it. `reliable` are the
    latest frames that may be context.
    """

    frozen: tuple[int, ...] = ()
    area: float = 0.0
    focused: bool = False
    steady: int = 0
    reliable: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OcclusionResilient:
    """Sure frames for context, and frames from before an occlusion until it is over.

    A frame's reliability is predicted IoU times the probability that the object is present.
    Context is the frame just passed and the latest ones of reliability `min_context` or more.
    When the object vanishes or most of its area does, the last `frozen` frames that showed it
    with reliability `min_frozen` or more keep their slots, until `release_after` frames have
    shown it again without such a loss; context fills the other slots. Slots go by age.

    This is a reading of the abstract's idea: neither algorithm nor thresholds are published
    in full, and the defaults here are untuned.

    Parameters
    ----------
    min_context, min_frozen : float
        Least reliability, 0 to 1; `min_frozen` should be the smaller one.
    frozen : int
        Slots for frames from before an occlusion, 0 to 5. With 0, and `min_context` 0, this
        is `RecentFrames`.
    area_drop : float
        Part of the area that must go from one frame to the next, 0 to 1.
    release_after : int
        Frames after which the object counts as uncovered.

    References
    ----------
    After Yin et al., Memory-Augmented SAM2 for Training-Free Surgical Video Segmentation,
    arXiv:2507.09577, and ReMeDI-SAM3, arXiv:2512.16880.
    """

    min_context: float = 0.7
    min_frozen: float = 0.4
    frozen: int = 3
    area_drop: float = 0.7
    release_after: int = 5

    def __post_init__(self) -> None:
        for setting in ("min_context", "min_frozen", "area_drop"):
            check_range("occlusion-resilient", setting, getattr(self, setting), 0, 1)
        check_range("occlusion-resilient", "frozen", self.frozen, 0, 5)
        check_range("occlusion-resilient", "release_after", self.release_after, 1)

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose the conditioning frames, frozen ones and context."""
        whole = RECENT.select(bank, frame, direction)
        frozen = [
            f
            for f in _occlusion(bank).frozen[: max(bank.slots - 1, 0)]
            if f in bank and f not in whole.conditioning
        ]

        def accept(memory: Memory) -> bool:
            return memory.frame not in frozen and self._fits(memory)

        context = latest(bank, frame, direction, bank.slots - len(frozen), accept)
        if frozen:
            both = {*context.values(), *frozen}
            context = dict(enumerate(nearest(both, frame, len(both)), start=1))
        return replace(whole, recent=context)

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep the frozen frames, and as many reliable ones as there are slots."""
        return frozenset((*_occlusion(bank).frozen, *_occlusion(bank).reliable))

    def observe(self, bank: MemoryBank, frame: int, prediction: Prediction) -> object:
        """Notice the beginning and the end of an occlusion."""
        before, mask = _occlusion(bank), as_mask(prediction.mask_logits)
        area, focused = area_of(mask, prediction.region), prediction.region is not None
        comparable = before.area > 0 and focused == before.focused
        lost = comparable and area < (1 - self.area_drop) * before.area
        begun = before.area > 0 and (area == 0 or lost)
        frozen, steady = before.frozen, 0
        if begun and not frozen:
            shown = [f for f in bank.tracked_frames if f != frame and self._showed(bank[f])]
            frozen = nearest(shown, frame, self.frozen)
        elif area > 0 and not begun:
            steady = before.steady + 1
            frozen = () if steady >= self.release_after else frozen
        reliable = before.reliable
        if self._fits(bank[frame]):
            reliable = (*reliable, frame)[-bank.slots :]
        if area == 0:
            return replace(before, frozen=frozen, steady=0, reliable=reliable)
        return _Occlusion(frozen, area, focused, steady, reliable)

    def _fits(self, memory: Memory) -> bool:
        return reliability(memory) >= self.min_context

    def _showed(self, memory: Memory) -> bool:
        return memory.presence > 0 and reliability(memory) >= self.min_frozen


def reliability(memory: Memory) -> float:
    """Return predicted IoU times the probability that the object is present, in [0, 1]."""
    return sigmoid(memory.presence) * memory.iou


def _occlusion(bank: MemoryBank) -> _Occlusion:
    return bank.state if isinstance(bank.state, _Occlusion) else _Occlusion()
