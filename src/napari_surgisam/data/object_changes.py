"""Changes of objects that take long to compute and are then one step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.mask_chunks import MaskChunk
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.errors import JobError, PromptError
from napari_surgisam.jobs import Event

Shelve = Callable[[Iterable[MaskChunk]], None]
"""Takes chunks that were made, so that they may leave memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeComputed(Event):
    """The last event: the change is known, and nothing has happened yet.

    Parameters
    ----------
    change : callable
        Returns an annotation with the change; it raises a `JobError` where the objects are no
        longer those that it was computed for.
    object_ids : tuple of ObjectId
        The objects that there are after it, of those that it is about.
    """

    change: Callable[[Annotation], Annotation]
    object_ids: tuple[ObjectId, ...]


ObjectChange = Generator[Event, None, None]
"""A job that ends with a `ChangeComputed`. Cancelling it leaves everything as it was."""


def keep_in_memory(chunks: Iterable[MaskChunk]) -> None:
    """Shelve nothing."""


def check_objects(annotation: Annotation, object_ids: Iterable[ObjectId], what: str) -> None:
    """Raise a `PromptError` unless objects exist and none is locked."""
    object_ids = tuple(object_ids)
    annotation.catalogue.check_open(object_ids, what)
    missing = [k for k in object_ids if k not in annotation.object_ids]
    if missing:
        raise PromptError(
            f"Object {missing[0]} cannot be {what}: it has neither prompts nor masks yet."
        )


def check_unchanged(
    before: Annotation, now: Annotation, object_ids: Iterable[ObjectId], what: str
) -> None:
    """Raise a `JobError` where prompts or masks of objects changed since."""
    for object_id in object_ids:
        frames = {*before.book.frames(object_id), *now.book.frames(object_id)}
        same = now.masklets.get(object_id) is before.masklets.get(object_id) and all(
            now.book.get(object_id, f) is before.book.get(object_id, f) for f in frames
        )
        if not same or object_id in now.catalogue.locked:
            raise JobError(
                f"Object {object_id} changed while it was being {what}, so nothing was done: "
                "do it again."
            )
