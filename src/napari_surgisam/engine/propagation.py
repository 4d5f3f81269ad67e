"""A propagation at work: prompts first, then step by step, as far as there is anything to do."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.banks import answer_prompts, banks_of, go_on_from_stored
from napari_surgisam.engine.course import Course, Update
from napari_surgisam.engine.plan import Direction, Pass, Steps
from napari_surgisam.engine.recollection import Recollection
from napari_surgisam.engine.resuming import Interrupted
from napari_surgisam.engine.tracker import Banks, FrameSegmented
from napari_surgisam.engine.trimming import give_back_memory

Propagation = Generator[FrameSegmented, None, None]
Confirmed = Mapping[ObjectId, range]
NONE_CONFIRMED: Confirmed = MappingProxyType({})


class Record(Protocol):
    """Where a propagation reads what there is, and keeps what it makes."""

    @property
    def annotation(self) -> Annotation:
        """Prompts and masks of this moment."""
        ...

    def keep(
        self,
        frame: int,
        masks: Mapping[ObjectId, StoredMask],
        confirmed: Confirmed = NONE_CONFIRMED,
    ) -> bool:
        """Store a frame's masks, and what they show to be up to date.

        Returns
        -------
        bool
            False, and nothing is stored, where the propagation was ended.
        """
        ...


def run_steps(
    record: Record,
    recollection: Recollection,
    sources: Mapping[ObjectId, Sequence[int]],
    steps: Steps,
    update: Update | None = None,
    before: Interrupted | None = None,
) -> Propagation:
    """Answer the prompts, then carry them along the steps of a plan.

    Parameters
    ----------
    record : Record
    recollection : Recollection
    sources : mapping of ObjectId to sequence of int
        Frames to start from.
    steps : Steps
    update : Update, optional
        Prompts whose masks are known are passed over, and passes may end early.
    before : Interrupted, optional
        The first steps, done by an earlier run.

    Yields
    ------
    FrameSegmented
        For each prompted frame, then for each step.
    """
    for known in (step for step in before.steps if step.direction) if before else ():
        if not record.keep(known.frame, known.masks):
            return
        recollection.restore(known, before.memories if before else {})
        steps = steps.after(1)
    prompted = _prompted(record.annotation, sources, update)
    done, total = 0, len(prompted) + len(steps)
    for frame, object_ids in sorted(prompted.items()):
        answers, masks = answer_prompts(record.annotation, frame, object_ids, recollection)
        # while the frame's embedding is at hand
        memories = recollection.memories(frame, list(masks.values()))
        if not record.keep(frame, masks):
            return
        done += 1
        yield FrameSegmented(
            done=done,
            total=total,
            frame=frame,
            predictions=answers,
            memories=dict(zip(masks, memories, strict=True)),
        )
    start = record.annotation
    corrections = {(k, f): p for k in sources for f, p in start.corrections(k).items()}
    banks = banks_of(start, steps, recollection)
    course = Course(steps, sources, start, recollection.source.shape, update)
    tracker = recollection.tracker
    while course.count:
        part, jumped = course.next_part()
        go_on_from_stored(banks, jumped, record.annotation, course.left, recollection)
        with closing(tracker.propagate(recollection.source, part, banks, corrections)) as events:
            for event in events:
                direction = event.direction or Direction.FORWARD
                masks = _stored(event, direction, banks, recollection)
                confirmed = course.advance(event.frame, direction, masks)
                if not record.keep(event.frame, masks, confirmed):
                    return
                done += 1
                give_back_memory(done)
                yield replace(event, done=done, total=done + course.count)
                if confirmed:
                    break


def _prompted(
    annotation: Annotation, sources: Mapping[ObjectId, Sequence[int]], update: Update | None
) -> dict[int, list[ObjectId]]:
    """Return whose prompts are to be answered, by frame."""
    prompted: dict[int, list[ObjectId]] = {}
    for object_id, frames in sources.items():
        for frame in frames:
            if update is None or annotation.draft(object_id, frame) is not None:
                prompted.setdefault(frame, []).append(object_id)
    return prompted


def _stored(
    event: FrameSegmented, direction: Direction, banks: Banks, recollection: Recollection
) -> dict[ObjectId, StoredMask]:
    passes: dict[ObjectId, Pass] = {k: (k, direction) for k in event.predictions}
    return {
        k: recollection.store(prediction, direction, event.memories[k], banks[passes[k]].state)
        for k, prediction in event.predictions.items()
    }
