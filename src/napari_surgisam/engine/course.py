"""What a propagation still has to do, and when new masks show that the rest is up to date."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.plan import Direction, Pass, Plan, Steps, plan_propagation
from napari_surgisam.errors import PromptError


@dataclass(frozen=True, slots=True)
class Update:
    """Visit only frames without a mask, or whose mask is older than a prompt beside it.

    Past an object's last prompt, a pass ends where its masks agree with those that were
    there: what follows would be the same again.

    Parameters
    ----------
    agreement : float
        IoU in frame pixels from which on two masks agree, in (0, 1].
    in_a_row : int
        Frames that must agree one after the other; 0 never ends early. Frames on which both
        masks are empty do not count.

    Raises
    ------
    PromptError
        If a value is out of its range.
    """

    agreement: float = 0.995
    in_a_row: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.agreement <= 1 or self.in_a_row < 0:
            raise PromptError(
                f"An update cannot end at an IoU of {self.agreement} on {self.in_a_row} frames: "
                "give an IoU above 0 and up to 1, and 0 frames (never) or more."
            )


def plan_update(
    plan: Plan,
    annotation: Annotation,
    sources: Mapping[ObjectId, Sequence[int]],
    length: int,
    update: Update | None,
) -> Steps:
    """Return the steps of a plan, with an update those alone that it has to do.

    Frames whose masks a person accepted are never among them.

    Raises
    ------
    PromptError
        See `plan_propagation`.
    """
    if update is not None:
        within = {k: annotation.outdated_spans(k, length) for k in sources}
    elif annotation.accepted:
        within = {k: annotation.open_spans(k, length) for k in sources}
    else:
        return plan_propagation(plan, sources, length)
    return plan_propagation(plan, sources, length, within)


class Course:
    """The steps that are left of a propagation, in parts within which no object skips a frame.

    Parameters
    ----------
    steps : Steps
    sources : mapping of ObjectId to sequence of int
        Prompted frames of each object, which are not visited.
    before : Annotation
        Masks of the moment at which the propagation started.
    shape : tuple of int
        Height and width of a frame, in pixels.
    update : Update or None
        When a pass ends early; None is never.
    """

    def __init__(
        self,
        steps: Steps,
        sources: Mapping[ObjectId, Sequence[int]],
        before: Annotation,
        shape: tuple[int, int],
        update: Update | None,
    ) -> None:
        self._steps, self._sources, self._before, self._shape = steps, sources, before, shape
        self._update = update
        self._latest: dict[Pass, int] = {}
        self._agreeing: dict[Pass, int] = defaultdict(int)
        self._passed = 0  # of the steps
        self.count = len(steps)

    @property
    def left(self) -> Steps:
        """The steps that are still to be done."""
        return self._steps.after(self._passed)

    def next_part(self) -> tuple[Steps, frozenset[Pass]]:
        """Return the steps up to where an object skips frames, and who skipped some before."""
        self._steps, self._passed = self.left, 0
        return self._steps.until_jump(self._latest, self._sources)

    def advance(
        self, frame: int, direction: Direction, masks: Mapping[ObjectId, StoredMask]
    ) -> dict[ObjectId, range]:
        """Take note of the masks that the next step made.

        Returns
        -------
        dict of ObjectId to range
            Frames that need no visit, ascending, of objects whose pass may end early. They
            have left the course, which goes on with `next_part`.
        """
        self._passed += 1
        self.count -= 1
        self._latest.update(dict.fromkeys(((k, direction) for k in masks), frame))
        confirmed = {}
        for object_id in self._settled(frame, direction, masks):
            frames = self._confirmed(object_id, frame, direction)
            if frames:
                confirmed[object_id] = frames
        if confirmed:
            self._steps, self._passed = self.left, 0
            for object_id, frames in confirmed.items():
                self._steps = self._steps.without(object_id, direction, frames)
            self.count = len(self._steps)
        return confirmed

    def _settled(
        self, frame: int, direction: Direction, masks: Mapping[ObjectId, StoredMask]
    ) -> Iterable[ObjectId]:
        """Yield the objects that have agreed with what was there on enough frames."""
        if self._update is None or not self._update.in_a_row:
            return
        for object_id, mask in masks.items():
            prompted = self._before.book.frames(object_id)
            if any((f - frame) * direction >= 0 for f in prompted):
                continue
            old = self._before.mask(object_id, frame)
            if old is None or not old.pointer.size:
                self._agreeing[object_id, direction] = 0
                continue
            overlap = _overlap(mask, old, self._shape)
            if overlap is None:
                continue
            agreeing = self._agreeing[object_id, direction] + 1
            agreeing = agreeing if overlap >= self._update.agreement else 0
            self._agreeing[object_id, direction] = agreeing
            if agreeing >= self._update.in_a_row:
                yield object_id

    def _confirmed(self, object_id: ObjectId, frame: int, direction: Direction) -> range:
        """Return the frames ahead, one after the other, that this network had found before."""
        ahead = frame + direction
        for run in self.left.runs:
            if run.direction != direction or object_id not in run.object_ids:
                continue
            for visited in run.frames:
                old = self._before.mask(object_id, visited)
                if visited != ahead or old is None or not old.pointer.size:
                    return _ascending(frame + direction, ahead, direction)
                ahead += direction
        return _ascending(frame + direction, ahead, direction)


def _ascending(start: int, stop: int, direction: Direction) -> range:
    return range(start, stop, direction) if direction > 0 else range(stop + 1, start + 1)


def _overlap(one: StoredMask, other: StoredMask, shape: tuple[int, int]) -> float | None:
    """Return the IoU of two masks in frame pixels, None where both are empty."""
    first, second = one.paint(shape), other.paint(shape)
    union = int(np.count_nonzero(first | second))
    return np.count_nonzero(first & second) / union if union else None
