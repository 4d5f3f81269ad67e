"""Label frames by the names of classes: no click, no memory, each frame for itself."""

from __future__ import annotations

from collections.abc import Mapping

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.class_prompts import check_classes
from napari_surgisam.engine.network import Query
from napari_surgisam.engine.plan import Span
from napari_surgisam.engine.propagation import Propagation, Record
from napari_surgisam.engine.recollection import Recollection
from napari_surgisam.engine.resuming import Interrupted
from napari_surgisam.engine.tracker import FrameSegmented
from napari_surgisam.engine.trimming import give_back_memory
from napari_surgisam.errors import PromptError


def label_frames(
    record: Record,
    recollection: Recollection,
    objects: Mapping[ObjectId, str],
    span: Span,
    before: Interrupted | None = None,
) -> Propagation:
    """Ask for classes on every frame of a span; an object that a person prompted there stays.

    A mask that is found so depends on its frame alone: nothing drifts, a class may vanish and
    come back, and frames can be done in any order. Tracking from labelled frames would carry
    what was wrongly found to all that follow.

    Parameters
    ----------
    record : Record
    recollection : Recollection
    objects : mapping of ObjectId to str
        The class of each object.
    span : Span
    before : Interrupted, optional
        Frames that an earlier run did.

    Yields
    ------
    FrameSegmented
        For each frame that is done now, without memories.

    Raises
    ------
    PromptError
        If the span is empty, or the network does not know a class.
    """
    tracker, source = recollection.tracker, recollection.source
    check_classes(objects.values(), tracker.network.classes)
    frames = frames_of(span, len(source))
    return _label(record, recollection, objects, frames, before or Interrupted())


def frames_of(span: Span, length: int) -> range:
    """Return the frames of a span in a source of some length.

    Raises
    ------
    PromptError
        If there are none.
    """
    frames = span.frames(length)
    if not frames:
        raise PromptError(
            f"The span {span.start}:{'' if span.stop is None else span.stop} has no frames: the "
            f"source has frames 0 to {length - 1}."
        )
    return frames


def _label(
    record: Record,
    recollection: Recollection,
    objects: Mapping[ObjectId, str],
    frames: range,
    before: Interrupted,
) -> Propagation:
    known: set[int] = set()
    for step in before.steps:
        if not record.keep(step.frame, step.masks):
            return
        known.add(step.frame)
    for done, frame in enumerate(frames, start=1):
        if frame in known:
            continue
        book, locked = record.annotation.book, record.annotation.catalogue.locked
        asked = {
            k: name for k, name in objects.items() if book.get(k, frame) is None and k not in locked
        }
        queries = [Query(class_name=name) for name in asked.values()]
        answers = recollection.tracker.segment(recollection.source, frame, queries) if asked else []
        predictions = dict(zip(asked, answers, strict=True))
        masks: dict[ObjectId, StoredMask] = {
            k: recollection.store(prediction, 0) for k, prediction in predictions.items()
        }
        if not record.keep(frame, masks):
            return
        give_back_memory(done)
        yield FrameSegmented(
            done=done, total=len(frames), frame=frame, predictions=predictions, memories={}
        )
