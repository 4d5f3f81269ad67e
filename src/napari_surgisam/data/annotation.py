"""Everything that undo takes back: prompts, masks, and what is out of date; a value."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.masklets import Masklet, paint_labels
from napari_surgisam.data.prompts import (
    MAX_OBJECT_ID,
    AnyPrompt,
    ObjectId,
    Point,
    Prompt,
    PromptBook,
)
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import DataError

K = TypeVar("K")
V = TypeVar("V")

PromptKey = tuple[ObjectId, int]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A prompt whose mask has not been computed yet.

    Parameters
    ----------
    refined : StoredMask or None
        The mask that was shown when the last point was added: the points correct it.
    """

    refined: StoredMask | None = None

    @property
    def direction(self) -> int:
        """Pass whose memories the mask is made with: 1, -1, or 0 for none."""
        return 0 if self.refined is None else self.refined.direction


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """Prompts and masks of all objects at one moment.

    Parameters
    ----------
    book : PromptBook
    masklets : mapping of ObjectId to Masklet
    drafts : mapping of (ObjectId, frame) to Draft
        Prompts that wait for their mask.
    stale : mapping of ObjectId to tuple of range
        Frames whose masks, where tracked, were made before a prompt beside them changed.
    painted : mapping of int to bytes
        Labels that a person painted, by frame, compressed.
    by_class : mapping of ObjectId to tuple of range
        Frames whose masks were found by the name of a class. Each stands for itself: prompts
        beside it do not make it stale.
    """

    book: PromptBook = field(default_factory=PromptBook)
    masklets: Mapping[ObjectId, Masklet] = field(default_factory=lambda: MappingProxyType({}))
    drafts: Mapping[PromptKey, Draft] = field(default_factory=lambda: MappingProxyType({}))
    stale: Mapping[ObjectId, tuple[range, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    painted: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}))
    by_class: Mapping[ObjectId, tuple[range, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    @property
    def object_ids(self) -> tuple[ObjectId, ...]:
        """Objects that have a prompt or a mask, ascending."""
        return tuple(sorted({*self.book.object_ids, *self.masklets}))

    def mask(self, object_id: ObjectId, frame: int) -> StoredMask | None:
        """Return an object's mask on a frame, or None."""
        masklet = self.masklets.get(object_id)
        return None if masklet is None else masklet.get(frame)

    def labels(self, frame: int, shape: tuple[int, int]) -> NDArray[np.uint16]:
        """Paint the (H, W) labels of a frame: a person's where there are any, else the masks."""
        painted = self.painted.get(frame)
        if painted is not None:
            return np.frombuffer(zlib.decompress(painted), np.uint16).reshape(shape).copy()
        return paint_labels([m for _, m in sorted(self.masklets.items())], frame, shape)

    def draft(self, object_id: ObjectId, frame: int) -> Draft | None:
        """Return how a prompt is to be answered, or None where its mask is known."""
        if self.book.get(object_id, frame) is None:
            return None
        unknown = None if self.mask(object_id, frame) is not None else Draft()
        return self.drafts.get((object_id, frame), unknown)

    def awaits_tracking(self, object_id: ObjectId, frame: int) -> bool:
        """Whether a prompt only says what the object is not, where no mask was shown."""
        prompt, draft = self.book.get(object_id, frame), self.draft(object_id, frame)
        return (
            isinstance(prompt, Prompt)
            and draft is not None
            and draft.refined is None
            and prompt.box is None
            and not any(point.positive for point in prompt.points)
        )

    def sources(self, object_id: ObjectId) -> tuple[int, ...]:
        """Return the frames whose prompts say where the object is, ascending."""
        frames = self.book.frames(object_id)
        return tuple(f for f in frames if not self.awaits_tracking(object_id, f))

    def corrections(self, object_id: ObjectId) -> dict[int, Prompt]:
        """Return the prompts that await tracking, by frame."""
        return {
            prompt.frame: prompt
            for prompt in self.book
            if isinstance(prompt, Prompt)
            and prompt.object_id == object_id
            and self.awaits_tracking(object_id, prompt.frame)
        }

    def with_prompt(self, prompt: AnyPrompt) -> Annotation:
        """Return a copy with a prompt that is answered on its own, whatever mask is shown."""
        if self.book.get(prompt.object_id, prompt.frame) == prompt:
            return self
        return self._prompted(prompt, Draft())

    def with_point(self, object_id: ObjectId, frame: int, point: Point) -> Annotation:
        """Return a copy with one more point, which refines the mask that is shown."""
        before = self.book.get(object_id, frame)
        if isinstance(before, Prompt):
            prompt = before.with_point(point)
        else:
            prompt = Prompt(object_id, frame, (point,))
        draft = self.drafts.get((object_id, frame))
        if draft is None:
            shown = self.mask(object_id, frame)
            draft = Draft(shown if shown is not None and shown.pointer.size else None)
        return self._prompted(prompt, draft)

    def without_prompt(self, object_id: ObjectId, frame: int) -> Annotation:
        """Return a copy without a prompt and the mask that it made."""
        if self.book.get(object_id, frame) is None:
            return self
        masklets = dict(self.masklets)
        if object_id in masklets:
            masklets[object_id] = masklets[object_id].without([frame])
            if not len(masklets[object_id]):
                del masklets[object_id]
        book = self.book.without(object_id, frame)
        return replace(
            self,
            book=book,
            masklets=MappingProxyType(masklets),
            drafts=_less(self.drafts, [(object_id, frame)]),
            stale=self._stale_around(book, object_id, frame),
        )

    def without_object(self, object_id: ObjectId) -> Annotation:
        """Return a copy without an object's prompts and masks; painted labels stay."""
        if object_id not in self.object_ids:
            return self
        return replace(
            self,
            book=self.book.without(object_id),
            masklets=_less(self.masklets, [object_id]),
            drafts=_less(self.drafts, [key for key in self.drafts if key[0] == object_id]),
            stale=_less(self.stale, [object_id]),
            by_class=_less(self.by_class, [object_id]),
        )

    def with_masks(self, frame: int, masks: Mapping[ObjectId, StoredMask]) -> Annotation:
        """Return a copy with new masks on a frame; those of prompts answer their drafts."""
        masklets, stale, by_class = dict(self.masklets), dict(self.stale), dict(self.by_class)
        answered = []
        for object_id, mask in masks.items():
            masklet = masklets.get(object_id)
            masklet = Masklet(object_id) if masklet is None else masklet
            masklets[object_id] = masklet.with_mask(frame, mask)
            if mask.conditioning:
                answered.append((object_id, frame))
            if object_id in stale:
                stale[object_id] = _cut(stale[object_id], frame)
            if mask.by_class:
                parts = by_class.get(object_id, ())
                by_class[object_id] = _unite((*parts, range(frame, frame + 1)))
            elif object_id in by_class:
                by_class[object_id] = _cut(by_class[object_id], frame)
        return replace(
            self,
            masklets=MappingProxyType(masklets),
            drafts=_less(self.drafts, answered) if self.drafts else self.drafts,
            stale=MappingProxyType(stale),
            by_class=MappingProxyType(by_class),
        )

    def with_paint(self, frame: int, labels: NDArray[np.uint16]) -> Annotation:
        """Return a copy in which a person's (H, W) labels stand for those of a frame."""
        data = zlib.compress(np.ascontiguousarray(labels, np.uint16).tobytes())
        return replace(self, painted=MappingProxyType({**self.painted, frame: data}))

    def without_paint(self, frame: int) -> Annotation:
        """Return a copy that shows the masks on a frame again."""
        if frame not in self.painted:
            return self
        return replace(self, painted=_less(self.painted, [frame]))

    def for_another_network(self) -> Annotation:
        """Return a copy whose masks are all stale and that no network will build on."""
        masklets = {k: masklet.without_pointers() for k, masklet in self.masklets.items()}
        return replace(
            self,
            masklets=MappingProxyType(masklets),
            drafts=MappingProxyType(dict.fromkeys(self.book.entries, Draft())),
            stale={k: (range(min(m), max(m) + 1),) for k, m in masklets.items() if len(m)},
            by_class=MappingProxyType({}),
        )

    def is_stale(self, object_id: ObjectId, frame: int) -> bool:
        """Whether a prompt beside the frame changed after its mask was made."""
        return any(frame in part for part in self.stale.get(object_id, ()))

    def stale_spans(self, object_id: ObjectId) -> tuple[range, ...]:
        """Return the tracked frames of an object that are out of date, in pieces, ascending."""
        masklet, parts = self.masklets.get(object_id), self.stale.get(object_id, ())
        if masklet is None or not parts:
            return ()
        prompted = set(self.book.frames(object_id))
        frames = (f for f in masklet if f not in prompted and any(f in part for part in parts))
        return _unite(range(f, f + 1) for f in frames)

    def outdated_spans(self, object_id: ObjectId, length: int) -> tuple[range, ...]:
        """Return the frames where a propagation has something to do, ascending.

        These are the frames of a source of `length` frames that have no mask, or a stale one.
        """
        masklet = self.masklets.get(object_id)
        if masklet is None:
            return (range(length),)
        missing, start = [], 0
        for known in masklet.spans():
            missing.append(range(start, known.start))
            start = known.stop
        return _unite((*missing, range(start, length), *self.stale.get(object_id, ())))

    def with_confirmed(self, object_id: ObjectId, frames: range) -> Annotation:
        """Return a copy in which an object's masks on ascending frames count as up to date."""
        parts = self.stale.get(object_id, ())
        left = tuple(piece for part in parts for piece in _without(part, frames))
        return replace(self, stale=MappingProxyType({**self.stale, object_id: left}))

    def _prompted(self, prompt: AnyPrompt, draft: Draft) -> Annotation:
        key = (prompt.object_id, prompt.frame)
        book = self.book.with_prompt(prompt)
        return replace(
            self,
            book=book,
            drafts=MappingProxyType({**self.drafts, key: draft}),
            stale=self._stale_around(book, *key),
        )

    def _stale_around(
        self, book: PromptBook, object_id: ObjectId, frame: int
    ) -> Mapping[ObjectId, tuple[range, ...]]:
        """Mark the frames between the neighbouring prompts, which see this one first."""
        masklet = self.masklets.get(object_id)
        if masklet is None:
            return self.stale
        prompted = [f for f in book.frames(object_id) if f != frame]
        start = max((f + 1 for f in prompted if f < frame), default=min(masklet))
        stop = min((f for f in prompted if f > frame), default=max(masklet) + 1)
        parts: Iterable[range] = (range(start, stop),)
        for known in self.by_class.get(object_id, ()):
            parts = [piece for part in parts for piece in _without(part, known)]
        parts = _unite((*self.stale.get(object_id, ()), *parts))
        return MappingProxyType({**self.stale, object_id: parts})


def _less(mapping: Mapping[K, V], keys: Iterable[K]) -> Mapping[K, V]:
    gone = set(keys)
    return MappingProxyType({key: value for key, value in mapping.items() if key not in gone})


def _unite(parts: Iterable[range]) -> tuple[range, ...]:
    united: list[range] = []
    for part in sorted((p for p in parts if p), key=lambda p: p.start):
        if united and part.start <= united[-1].stop:
            united[-1] = range(united[-1].start, max(united[-1].stop, part.stop))
        else:
            united.append(part)
    return tuple(united)


def _cut(parts: tuple[range, ...], frame: int) -> tuple[range, ...]:
    return tuple(piece for part in parts for piece in _without(part, range(frame, frame + 1)))


def _without(part: range, frames: range) -> tuple[range, ...]:
    """Return what is left of a range without another one; maybe nothing."""
    before = range(part.start, min(part.stop, frames.start))
    after = range(max(part.start, frames.stop), part.stop)
    return tuple(piece for piece in (before, after) if piece)


def check_painted(frame: int, labels: NDArray[np.integer], shape: tuple[int, int]) -> None:
    """Raise a `DataError` unless labels can stand for a frame of (H, W) pixels."""
    if labels.shape != shape:
        raise DataError(
            f"The labels painted on frame {frame} have shape {labels.shape}, but the frames "
            f"have {shape}: give them on the image's own grid."
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= MAX_OBJECT_ID:
        raise DataError(
            f"The labels painted on frame {frame} run from {labels.min()} to "
            f"{labels.max()}: only 0 to {MAX_OBJECT_ID} can be stored."
        )
