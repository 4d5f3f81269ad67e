"""Objects that nobody clicked on: what a network found, and which of it is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.clicks import first_click
from napari_surgisam.data.prompts import MAX_OBJECT_ID, ObjectId, Point, Prompt
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import PromptError

COVERED = 0.5
"""Share of a suggestion that may be taken by better ones, and by objects that there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Suggestion:
    """A mask that may be an object.

    Parameters
    ----------
    mask : StoredMask
    pixels : (h, w) bool array
        The mask in frame pixels, as far as it reaches.
    top, left : int
        Where `pixels` begin.
    score : float
        Predicted IoU times stability, in [0, 1].
    """

    mask: StoredMask
    pixels: NDArray[np.bool_]
    top: int
    left: int
    score: float

    @classmethod
    def of(cls, mask: StoredMask, shape: tuple[int, int], score: float) -> Suggestion | None:
        """Return a suggestion of a mask on a frame of (H, W) pixels, None where it is empty."""
        if mask.empty:
            return None
        rows, columns, logits = mask.upsample(shape)
        inside = logits > 0
        down, across = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not down.size:
            return None
        cut = inside[down[0] : down[-1] + 1, across[0] : across[-1] + 1].copy()
        top, left = rows.start + int(down[0]), columns.start + int(across[0])
        return cls(mask, cut, top, left, score)

    @property
    def area(self) -> int:
        """Pixels of the frame."""
        return int(np.count_nonzero(self.pixels))

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that it reaches."""
        height, width = self.pixels.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def point(self) -> Point:
        """The most interior pixel, as a click."""
        inside = first_click(self.pixels)
        return Point(inside.y + self.top, inside.x + self.left)

    def shared(self, other: Suggestion) -> int:
        """Return how many pixels two suggestions have in common."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        if bottom <= top or right <= left:
            return 0
        one, two = (
            s.pixels[top - s.top : bottom - s.top, left - s.left : right - s.left]
            for s in (self, other)
        )
        return int(np.count_nonzero(one & two))


def distinct(suggestions: Iterable[Suggestion], overlap: float) -> list[Suggestion]:
    """Return the best of suggestions that are the same object, the best first.

    Parameters
    ----------
    suggestions : iterable of Suggestion
    overlap : float
        IoU above which two are the same.
    """
    kept: list[Suggestion] = []
    for one in sorted(suggestions, key=lambda s: -s.score):
        area = one.area
        for other in kept:
            common = one.shared(other)
            if common and common / (area + other.area - common) > overlap:
                break
        else:
            kept.append(one)
    return kept


def uncovered(
    suggestions: Sequence[Suggestion], known: NDArray[np.integer], share: float = COVERED
) -> list[Suggestion]:
    """Return the suggestions of which better ones, or known objects, leave enough.

    Parameters
    ----------
    suggestions : sequence of Suggestion
        The best first.
    known : (H, W) integer array
        Labels of objects that there are.
    share : float
        Part of a suggestion that may be covered.
    """
    taken, left = known > 0, []
    for one in suggestions:
        part = taken[one.slices]
        if np.count_nonzero(part & one.pixels) <= share * one.area:
            left.append(one)
            part |= one.pixels
    return left


def paint_suggestions(
    suggestions: Sequence[Suggestion], shape: tuple[int, int]
) -> NDArray[np.uint16]:
    """Paint suggestions as (H, W) labels from 1; of two, the better one has a pixel."""
    labels = np.zeros(shape, np.uint16)
    for number, one in reversed(list(enumerate(suggestions, start=1))):
        labels[one.slices][one.pixels] = number
    return labels


def with_suggestions(
    annotation: Annotation,
    frame: int,
    suggestions: Sequence[Suggestion],
    taken: Collection[int] = (),
) -> tuple[Annotation, tuple[ObjectId, ...]]:
    """Return an annotation in which suggestions are objects, and their ids.

    Each is prompted by a click at its most interior pixel, and has the mask that was suggested.

    Parameters
    ----------
    annotation : Annotation
    frame : int
    suggestions : sequence of Suggestion
    taken : collection of int
        Ids that somebody else has.

    Raises
    ------
    PromptError
        If there are more than labels.
    """
    first = max((0, *annotation.object_ids, *taken)) + 1
    ids = tuple(ObjectId(first + n) for n in range(len(suggestions)))
    if ids and ids[-1] > MAX_OBJECT_ID:
        raise PromptError(
            f"{len(ids)} suggestions need labels up to {ids[-1]}, and the largest is "
            f"{MAX_OBJECT_ID}: keep fewer of them."
        )
    for object_id, one in zip(ids, suggestions, strict=True):
        prompt = Prompt(object_id, frame, (one.point,))
        annotation = annotation.with_prompt(prompt).with_masks(frame, {object_id: one.mask})
    return annotation, ids
