"""From an annotation to what the network is asked: queries and memory banks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.drafts import Draft
from napari_surgisam.data.prompts import AnyPrompt, MaskPrompt, ObjectId
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.memory import MemoryBank, ObservingPolicy, Recall
from napari_surgisam.engine.network import Prediction, Query
from napari_surgisam.engine.plan import Direction, Pass, Steps
from napari_surgisam.engine.recollection import Recollection, RememberedFrames
from napari_surgisam.errors import PromptError


def answer_prompts(
    annotation: Annotation,
    frame: int,
    object_ids: Iterable[ObjectId],
    recollection: Recollection,
) -> tuple[dict[ObjectId, Prediction], dict[ObjectId, StoredMask]]:
    """Segment the prompts of a frame whose masks are not known.

    Returns
    -------
    predictions : dict of ObjectId to Prediction
        Known ones, too. Prompts that await tracking are missing.
    masks : dict of ObjectId to StoredMask
        The new ones.
    """
    predictions: dict[ObjectId, Prediction] = {}
    drafts: dict[ObjectId, Draft] = {}
    queries = []
    for object_id in object_ids:
        prompt = annotation.book.get(object_id, frame)
        if prompt is None or annotation.awaits_tracking(object_id, frame):
            continue
        draft, mask = annotation.draft(object_id, frame), annotation.mask(object_id, frame)
        if draft is not None:
            drafts[object_id] = draft
            queries.append(_query_of(annotation, prompt, draft, recollection))
        elif mask is not None:
            predictions[object_id] = recollection.prediction(mask)
    if not queries:
        return predictions, {}
    answers = recollection.tracker.segment(recollection.source, frame, queries)
    predictions.update(zip(drafts, answers, strict=True))
    masks = {
        object_id: recollection.store(predictions[object_id], draft.direction)
        for object_id, draft in drafts.items()
    }
    return predictions, masks


def sources_of(
    annotation: Annotation, object_ids: Iterable[ObjectId] | None = None
) -> dict[ObjectId, tuple[int, ...]]:
    """Return the frames that a propagation of some objects, or of all, starts from.

    Raises
    ------
    PromptError
        If there are none, or an object has no frame that says where it is. Of all objects, locked
        ones are left out; one that was asked for is refused.
    """
    if object_ids is None:
        prompted = annotation.book.object_ids
        wanted = tuple(k for k in prompted if k not in annotation.catalogue.locked)
        if prompted and not wanted:
            annotation.catalogue.check_open(prompted, "propagated")
    else:
        wanted = tuple(object_ids)
        annotation.catalogue.check_open(wanted, "propagated")
    if not wanted:
        raise PromptError(
            "There are no prompts: click on an object, or draw a box around it, and propagate then."
        )
    sources = {k: annotation.sources(k) for k in wanted}
    for object_id, frames in sources.items():
        if not frames and annotation.book.frames(object_id):
            raise PromptError(
                f"Object {object_id} has negative points only: click on the object itself "
                "on at least one frame."
            )
    return sources


def banks_of(
    annotation: Annotation, steps: Steps, recollection: Recollection
) -> dict[tuple[ObjectId, Direction], MemoryBank]:
    """Return a memory bank for each object and direction of a plan.

    It holds the conditioning frames, and where the plan goes on from frames that were
    tracked before, in the same direction, what they left: several spans one after the other
    give what one propagation gives. Frames that the plan visits again are left out. A policy
    that observes has the state that it had there, and the frames that it wanted kept; where that
    is forgotten, it is shown the frames just before anew.
    """
    first = {
        (object_id, run.direction): run.frames[0]
        for run in reversed(steps.runs)
        for object_id in run.object_ids
    }
    conditioning = {k: _conditioning(annotation, k, recollection) for k, _ in first}

    banks = {
        (object_id, direction): recollection.tracker.bank(
            recollection.source, conditioning[object_id]
        )
        for object_id, direction in first
    }
    go_on_from_stored(banks, banks, annotation, steps, recollection)
    return banks


def go_on_from_stored(
    banks: Mapping[Pass, MemoryBank],
    passes: Iterable[Pass],
    annotation: Annotation,
    steps: Steps,
    recollection: Recollection,
) -> None:
    """Put into banks what is stored of the frames just before the steps, where they lack it.

    Parameters
    ----------
    banks : mapping of (ObjectId, Direction) to MemoryBank
    passes : iterable of (ObjectId, Direction)
        Passes that begin, or skipped frames before these steps.
    annotation : Annotation
    steps : Steps
        All that are still to be done; frames among them are left out.
    recollection : Recollection
    """
    first = {
        (object_id, run.direction): run.frames[0]
        for run in reversed(steps.runs)
        for object_id in run.object_ids
    }

    def outdated(object_id: ObjectId, frame: int) -> bool:
        visited = any(frame in run.frames and object_id in run.object_ids for run in steps.runs)
        return visited or annotation.is_stale(object_id, frame)

    policy = recollection.tracker.policy
    observer = policy if isinstance(policy, ObservingPolicy) else None
    for object_id, direction in passes:
        frame, bank = first[object_id, direction], banks[object_id, direction]
        _fill(bank, annotation, object_id, frame, direction, recollection, outdated, observer)
        if observer is not None:
            _continue(bank, annotation, object_id, frame - direction, recollection, outdated)


def _query_of(
    annotation: Annotation, prompt: AnyPrompt, draft: Draft, recollection: Recollection
) -> Query:
    """Return what to ask about a prompt.

    A point that was added to a shown mask comes with that mask's logits and, where a pass
    had made it, with what that pass remembered then.
    """
    clip_length = len(recollection.source)
    if isinstance(prompt, MaskPrompt):
        return Query(mask=prompt.mask, clip_length=clip_length)
    previous, recall, region = None, None, None
    if draft.refined is not None:
        shown = recollection.prediction(draft.refined)
        previous, region = shown.mask_logits, shown.region
        if draft.direction:
            recall = _recall_of(annotation, prompt, Direction(draft.direction), recollection)
    return Query(
        points=prompt.points,
        box=prompt.box,
        previous_logits=previous,
        recall=recall,
        clip_length=clip_length,
        region=region,
        mask_size=prompt.mask_size if prompt.takes_mask_size else "auto",
    )


def _recall_of(
    annotation: Annotation, prompt: AnyPrompt, direction: Direction, recollection: Recollection
) -> Recall | None:
    object_id, frame = prompt.object_id, prompt.frame
    tracker = recollection.tracker
    conditioning = _conditioning(annotation, object_id, recollection)
    bank = tracker.bank(recollection.source, conditioning)
    _fill(bank, annotation, object_id, frame, direction, recollection)
    recall = bank.recall(tracker.policy.select(bank, frame, direction), frame, direction)
    return recall if recall.spatial else None


def _conditioning(
    annotation: Annotation, object_id: ObjectId, recollection: Recollection
) -> RememberedFrames:
    masks = {
        frame: mask
        for frame in annotation.book.frames(object_id)
        if annotation.draft(object_id, frame) is None
        and (mask := annotation.mask(object_id, frame)) is not None
    }
    return RememberedFrames(recollection, MappingProxyType(masks))


def _fill(
    bank: MemoryBank,
    annotation: Annotation,
    object_id: ObjectId,
    frame: int,
    direction: Direction,
    recollection: Recollection,
    outdated: Callable[[ObjectId, int], bool] = lambda object_id, frame: False,
    observer: ObservingPolicy | None = None,
) -> None:
    """Put into a bank what a pass left on the frames just before `frame`, in its order.

    A mask that a person accepted counts as the pass's own, whatever made it.
    """
    for distance in range(max(bank.slots, bank.pointer_slots), 0, -1):
        passed = frame - distance * direction
        mask = annotation.mask(object_id, passed)
        if (
            mask is not None
            and (
                annotation.is_accepted(object_id, passed)
                or (mask.direction == direction and not mask.conditioning and mask.pointer.size)
            )
            and passed not in bank
            and not outdated(object_id, passed)
        ):
            bank.add(*recollection.memories(passed, [mask]))
            if observer is not None:
                bank.state = observer.observe(bank, passed, recollection.prediction(mask))


def _continue(
    bank: MemoryBank,
    annotation: Annotation,
    object_id: ObjectId,
    last: int,
    recollection: Recollection,
    outdated: Callable[[ObjectId, int], bool],
) -> None:
    """Give a bank the state that the pass had after its last frame, and what that still needs."""
    mask = annotation.mask(object_id, last)
    if mask is None or last not in bank.tracked_frames:
        return
    state = recollection.state(mask)
    if state is None:
        return
    bank.state = state
    for frame in recollection.tracker.policy.retain(bank, last):
        kept = annotation.mask(object_id, frame)
        if frame not in bank and kept is not None and not outdated(object_id, frame):
            bank.add(*recollection.memories(frame, [kept]))
