"""Protocols with a model in the loop: each next click depends on the last answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.clicks import correction_click, first_click
from napari_surgisam.data.masklets import Masklet, paint_labels
from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.evaluation.answers import (
    Answer,
    CurvePoint,
    Prompting,
    Running,
    Seeds,
    painted,
    seeds_of,
    some_frames,
)
from napari_surgisam.evaluation.cases import OpenCase, Truth
from napari_surgisam.jobs import Event
from napari_surgisam.metrics.masks import iou

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class InteractiveProtocol:
    """Single frames, with a click on the largest error after each answer.

    Parameters
    ----------
    prompting : Prompting
        How the clicks are placed, one at a time; its kind and number are not looked at.
    max_clicks : int
        Where NoC gives up.
    max_frames : int, optional
        As for `ImageProtocol`.

    References
    ----------
    Sofiiuk et al., ICIP 2022: NoC, the number of clicks until an IoU is reached.
    """

    name: ClassVar[str] = "image-interactive"
    per_picture: ClassVar[bool] = True
    solid: ClassVar[bool | None] = False

    prompting: Prompting = field(default_factory=lambda: Prompting(mode="center"))
    max_clicks: int = 20
    max_frames: int | None = None

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Click every object of every labelled frame, one after the other."""
        truth, seeds = some_frames(case.truth, self.max_frames), seeds_of(case.name, seed)
        labels = np.zeros(truth.labels.shape, np.uint16)
        clicks = dict.fromkeys(truth.object_ids, 0)
        pairs = [(o, f) for f in truth.frames for o in truth.object_ids if f in truth.visible[o]]
        curve: list[CurvePoint] = []
        found: dict[int, list[Masklet]] = {}
        for done, (object_id, frame) in enumerate(pairs, start=1):
            session = Session(case.frames, tracker)
            true = truth.mask(object_id, frame)
            ious, count = self._interact(session, object_id, frame, true, seeds)
            clicks[object_id] += count
            curve += [CurvePoint(object_id, frame, k, v) for k, v in enumerate(ious, start=1)]
            found.setdefault(frame, []).extend(session.masklets.values())
            yield Event(done=done, total=len(pairs))
        for frame, masklets in found.items():
            # where objects overlap, the surer one is there, not the one that came last
            k = truth.frames.index(frame)
            labels[k] = paint_labels(masklets, frame, case.frames.shape)
        return Answer(truth, labels, truth.visible, clicks, tuple(curve))

    def _interact(
        self, session: Session, object_id: ObjectId, frame: int, true: Mask, seeds: Seeds
    ) -> tuple[list[float], int]:
        rng = seeds(object_id, frame)
        click: Point | None = first_click(true, rng, mode=self.prompting.mode)
        ious: list[float] = []
        made: list[Point] = []
        mask = np.zeros_like(true)
        while click is not None and len(made) < self.max_clicks:
            made.append(click)
            session.add_point(object_id, frame, click)
            session.segment(frame)
            mask = np.equal(session.labels(frame), object_id)
            ious.append(iou(mask, true))
            click = correction_click(mask, true, clicked=made, mode=self.prompting.mode, seed=rng)
        # nothing is left to click: the mask stays as it is
        return ious + ious[-1:] * (self.max_clicks - len(ious)), len(made)


@dataclass(frozen=True, slots=True)
class CorrectionProtocol:
    """Rounds of correction: one click per object on its worst frame, then propagate again.

    Parameters
    ----------
    prompting : Prompting
        The first prompt: on the middle slice of a volume, the first frame of a movie.
    rounds : int
        At most so many; an object without any error is not clicked any more.
    """

    name: ClassVar[str] = "correction"
    per_picture: ClassVar[bool] = False
    solid: ClassVar[bool | None] = None

    prompting: Prompting = field(default_factory=Prompting)
    rounds: int = 3

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Prompt, propagate, and correct."""
        truth, seeds = case.truth, seeds_of(case.name, seed)
        where = {
            o: (seen[len(seen) // 2 if case.is_volume else 0],) for o, seen in truth.visible.items()
        }
        plan = Plan("outward" if case.is_volume else "first-n")
        session = Session(case.frames, tracker)
        clicks = self.prompting.prompt(session, truth, where, seeds)
        prompted = {o: list(frames) for o, frames in where.items()}
        curve: list[CurvePoint] = []
        labels, length = np.zeros(truth.labels.shape, np.uint16), len(case.frames)
        for round_ in range(self.rounds + 1):
            for event in session.propagate(plan):  # prompts of a round change its length
                share = length * event.done // event.total
                yield Event(done=max(1, round_ * length + share), total=length * (self.rounds + 1))
            labels = painted(session, truth)
            frames = {o: _frame_ious(labels, truth, o) for o in truth.object_ids}
            curve += [
                CurvePoint(o, None, round_, float(np.mean(list(ious.values()))))
                for o, ious in frames.items()
            ]
            if round_ == self.rounds or not self._correct(
                session, truth, labels, frames, prompted, clicks, seeds
            ):
                break
        places = {o: tuple(sorted(set(frames))) for o, frames in prompted.items()}
        return Answer(truth, labels, places, clicks, tuple(curve))

    def _correct(
        self,
        session: Session,
        truth: Truth,
        labels: NDArray[np.uint16],
        frames: Mapping[ObjectId, Mapping[int, float]],
        prompted: dict[ObjectId, list[int]],
        clicks: dict[ObjectId, int],
        seeds: Seeds,
    ) -> bool:
        """Click each object once; False where nothing is left to click."""
        made = False
        for object_id, ious in frames.items():
            for frame in sorted(ious, key=lambda f: (ious[f], f)):  # worst first
                earlier = session.book.get(object_id, frame)
                click = correction_click(
                    np.equal(labels[truth.frames.index(frame)], object_id),
                    truth.mask(object_id, frame),
                    clicked=earlier.points if isinstance(earlier, Prompt) else (),
                    mode=self.prompting.mode,
                    seed=seeds(object_id, frame),
                )
                if click is not None:
                    session.add_point(object_id, frame, click)
                    prompted[object_id].append(frame)
                    clicks[object_id] += 1
                    made = True
                    break
        return made


def _frame_ious(labels: NDArray[np.uint16], truth: Truth, object_id: ObjectId) -> dict[int, float]:
    return {
        frame: iou(np.equal(labels[k], object_id), np.equal(truth.labels[k], object_id))
        for k, frame in enumerate(truth.frames)
    }
