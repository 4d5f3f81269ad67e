"""What a person does to a session: edits, each a step that undo takes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from threading import RLock
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.catalogue import Catalogue
from napari_surgisam.data.classes import ClassList
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.history import History
from napari_surgisam.data.painted_labels import check_painted, keep_locked
from napari_surgisam.data.prompts import AnyPrompt, ObjectId, Point, Prompt, check_prompt
from napari_surgisam.engine.session_run import Run


class SessionEdits:
    """An annotation of frames with its history; the part of a session that knows no network.

    Parameters
    ----------
    frames : FrameSource
    annotation : Annotation

    Raises
    ------
    PromptError
        If a prompt does not fit the frames.
    """

    def __init__(self, frames: FrameSource, annotation: Annotation) -> None:
        self.frames = frames
        self._history = History(annotation)
        for prompt in annotation.book:
            check_prompt(prompt, len(frames), *frames.shape)
        self._lock = RLock()
        self._run: Run | None = None  # a propagation that may still store masks

    @property
    def annotation(self) -> Annotation:
        """Prompts and masks of this moment, as one value."""
        return self._history.value

    def edit(self, change: Callable[[Annotation], Annotation]) -> bool:
        """Change the annotation as one undo step; it ends a propagation that is running.

        Parameters
        ----------
        change : callable
            Returns the new annotation, or the same where there is nothing to change.

        Returns
        -------
        bool
            Whether anything changed.
        """
        with self._lock:
            changed = change(self.annotation)
            if changed is self.annotation:
                return False
            self._run = None
            self._history.edit(changed)
            return True

    # -- edits, each an undo step

    def set_prompt(self, prompt: AnyPrompt) -> None:
        """Set all that is said about an object on a frame; it is answered as a whole."""
        self.set_prompts([prompt])

    def set_prompts(self, prompts: Iterable[AnyPrompt]) -> None:
        """Set several prompts as one undo step.

        Raises
        ------
        PromptError
            If one of them does not fit the frames; then none is set.
        """
        prompts = list(prompts)
        for prompt in prompts:
            self._check(prompt)
        self.edit(lambda annotation: reduce(Annotation.with_prompt, prompts, annotation))

    def add_point(self, object_id: ObjectId, frame: int, point: Point) -> None:
        """Add a click, which refines the object's mask where one is shown; see `add_points`."""
        self.add_points(object_id, frame, (point,))

    def add_points(self, object_id: ObjectId, frame: int, points: Iterable[Point]) -> None:
        """Add clicks together, as one undo step; they refine the object's mask that is shown.

        Points that join a prompt whose mask has not been computed enter together with it.

        Raises
        ------
        PromptError
            If a point lies outside the frame, or the frame outside the source.
        """
        points = tuple(points)
        self._check(Prompt(object_id, frame, points))
        self.edit(lambda annotation: annotation.with_points(object_id, frame, points))

    def remove_prompt(self, object_id: ObjectId, frame: int) -> None:
        """Remove what is said about an object on a frame, and the mask made from it."""
        self._check_open([object_id], "changed")
        self.edit(lambda annotation: annotation.without_prompt(object_id, frame))

    def remove_object(self, object_id: ObjectId) -> None:
        """Remove an object's prompts and masks."""
        self._check_open([object_id], "deleted")
        self.edit(lambda annotation: annotation.without_object(object_id))

    def paint(self, frame: int, labels: NDArray[np.integer]) -> None:
        """Let a person's (H, W) labels stand for a frame, until `unpaint`.

        Masks go on being computed beneath them; to track from them, set them as mask
        prompts. Pixels of locked objects are not painted over, nor painted with their labels.

        Raises
        ------
        DataError
            If shape or values do not fit.
        """
        check_painted(frame, labels, self.frames.shape)
        before = self.annotation.labels(frame, self.frames.shape)
        kept = keep_locked(before, labels, self.annotation.catalogue.locked)
        self.edit(lambda annotation: annotation.with_paint(frame, kept.astype(np.uint16)))

    def accept(self, object_ids: Iterable[ObjectId], frames: range) -> None:
        """Lock objects' masks on ascending frames: later propagations lean on them."""
        self._edit_each(Annotation.with_accepted, object_ids, frames)

    def reopen(self, object_ids: Iterable[ObjectId], frames: range) -> None:
        """Let propagations change objects' accepted masks on ascending frames again."""
        self._edit_each(Annotation.without_accepted, object_ids, frames)

    def clear(self, object_ids: Iterable[ObjectId], frames: range) -> None:
        """Remove objects' tracked masks on ascending frames, but for accepted ones."""
        object_ids = tuple(object_ids)
        self._check_open(object_ids, "cleared")
        self._edit_each(Annotation.without_masks, object_ids, frames)

    def unpaint(self, frame: int) -> None:
        """Show the masks on a frame again."""
        self.edit(lambda annotation: annotation.without_paint(frame))

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to take again."""
        return self._history.can_redo

    def undo(self) -> bool:
        """Take back the last step, masks included; False where there is none."""
        with self._lock:
            self._run = None
            return self._history.undo()

    def redo(self) -> bool:
        """Take back the last undo; False where there is none."""
        with self._lock:
            self._run = None
            return self._history.redo()

    # -- what objects are; none of it ends a propagation

    def set_classes(
        self, classes: ClassList, renamed: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Take other classes, some of them under new names; see `Catalogue.with_classes`."""
        self._edit_catalogue(lambda known: known.with_classes(classes, renamed))

    def set_class(self, object_ids: Iterable[ObjectId], name: str) -> None:
        """Say of which class objects are; an empty name is none.

        Raises
        ------
        DataError
            If there is no such class.
        """
        object_ids = tuple(object_ids)
        self._edit_catalogue(lambda known: known.with_class(object_ids, name))

    def hide(self, object_ids: Iterable[ObjectId], hidden: bool = True) -> None:
        """Hide objects in the window, or show them again; files have them in any case."""
        object_ids = tuple(object_ids)
        self._edit_catalogue(lambda known: known.with_hidden(object_ids, hidden))

    def lock(self, object_ids: Iterable[ObjectId], locked: bool = True) -> None:
        """Let nothing change objects, neither click nor propagation nor brush; or free them."""
        object_ids = tuple(object_ids)
        self._edit_catalogue(lambda known: known.with_locked(object_ids, locked))

    def _edit_catalogue(self, change: Callable[[Catalogue], Catalogue]) -> None:
        """Change what is said of objects; a propagation goes on, as an undo step of its own."""
        with self._lock:
            annotation = self.annotation
            catalogue = change(annotation.catalogue)
            if catalogue != annotation.catalogue:
                self._history.edit(replace(annotation, catalogue=catalogue))
                if self._run is not None:
                    self._run.begun = False

    def _edit_each(
        self, change: Callable[..., Annotation], object_ids: Iterable[ObjectId], frames: range
    ) -> None:
        self.edit(lambda before: reduce(lambda a, k: change(a, k, frames), object_ids, before))

    def _check(self, prompt: AnyPrompt) -> None:
        check_prompt(prompt, len(self.frames), *self.frames.shape)
        self._check_open([prompt.object_id], "prompted")

    def _check_open(self, object_ids: Iterable[ObjectId], what: str) -> None:
        self.annotation.catalogue.check_open(object_ids, what)
