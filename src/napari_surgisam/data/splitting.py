"""One object becomes several: its connected pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.frame_masks import ABSENT, OUTSIDE, cut_mask, frame_logits
from napari_surgisam.data.mask_chunks import MaskChunk
from napari_surgisam.data.masklets import Masklet
from napari_surgisam.data.object_changes import (
    ChangeComputed,
    ObjectChange,
    Shelve,
    check_objects,
    check_unchanged,
    keep_in_memory,
)
from napari_surgisam.data.pieces import Parts, label_parts
from napari_surgisam.data.prompts import AnyPrompt, MaskPrompt, ObjectId, PromptBook
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import PromptError
from napari_surgisam.jobs import Event

MAX_PIECES = 100
"""Pieces that an object is split into at most: more are noise, and would fill the table."""

SPECK = 10
"""Pixels, over all frames, below which a piece stays with the largest one."""


def split_object(
    annotation: Annotation,
    object_id: ObjectId,
    shape: tuple[int, int],
    new_id: int = 0,
    *,
    least: int = SPECK,
    shelve: Shelve = keep_in_memory,
) -> ObjectChange:
    """Split an object into pieces that are connected within frames, and by overlap across them.

    The largest piece keeps the id and everything that goes with it. A prompt goes with the piece
    on its frame; where there are several, each has its mask as a prompt. A piece without a prompt
    gets one where it is largest, so that each can be propagated. Where a piece is not, on frames
    that had a mask, it is known to be absent.

    Parameters
    ----------
    annotation : Annotation
    object_id : ObjectId
    shape : tuple of int
        Height and width of a frame, in pixels.
    new_id : int
        The first new id; the one after the highest by default.
    least : int
        Pixels, over all frames, below which a piece stays with the largest one.
    shelve : callable

    Yields
    ------
    Event
        After each chunk of frames, in each of two rounds; last a `ChangeComputed`.

    Raises
    ------
    PromptError
        If it is locked or has no masks; from the generator, if it is in one piece or in too many.
    """
    check_objects(annotation, [object_id], "split")
    masklet = annotation.masklets.get(object_id)
    if masklet is None:
        raise PromptError(f"Object {object_id} cannot be split: it has no masks yet.")
    first = new_id or max(annotation.object_ids) + 1
    return _split(annotation, masklet, shape, first, least, shelve)


def split_frame(
    annotation: Annotation,
    object_id: ObjectId,
    frame: int,
    shape: tuple[int, int],
    new_id: int = 0,
    *,
    least: int = SPECK,
) -> tuple[Annotation, tuple[ObjectId, ...]]:
    """Split an object on one frame: its other pieces there become objects of their own.

    All have their masks there as prompts; what was tracked from that frame is out of date.

    Returns
    -------
    Annotation
    tuple of ObjectId
        The pieces, the largest first; it keeps the id.

    Raises
    ------
    PromptError
        If it is locked, or in one piece on this frame, or in too many.
    """
    check_objects(annotation, [object_id], "split")
    mask = annotation.mask(object_id, frame)
    logits = None if mask is None else frame_logits(mask, shape)
    pieces, count = (np.zeros(shape, int), 0) if logits is None else label_parts(logits)
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-areas, kind="stable")
    order = order[areas[order] >= min(least, areas.max(initial=0))]
    where = f"on frame {frame}"
    _check_count(object_id, len(order), where)
    assert mask is not None and logits is not None
    first = new_id or max(annotation.object_ids) + 1
    ids = (object_id, *(ObjectId(first + n) for n in range(len(order) - 1)))
    kept = {int(n) + 1 for n in order[1:]}
    after = replace(annotation, catalogue=annotation.catalogue.like(object_id, ids[1:]))
    for number, piece in zip(ids, order, strict=True):
        others = (
            np.isin(pieces, list(kept))
            if number == object_id
            else (pieces > 0) & (pieces != piece + 1)
        )
        cut = cut_mask(np.where(others, OUTSIDE, logits), [mask], conditioning=True)
        prompt = MaskPrompt(number, frame, cut.paint(shape))
        after = after.with_prompt(prompt).with_masks(frame, {number: cut})
    return after, ids


def _split(
    annotation: Annotation,
    masklet: Masklet,
    shape: tuple[int, int],
    first: int,
    least: int,
    shelve: Shelve,
) -> ObjectChange:
    object_id, numbers, parts = masklet.object_id, sorted(masklet.chunks), Parts()
    total = 2 * len(numbers) + 1
    for done, number in enumerate(numbers, start=1):
        for frame, mask in sorted(masklet.chunks[number].masks().items()):
            parts.add(frame, frame_logits(mask, shape))
        yield Event(done=done, total=total)
    pieces = parts.pieces(least)
    count = int(pieces.max(initial=-1)) + 1
    _check_count(object_id, count, "on all its frames")
    ids = (object_id, *(ObjectId(first + n) for n in range(count - 1)))
    here: dict[int, set[int]] = {frame: set() for frame in parts.start}
    for frame, piece in zip(parts.frames, pieces.tolist(), strict=True):
        here[frame].add(piece)
    prompts, masked = _deal(annotation, object_id, ids, here, parts.largest(pieces, count))
    made: list[dict[int, MaskChunk]] = [{} for _ in ids]
    for done, number in enumerate(numbers, start=len(numbers) + 1):
        chunk = masklet.chunks[number]
        alone = {piece for frame in chunk for piece in here[frame]}
        whole = len(alone) <= 1 and not any(frame in masked for frame in chunk)
        owner = next(iter(alone), 0)
        masks: list[dict[int, StoredMask]] = [{} for _ in ids]
        for frame in () if whole else sorted(chunk):
            cuts = _cut(chunk[frame], frame, parts, pieces, here, masked, shape)
            for piece in range(count):
                masks[piece][frame] = cuts.get(piece, ABSENT)
                if piece in masked.get(frame, ()):
                    prompt = MaskPrompt(ids[piece], frame, cuts[piece].paint(shape))
                    prompts[ids[piece], frame] = prompt
        for piece in range(count):
            if whole and piece == owner:
                made[piece][number] = chunk  # wherever it is, it stays there
                continue
            absent = dict.fromkeys(chunk, ABSENT)
            made[piece][number] = MaskChunk(absent if whole else masks[piece])
            shelve([made[piece][number]])
        yield Event(done=done, total=total)
    masklets = {k: Masklet(k, MappingProxyType(c)) for k, c in zip(ids, made, strict=True)}

    def change(now: Annotation) -> Annotation:
        check_unchanged(annotation, now, [object_id], "split")
        if taken := {*ids[1:]} & {*now.object_ids}:
            raise PromptError(f"There is an object {min(taken)} by now: split again.")
        return _with_pieces(now, object_id, masklets, prompts, frozenset(masked))

    yield ChangeComputed(done=total, total=total, change=change, object_ids=ids)


def _deal(
    annotation: Annotation,
    object_id: ObjectId,
    ids: Sequence[ObjectId],
    here: Mapping[int, set[int]],
    largest: Sequence[int],
) -> tuple[dict[tuple[ObjectId, int], AnyPrompt], dict[int, set[int]]]:
    """Return the prompts that stay what they are, and which pieces get masks as prompts where."""
    prompts: dict[tuple[ObjectId, int], AnyPrompt] = {}
    masked: dict[int, set[int]] = {}
    prompted: set[int] = set()
    for frame in annotation.book.frames(object_id):
        present = here.get(frame) or {0}
        prompted |= present
        prompt = annotation.book.get(object_id, frame)
        if len(present) > 1:
            masked.setdefault(frame, set()).update(present)
        elif prompt is not None:
            number = ids[next(iter(present))]
            prompts[number, frame] = replace(prompt, object_id=number)
    for piece, frame in enumerate(largest):
        if piece not in prompted:
            masked.setdefault(frame, set()).add(piece)
    return prompts, masked


def _cut(
    mask: StoredMask,
    frame: int,
    parts: Parts,
    pieces: NDArray[np.int64],
    here: Mapping[int, set[int]],
    masked: Mapping[int, set[int]],
    shape: tuple[int, int],
) -> dict[int, StoredMask]:
    """Return the masks of the pieces that are on a frame."""
    present, prompted = here[frame], masked.get(frame, set())
    if len(present) <= 1 and not prompted:
        return dict.fromkeys(present or {0}, mask)
    logits = frame_logits(mask, shape)
    labels, count = label_parts(logits)
    start = parts.start[frame]
    owners = np.concatenate([[-1], pieces[start : start + count]])[labels]
    return {
        piece: cut_mask(
            np.where((owners >= 0) & (owners != piece), OUTSIDE, logits).astype(np.float32),
            [mask],
            conditioning=piece in prompted,
        )
        for piece in present
    }


def _with_pieces(
    now: Annotation,
    object_id: ObjectId,
    masklets: Mapping[ObjectId, Masklet],
    prompts: Mapping[tuple[ObjectId, int], AnyPrompt],
    masked: frozenset[int],
) -> Annotation:
    entries = {key: p for key, p in now.book.entries.items() if key[0] != object_id}
    owners = {frame: number for number, frame in prompts}
    drafts = {
        (owners.get(frame, k) if k == object_id else k, frame): draft
        for (k, frame), draft in now.drafts.items()
        if k != object_id or frame not in masked
    }

    def shared(
        spans: Mapping[ObjectId, tuple[range, ...]],
    ) -> Mapping[ObjectId, tuple[range, ...]]:
        own = spans.get(object_id, ())
        return MappingProxyType({**spans, **dict.fromkeys(masklets, own)} if own else dict(spans))

    return replace(
        now,
        book=PromptBook(MappingProxyType(entries | dict(prompts))),
        masklets=MappingProxyType({**now.masklets, **masklets}),
        drafts=MappingProxyType(drafts),
        stale=shared(now.stale),
        accepted=shared(now.accepted),
        by_class=shared(now.by_class),
        catalogue=now.catalogue.like(object_id, [k for k in masklets if k != object_id]),
    )


def _check_count(object_id: ObjectId, count: int, where: str) -> None:
    if count < 2:
        raise PromptError(f"Object {object_id} is in one piece {where}: there is nothing to split.")
    if count > MAX_PIECES:
        raise PromptError(
            f"Object {object_id} is in {count} pieces {where}, and at most {MAX_PIECES} can become "
            "objects: correct its masks first."
        )
