"""Everything that undo takes back: prompts, masks, and what is out of date; a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.catalogue import Catalogue
from napari_surgisam.data.drafts import Draft
from napari_surgisam.data.frame_spans import shared, unite, without
from napari_surgisam.data.masklets import Masklet
from napari_surgisam.data.overlaps import paint_overlapping
from napari_surgisam.data.painted_labels import pack_painted, unpack_painted
from napari_surgisam.data.prompts import (
    AnyPrompt,
    ObjectId,
    Point,
    Prompt,
    PromptBook,
)
from napari_surgisam.data.stored_masks import StoredMask

K = TypeVar("K")
V = TypeVar("V")

PromptKey = tuple[ObjectId, int]


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
    accepted : mapping of ObjectId to tuple of range
        Frames that a person has found right: no propagation changes their masks.
    by_class : mapping of ObjectId to tuple of range
        Frames whose masks were found by the name of a class. Each stands for itself: prompts
        beside it do not make it stale.
    catalogue : Catalogue
        The classes that there are, and which objects are of which, hidden, or locked.
    """

    book: PromptBook = field(default_factory=PromptBook)
    masklets: Mapping[ObjectId, Masklet] = field(default_factory=lambda: MappingProxyType({}))
    drafts: Mapping[PromptKey, Draft] = field(default_factory=lambda: MappingProxyType({}))
    stale: Mapping[ObjectId, tuple[range, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    painted: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}))
    accepted: Mapping[ObjectId, tuple[range, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    by_class: Mapping[ObjectId, tuple[range, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    catalogue: Catalogue = field(default_factory=Catalogue)

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
            return unpack_painted(painted, shape)
        masklets = [masklet for _, masklet in sorted(self.masklets.items())]
        return paint_overlapping(masklets, frame, shape, self.catalogue.claims(self.masklets))

    def draft(self, object_id: ObjectId, frame: int) -> Draft | None:
        """Return how a prompt is to be answered, or None where its mask is known."""
        if self.book.get(object_id, frame) is None:
            return None
        masklet = self.masklets.get(object_id)
        known = masklet is not None and frame in masklet  # without reading it from disk
        unknown = None if known else Draft()
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

    def with_points(self, object_id: ObjectId, frame: int, points: Iterable[Point]) -> Annotation:
        """Return a copy with more points, which refine the mask that is shown."""
        before, points = self.book.get(object_id, frame), tuple(points)
        if isinstance(before, Prompt):
            prompt = replace(before, points=(*before.points, *points))
        else:
            prompt = Prompt(object_id, frame, points)
        draft = self.drafts.get((object_id, frame))
        if draft is None:
            shown = self.mask(object_id, frame)
            draft = Draft(shown if shown is not None and shown.pointer.size else None)
        return self._prompted(prompt, draft)

    def without_prompt(self, object_id: ObjectId, frame: int) -> Annotation:
        """Return a copy without a prompt and the mask that it made."""
        if self.book.get(object_id, frame) is None:
            return self
        masklet = self.masklets.get(object_id)
        cleared = self if masklet is None else self._with_masklet(masklet.without([frame]))
        book = self.book.without(object_id, frame)
        return replace(
            cleared,
            book=book,
            drafts=_less(self.drafts, [(object_id, frame)]),
            stale=self._stale_around(book, object_id, frame),
            accepted=self._reopened(object_id, range(frame, frame + 1)),
        )

    def without_object(self, object_id: ObjectId) -> Annotation:
        """Return a copy without an object's prompts and masks; painted labels stay."""
        catalogue = self.catalogue.without([object_id])
        if object_id not in self.object_ids and catalogue == self.catalogue:
            return self
        return replace(
            self,
            book=self.book.without(object_id),
            masklets=_less(self.masklets, [object_id]),
            drafts=_less(self.drafts, [key for key in self.drafts if key[0] == object_id]),
            stale=_less(self.stale, [object_id]),
            accepted=_less(self.accepted, [object_id]),
            by_class=_less(self.by_class, [object_id]),
            catalogue=catalogue,
        )

    def with_masks(self, frame: int, masks: Mapping[ObjectId, StoredMask]) -> Annotation:
        """Return a copy with new masks on a frame, which answer their drafts.

        What is accepted there stays, and so does what is locked.
        """
        masklets, stale, by_class = dict(self.masklets), dict(self.stale), dict(self.by_class)
        here = range(frame, frame + 1)
        answered = []
        for object_id, mask in masks.items():
            if object_id in self.catalogue.locked or self.is_accepted(object_id, frame):
                continue
            masklet = masklets.get(object_id)
            masklet = Masklet(object_id) if masklet is None else masklet
            masklets[object_id] = masklet.with_mask(frame, mask)
            if mask.conditioning:
                answered.append((object_id, frame))
            if object_id in stale:
                stale[object_id] = without(stale[object_id], here)
            if mask.by_class:
                by_class[object_id] = unite((*by_class.get(object_id, ()), here))
            elif object_id in by_class:
                by_class[object_id] = without(by_class[object_id], here)
        return replace(
            self,
            masklets=MappingProxyType(masklets),
            drafts=_less(self.drafts, answered) if self.drafts else self.drafts,
            stale=MappingProxyType(stale),
            by_class=MappingProxyType(by_class),
        )

    def with_paint(self, frame: int, labels: NDArray[np.uint16]) -> Annotation:
        """Return a copy in which a person's (H, W) labels stand for those of a frame."""
        painted = {**self.painted, frame: pack_painted(labels)}
        return replace(self, painted=MappingProxyType(painted))

    def without_paint(self, frame: int) -> Annotation:
        """Return a copy that shows the masks on a frame again."""
        if frame not in self.painted:
            return self
        return replace(self, painted=_less(self.painted, [frame]))

    def for_another_network(self) -> Annotation:
        """Return a copy whose masks are all stale, but accepted ones, and of no network.

        An accepted mask stays, even on a prompted frame, and is shown to another network as it is.
        """
        masklets = {k: masklet.without_pointers() for k, masklet in self.masklets.items()}
        return replace(
            self,
            masklets=MappingProxyType(masklets),
            drafts={
                key: Draft()
                for key in self.book.entries
                if not self.is_accepted(*key) and key[0] not in self.catalogue.locked
            },
            stale={k: (range(min(m), max(m) + 1),) for k, m in masklets.items() if len(m)},
            by_class=MappingProxyType({}),
        )

    def is_stale(self, object_id: ObjectId, frame: int) -> bool:
        """Whether a prompt beside the frame changed after its mask was made; no if accepted."""
        stale = any(frame in part for part in self.stale.get(object_id, ()))
        return stale and not self.is_accepted(object_id, frame)

    def stale_spans(self, object_id: ObjectId) -> tuple[range, ...]:
        """Return the tracked frames of an object that are out of date, in pieces, ascending."""
        masklet = self.masklets.get(object_id)
        parts = without(self.stale.get(object_id, ()), *self.accepted.get(object_id, ()))
        if masklet is None or not parts:
            return ()
        known = tuple(masklet.spans())
        prompted = [range(f, f + 1) for f in self.book.frames(object_id)]
        return unite(f for part in parts for f in without(shared(known, part), *prompted))

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
        outdated = unite((*missing, range(start, length), *self.stale.get(object_id, ())))
        return without(outdated, *self.accepted.get(object_id, ()))

    def open_spans(self, object_id: ObjectId, length: int) -> tuple[range, ...]:
        """Return the frames of a source of `length` frames that are not accepted, ascending."""
        return without((range(length),), *self.accepted.get(object_id, ()))

    def is_accepted(self, object_id: ObjectId, frame: int) -> bool:
        """Whether a person found the mask of a frame right."""
        return any(frame in part for part in self.accepted.get(object_id, ()))

    def with_accepted(self, object_id: ObjectId, frames: range) -> Annotation:
        """Return a copy in which no propagation changes an object's masks on ascending frames.

        Frames without a mask are left out, and so are prompts that wait for theirs.
        """
        masklet = self.masklets.get(object_id)
        if masklet is None:
            return self
        waiting = (range(f, f + 1) for o, f in self.drafts if o == object_id)
        before = self.accepted.get(object_id, ())
        parts = unite((*before, *without(shared(masklet.spans(), frames), *waiting)))
        if parts == before:
            return self
        return replace(self, accepted=MappingProxyType({**self.accepted, object_id: parts}))

    def without_accepted(self, object_id: ObjectId, frames: range) -> Annotation:
        """Return a copy in which an object's masks on ascending frames may change again."""
        accepted = self._reopened(object_id, frames)
        return self if accepted is self.accepted else replace(self, accepted=accepted)

    def without_masks(self, object_id: ObjectId, frames: range) -> Annotation:
        """Return a copy without an object's tracked masks on frames, but for accepted ones."""
        masklet = self.masklets.get(object_id)
        if masklet is None:
            return self
        open_parts = without(shared(masklet.spans(), frames), *self.accepted.get(object_id, ()))
        prompted = self.book.frames(object_id)
        gone = [f for part in open_parts for f in part if f not in prompted]
        return self._with_masklet(masklet.without(gone)) if gone else self

    def with_confirmed(self, object_id: ObjectId, frames: range) -> Annotation:
        """Return a copy in which an object's masks on ascending frames count as up to date."""
        left = without(self.stale.get(object_id, ()), frames)
        return replace(self, stale=MappingProxyType({**self.stale, object_id: left}))

    def _prompted(self, prompt: AnyPrompt, draft: Draft) -> Annotation:
        key = (prompt.object_id, prompt.frame)
        book = self.book.with_prompt(prompt)
        return replace(
            self,
            book=book,
            drafts=MappingProxyType({**self.drafts, key: draft}),
            stale=self._stale_around(book, *key),
            accepted=self._reopened(prompt.object_id, range(prompt.frame, prompt.frame + 1)),
        )

    def _with_masklet(self, masklet: Masklet) -> Annotation:
        others = _less(self.masklets, [masklet.object_id])
        masklets = {**others, masklet.object_id: masklet} if len(masklet) else others
        return replace(self, masklets=MappingProxyType(masklets))

    def _reopened(self, object_id: ObjectId, frames: range) -> Mapping[ObjectId, tuple[range, ...]]:
        parts = self.accepted.get(object_id, ())
        left = without(parts, frames)
        if left == parts:
            return self.accepted
        others = _less(self.accepted, [object_id])
        return MappingProxyType({**others, object_id: left}) if left else others

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
        parts: tuple[range, ...] = (range(start, stop),)
        for known in self.by_class.get(object_id, ()):
            parts = without(parts, known)
        parts = unite((*self.stale.get(object_id, ()), *parts))
        return MappingProxyType({**self.stale, object_id: parts})


def _less(mapping: Mapping[K, V], keys: Iterable[K]) -> Mapping[K, V]:
    gone = set(keys)
    return MappingProxyType({key: value for key, value in mapping.items() if key not in gone})
