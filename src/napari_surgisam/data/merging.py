"""Several objects become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from napari_surgisam.data.annotation import Annotation, PromptKey
from napari_surgisam.data.drafts import Draft
from napari_surgisam.data.frame_masks import unite_masks
from napari_surgisam.data.frame_spans import unite, without
from napari_surgisam.data.mask_chunks import MaskChunk
from napari_surgisam.data.masklets import CHUNK, Masklet
from napari_surgisam.data.object_changes import (
    ChangeComputed,
    ObjectChange,
    Shelve,
    check_objects,
    check_unchanged,
    keep_in_memory,
)
from napari_surgisam.data.painted_labels import pack_painted, unpack_painted
from napari_surgisam.data.prompts import AnyPrompt, MaskPrompt, ObjectId, PromptBook
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import PromptError
from napari_surgisam.jobs import Event

Prompts = dict[int, AnyPrompt]


def merge_objects(
    annotation: Annotation,
    keep: ObjectId,
    others: Iterable[ObjectId],
    shape: tuple[int, int],
    shelve: Shelve = keep_in_memory,
) -> ObjectChange:
    """Merge objects into one that has the union of their masks on every frame.

    A prompt stays as it is where the mask that it made is the union. On other prompted frames the
    union becomes a mask prompt, so that a later propagation starts from what is shown. Where
    nobody has a mask yet, one prompt a frame waits for its own, that of `keep` first.

    Parameters
    ----------
    annotation : Annotation
    keep : ObjectId
        Whose id, name and class stay; it takes the class of another where it has none.
    others : iterable of ObjectId
    shape : tuple of int
        Height and width of a frame, in pixels.
    shelve : callable

    Yields
    ------
    Event
        After each chunk of frames; last a `ChangeComputed`.

    Raises
    ------
    PromptError
        If there is nothing to merge, or an object is locked.
    """
    ids = tuple(dict.fromkeys((keep, *others)))
    if len(ids) < 2:
        raise PromptError("One object alone cannot be merged: choose two or more of them.")
    check_objects(annotation, ids, "merged")
    return _merge(annotation, ids, shape, shelve)


def _merge(
    annotation: Annotation, ids: Sequence[ObjectId], shape: tuple[int, int], shelve: Shelve
) -> ObjectChange:
    keep = ids[0]
    masklets = [annotation.masklets[k] for k in ids if k in annotation.masklets]
    numbers = sorted({number for masklet in masklets for number in masklet.chunks})
    prompted = {f for k in ids for f in annotation.book.frames(k)}
    prompts: Prompts = {}
    drafts: dict[PromptKey, Draft] = {}
    chunks: dict[int, MaskChunk] = {}
    for done, number in enumerate(numbers, start=1):
        here = sorted(f for f in prompted if f // CHUNK == number)
        united: dict[int, StoredMask] = {}
        for frame in here:
            prompt, draft, mask = _merged_prompt(annotation, ids, frame, shape)
            prompts[frame] = prompt
            if draft is not None:
                drafts[keep, frame] = draft
            if mask is not None:
                united[frame] = mask
        parts = [m.chunks[number] for m in masklets if number in m.chunks]
        if len(parts) == 1 and not united:
            chunks[number] = parts[0]  # wherever it is, it stays there
        else:
            for frame in sorted({f for part in parts for f in part} - {*united}):
                united[frame] = _union([part[frame] for part in parts if frame in part], shape)
            chunks[number] = MaskChunk(dict(sorted(united.items())))
            shelve([chunks[number]])
        yield Event(done=done, total=len(numbers) + 1)
    for frame in sorted(prompted - {*prompts}):
        prompt, draft, _ = _merged_prompt(annotation, ids, frame, shape)
        prompts[frame] = prompt
        if draft is not None:
            drafts[keep, frame] = draft
    masklet = Masklet(keep, MappingProxyType(chunks))

    def change(now: Annotation) -> Annotation:
        check_unchanged(annotation, now, ids, "merged")
        return _merged(now, ids, prompts, drafts, masklet, shape)

    total = len(numbers) + 1
    yield ChangeComputed(done=total, total=total, change=change, object_ids=(keep,))


def _union(masks: Sequence[StoredMask], shape: tuple[int, int]) -> StoredMask:
    """Return the union of masks of a frame, itself where only one has pixels."""
    full = [mask for mask in masks if not mask.empty]
    return unite_masks(full, shape, conditioning=False) if len(full) > 1 else (full or masks)[0]


def _merged_prompt(
    annotation: Annotation, ids: Sequence[ObjectId], frame: int, shape: tuple[int, int]
) -> tuple[AnyPrompt, Draft | None, StoredMask | None]:
    """Return what a prompted frame is prompted with, its draft, and its mask if that is new."""
    found = {k: annotation.book.get(k, frame) for k in ids}
    said = {k: prompt for k, prompt in found.items() if prompt is not None}
    stored = {k: annotation.mask(k, frame) for k in ids}
    known = {k: mask for k, mask in stored.items() if mask is not None}
    full = {k: mask for k, mask in known.items() if not mask.empty}
    first = next(iter(said))
    if not known or (len(said) == 1 and {*full} <= {first}):
        return replace(said[first], object_id=ids[0]), annotation.drafts.get((first, frame)), None
    union = unite_masks(list((full or known).values()), shape, conditioning=True)
    return MaskPrompt(ids[0], frame, union.paint(shape)), None, union


def _merged(
    now: Annotation,
    ids: Sequence[ObjectId],
    prompts: Prompts,
    drafts: Mapping[PromptKey, Draft],
    masklet: Masklet,
    shape: tuple[int, int],
) -> Annotation:
    keep, gone = ids[0], frozenset(ids)
    entries = {key: prompt for key, prompt in now.book.entries.items() if key[0] not in gone}
    entries |= {(keep, frame): prompt for frame, prompt in prompts.items()}
    masklets = {k: m for k, m in now.masklets.items() if k not in gone}
    waiting = {key: draft for key, draft in now.drafts.items() if key[0] not in gone}
    classes = (now.catalogue.named[k] for k in ids if k in now.catalogue.named)
    catalogue = now.catalogue.without(ids[1:]).with_class([keep], next(classes, ""))
    painted = dict(now.painted)
    for frame, packed in painted.items():
        labels = unpack_painted(packed, shape)
        if np.isin(labels, ids[1:]).any():
            painted[frame] = pack_painted(np.where(np.isin(labels, ids[1:]), keep, labels))
    return replace(
        now,
        book=PromptBook(MappingProxyType(entries)),
        masklets=MappingProxyType(masklets | ({keep: masklet} if len(masklet) else {})),
        drafts=MappingProxyType(waiting | dict(drafts)),
        stale=_spans(now.stale, ids, unite(p for k in ids for p in now.stale.get(k, ()))),
        accepted=_spans(now.accepted, ids, _of_all(now, now.accepted, ids, masklet)),
        by_class=_spans(now.by_class, ids, _of_all(now, now.by_class, ids, masklet)),
        painted=MappingProxyType(painted),
        catalogue=catalogue,
    )


def _of_all(
    now: Annotation,
    spans: Mapping[ObjectId, tuple[range, ...]],
    ids: Sequence[ObjectId],
    masklet: Masklet,
) -> tuple[range, ...]:
    """Return the frames on which spans hold for every object that has a mask there."""
    parts = tuple(masklet.spans())
    for object_id in ids:
        known = now.masklets.get(object_id)
        if known is not None:
            parts = without(parts, *without(tuple(known.spans()), *spans.get(object_id, ())))
    return parts


def _spans(
    spans: Mapping[ObjectId, tuple[range, ...]], ids: Sequence[ObjectId], parts: tuple[range, ...]
) -> Mapping[ObjectId, tuple[range, ...]]:
    others = {k: known for k, known in spans.items() if k not in ids}
    return MappingProxyType(others | ({ids[0]: parts} if parts else {}))
