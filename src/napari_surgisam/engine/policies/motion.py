"""Prefer the mask that lies where the object should be by now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

from napari_surgisam.data.prompts import Box
from napari_surgisam.engine.memory import Memory, MemoryBank, MemorySelection
from napari_surgisam.engine.network import Prediction
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies.kalman import BoxMotion
from napari_surgisam.engine.policies.recent import RECENT, latest
from napari_surgisam.engine.policies.settings import check_range
from napari_surgisam.engine.policies.shapes import as_mask, box_iou, box_of


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """The object's motion, for how many frames it has been steady, and the trusted frames."""

    motion: BoxMotion | None = None
    focused: bool = False
    steady: int = 0
    trusted: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MotionAware:
    """Choose among the masks with an eye to the object's motion; remember those that fitted.

    A Kalman filter predicts the object's box. Once `steady` frames in a row had a predicted
    IoU above `min_steady_iou`, the mask is chosen by `weight` times its box's IoU with the
    predicted box plus `1 - weight` times its predicted IoU. Recent memories are the frame
    just passed and the latest ones whose predicted IoU, presence and motion score exceed
    their least values; older ones move up. Pointers are SAM 2's.

    Parameters
    ----------
    weight : float
        Of the motion, 0 to 1: published 0.25 for SAM 2.1 tiny, small and base-plus, 0.15 for
        large.
    steady : int
        Frames before motion counts.
    min_steady_iou : float
        A frame of less predicted IoU starts the filter anew.
    min_iou, min_presence, min_motion : float
        What a memory must exceed. With `weight` 0, `min_iou` -1 and the other two -inf this is
        `RecentFrames`.

    References
    ----------
    Yang et al., SAMURAI: Adapting Segment Anything Model for Zero-Shot Visual Tracking with
    Motion-Aware Memory, arXiv:2411.11922.
    """

    weight: float = 0.25
    steady: int = 15
    min_steady_iou: float = 0.3
    min_iou: float = 0.5
    min_presence: float = 0.0
    min_motion: float = 0.0

    def __post_init__(self) -> None:
        check_range("motion-aware", "weight", self.weight, 0, 1)
        check_range("motion-aware", "steady", self.steady, 1)
        check_range("motion-aware", "min_steady_iou", self.min_steady_iou, 0, 1)
        check_range("motion-aware", "min_iou", self.min_iou, -1, 1)
        check_range("motion-aware", "min_presence", self.min_presence, -inf)
        check_range("motion-aware", "min_motion", self.min_motion, -inf, 1)

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose the conditioning frames, and the latest trusted ones by rank."""
        whole = RECENT.select(bank, frame, direction)
        if not isinstance(bank.state, _Track):
            return whole
        trusted = bank.state.trusted

        def accept(memory: Memory) -> bool:
            return memory.frame in trusted

        return replace(whole, recent=latest(bank, frame, direction, bank.slots, accept))

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep the trusted frames that may still be attended to."""
        return frozenset(_track(bank).trusted)

    def choose(self, bank: MemoryBank, prediction: Prediction) -> int:
        """Return the mask with the best sum of predicted IoU and agreement with the motion."""
        expected = self._expected(self._continued(bank, prediction))
        # of an absent object no mask counts
        if expected is None or float(prediction.presence) <= 0:
            return prediction.choice
        scores = [
            self.weight * _agreement(expected, box_of(as_mask(logits), prediction.region))
            + (1 - self.weight) * iou
            for logits, iou in zip(prediction.logits, prediction.ious.tolist(), strict=True)
        ]
        return max(range(len(scores)), key=scores.__getitem__)

    def observe(self, bank: MemoryBank, frame: int, prediction: Prediction) -> object:
        """Tell the filter where the object was found, and whether the frame is trusted."""
        track = self._continued(bank, prediction)
        box = box_of(as_mask(prediction.mask_logits), prediction.region)
        expected = self._expected(track)
        fits = expected is None or _agreement(expected, box) > self.min_motion
        memory, trusted = bank[frame], track.trusted
        if fits and memory.iou > self.min_iou and memory.presence > self.min_presence:
            trusted = (*trusted, frame)[-bank.slots :]
        track = self._moved(track, box, prediction)
        return replace(track, trusted=trusted, focused=prediction.region is not None)

    def _moved(self, track: _Track, box: Box | None, prediction: Prediction) -> _Track:
        if box is None:
            return replace(track, steady=0)
        if track.motion is None or not track.steady or prediction.prompted:
            return replace(track, motion=BoxMotion.starting_at(box), steady=1)
        predicted = track.motion.predicted()
        if prediction.iou <= self.min_steady_iou:
            return replace(track, motion=predicted, steady=0)
        steady = min(track.steady + 1, self.steady)
        return replace(track, motion=predicted.updated(box), steady=steady)

    def _expected(self, track: _Track) -> Box | None:
        """Return where the object should be; None while too little is known."""
        if track.motion is None or track.steady < self.steady:
            return None
        return track.motion.predicted().box

    def _continued(self, bank: MemoryBank, prediction: Prediction) -> _Track:
        """Return the track, begun anew where boxes are measured in other pixels than before."""
        track = _track(bank)
        if track.motion is not None and track.focused != (prediction.region is not None):
            return replace(track, motion=None, steady=0)
        return track


def _agreement(expected: Box, found: Box | None) -> float:
    return 0.0 if found is None else box_iou(expected, found)


def _track(bank: MemoryBank) -> _Track:
    return bank.state if isinstance(bank.state, _Track) else _Track()
