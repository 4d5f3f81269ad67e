"""Remember frames on which something else could have been taken for the object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_surgisam.engine.memory import MemoryBank, MemorySelection
from napari_surgisam.engine.network import Prediction
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies.recent import RECENT, nearest
from napari_surgisam.engine.policies.settings import check_range
from napari_surgisam.engine.policies.shapes import area_of, as_mask, box_area, box_of

_SIZES, _SIZE_AGE = 10, 300  # masks whose median area is compared with, and their age in frames
_LARGEST_CHANGE = 0.2  # of the area, against that median
_REST = 5  # frames between two anchors


@dataclass(frozen=True, slots=True)
class _Sightings:
    """What is known of a pass: all by frame, oldest first.

    `areas` are of the last masks, `empty` the frames where nothing was found, `sparse` the last
    ones of the stride that show the object.
    """

    anchors: tuple[int, ...] = ()
    areas: tuple[tuple[int, float], ...] = ()
    focused: bool = False
    empty: tuple[int, ...] = ()
    sparse: tuple[int, ...] = ()
    tracked: int = 0


@dataclass(frozen=True, slots=True)
class DistractorAware:
    """Anchors where a distractor was told apart, and a sparse recent memory that shows the object.

    A tracked frame becomes an anchor, attended to like a prompted frame, if its predicted IoU
    is above `min_iou`, its area within a fifth of the usual, the last anchor more than five
    frames back, and one of the masks that were not chosen reaches so far out that the box of
    both has `max_box_iou` or less of its area in the chosen one's box. The recent memory is
    the frame just passed and every `stride`-th before, of those that show the object.

    Parameters
    ----------
    anchors : int
        Anchors that are attended to, besides the prompted frames; each takes the slot of a
        recent frame. 0 to 5.
    stride : int
        Frames between recent memories, but the first.
    visible_only : bool
        Whether frames without the object are left out, and older ones move up.
    min_iou, max_box_iou : float
        0 to 1. With no anchors, stride 1 and `visible_only` off this is `RecentFrames`.

    References
    ----------
    Videnovic et al., A Distractor-Aware Memory for Visual Object Tracking with SAM2,
    arXiv:2411.17576.
    """

    anchors: int = 3
    stride: int = 5
    visible_only: bool = True
    min_iou: float = 0.8
    max_box_iou: float = 0.7

    def __post_init__(self) -> None:
        check_range("distractor-aware", "anchors", self.anchors, 0, 5)
        check_range("distractor-aware", "stride", self.stride, 1, 100)
        check_range("distractor-aware", "min_iou", self.min_iou, 0, 1)
        check_range("distractor-aware", "max_box_iou", self.max_box_iou, 0, 1)

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose prompted frames, anchors, and frames that show the object."""
        whole = RECENT.select(bank, frame, direction)
        older = [
            f
            for f in _sightings(bank).anchors
            if f in bank and f not in whole.conditioning and abs(frame - f) > 1
        ]
        anchors = nearest(older, frame, min(self.anchors, bank.slots - 1))
        conditioning = tuple(sorted({*whole.conditioning, *anchors}))
        return MemorySelection(
            conditioning=conditioning,
            recent=self._recent(bank, frame, direction, conditioning, bank.slots - len(anchors)),
            pointers={
                distance: f
                for distance, f in whole.pointers.items()
                if f not in conditioning and self._shows(bank, f)
            },
        )

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep the anchors, and as many frames of the stride as there are slots."""
        sightings = _sightings(bank)
        return frozenset((*sightings.anchors, *sightings.sparse))

    def observe(self, bank: MemoryBank, frame: int, prediction: Prediction) -> object:
        """Note the mask's area, and make the frame an anchor if it tells distractors apart."""
        before, mask = _sightings(bank), as_mask(prediction.mask_logits)
        area, focused = area_of(mask, prediction.region), prediction.region is not None
        known = before.areas if focused == before.focused else ()
        areas = tuple((f, a) for f, a in known if abs(frame - f) < _SIZE_AGE)
        if area > 0:
            areas = (*areas, (frame, area))[-_SIZES:]
        empty = tuple(f for f in (*before.empty, *(() if area else (frame,))) if f in bank)
        sparse = before.sparse
        if frame % self.stride == 0 and (area > 0 or not self.visible_only):
            # an anchor among them is passed over, and one more is the frame just passed
            sparse = (*sparse, frame)[-(bank.slots + self.anchors + 1) :]
        now = _Sightings(before.anchors, areas, focused, empty, sparse, before.tracked + 1)
        usual = median(a for _, a in areas) if areas else 0.0
        if (
            self.anchors
            and before.tracked
            and frame not in bank.conditioning_frames
            and bank[frame].iou > self.min_iou
            and area > 0
            and abs(area - usual) <= _LARGEST_CHANGE * usual
            and all(abs(frame - f) > _REST for f in now.anchors[-1:])
            and any(
                self._tells_apart(mask, as_mask(candidate))
                for k, candidate in enumerate(prediction.logits)
                if k != prediction.choice
            )
        ):
            # one more than is attended to: the frame just passed is never an anchor yet
            now = replace(now, anchors=(*now.anchors, frame)[-(self.anchors + 1) :])
        return now

    def _tells_apart(self, chosen: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
        rest = largest_part(other & ~chosen)
        box, both = box_of(chosen, None), box_of(chosen | rest, None)
        if not rest.any() or box is None or both is None:
            return False
        return box_area(box) <= self.max_box_iou * box_area(both)

    def _shows(self, bank: MemoryBank, frame: int) -> bool:
        if not self.visible_only:
            return True
        return bank[frame].presence > 0 and frame not in _sightings(bank).empty

    def _recent(
        self,
        bank: MemoryBank,
        frame: int,
        direction: Direction,
        conditioning: tuple[int, ...],
        count: int,
    ) -> dict[int, int]:
        """Return frames by slot: the frame just passed, then every `stride`-th further back."""
        chosen: dict[int, int] = {}
        held = (*bank.tracked_frames, *bank.conditioning_frames)
        farthest = max((abs(frame - f) for f in held if (frame - f) * direction > 0), default=0)
        earlier = frame
        for slot in range(1, count + 1):
            step = 1 if slot == 1 else self.stride
            earlier = _on_grid(earlier, step, direction)
            while (
                self.visible_only
                and abs(frame - earlier) <= farthest
                and not (
                    earlier in bank and earlier not in conditioning and self._shows(bank, earlier)
                )
            ):
                earlier -= step * direction
            if earlier in bank and earlier not in conditioning:
                chosen[slot] = earlier
        return chosen


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a mask that hangs together, corners included."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count < 2:
        return mask
    largest: NDArray[np.bool_] = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return largest


def _on_grid(frame: int, step: int, direction: Direction) -> int:
    """Return the nearest multiple of `step` that a pass reached before `frame`."""
    if direction is Direction.FORWARD:
        return (frame - 1) // step * step
    return -(-(frame + 1) // step) * step


def _sightings(bank: MemoryBank) -> _Sightings:
    return bank.state if isinstance(bank.state, _Sightings) else _Sightings()
