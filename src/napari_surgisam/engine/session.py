"""One editing session: prompts in, masks out, with undo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.mask_chunks import MaskChunk, MaskShelf
from napari_surgisam.data.masklets import Masklet
from napari_surgisam.data.prompts import ObjectId, Point, Prompt, PromptBook
from napari_surgisam.data.scores import FrameScore, score_frames
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.banks import answer_prompts, sources_of
from napari_surgisam.engine.course import Update, plan_update
from napari_surgisam.engine.labelling import label_frames
from napari_surgisam.engine.network import FrameEmbedding, Prediction
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.propagation import Confirmed, Propagation, run_steps
from napari_surgisam.engine.recollection import Recollection
from napari_surgisam.engine.resuming import Interrupted
from napari_surgisam.engine.session_edits import SessionEdits
from napari_surgisam.engine.session_run import Run
from napari_surgisam.engine.tracker import Tracker


class Session(SessionEdits):
    """Frames, prompts and masks of one editing session; the owner of undo.

    Reading is safe from any thread at any time. An edit, an undo or another propagation ends
    the propagation that is running: what it has done is kept.

    Parameters
    ----------
    frames : FrameSource
    tracker : Tracker
    annotation : Annotation, optional
        Prompts and masks to start from; the masks must be this tracker's.

    Raises
    ------
    PromptError
        If a prompt does not fit the frames.
    """

    def __init__(
        self, frames: FrameSource, tracker: Tracker, annotation: Annotation | None = None
    ) -> None:
        annotation = annotation or Annotation()
        super().__init__(frames, annotation)
        self.tracker = tracker
        self._recollection = Recollection(frames, tracker)
        self._shelf = MaskShelf()
        self._shelf.keep(c for m in annotation.masklets.values() for c in m.chunks.values())

    # -- what there is

    @property
    def book(self) -> PromptBook:
        """All prompts."""
        return self.annotation.book

    @property
    def masklets(self) -> Mapping[ObjectId, Masklet]:
        """The masks of each object that has any."""
        return self.annotation.masklets

    @property
    def object_ids(self) -> tuple[ObjectId, ...]:
        """Objects that have a prompt or a mask, ascending."""
        return self.annotation.object_ids

    @property
    def painted_frames(self) -> tuple[int, ...]:
        """Frames whose labels a person painted, ascending."""
        return tuple(sorted(self.annotation.painted))

    def labels(self, frame: int) -> NDArray[np.uint16]:
        """Paint the labels of a frame: a person's where there are any, else the masks.

        Returns
        -------
        (H, W) uint16 array
            Object ids, 0 for the background.
        """
        return self.annotation.labels(frame, self.frames.shape)

    def stale(self, object_id: ObjectId) -> tuple[Span, ...]:
        """Return the tracked frames whose masks are older than a prompt beside them."""
        return tuple(Span(r.start, r.stop) for r in self.annotation.stale_spans(object_id))

    def scores(self) -> Iterator[FrameScore]:
        """Yield a score per frame and object, by frame, then object."""
        return score_frames(self.annotation, self.frames.shape)

    # -- the network at work

    def with_tracker(self, tracker: Tracker) -> Session:
        """Return a session with the same prompts and another tracker, and no past.

        Masks of another network stay visible, all stale but those that were accepted.
        """
        same = tracker.network is self.tracker.network
        annotation = self.annotation if same else self.annotation.for_another_network()
        return Session(self.frames, tracker, annotation)

    def add_points(self, object_id: ObjectId, frame: int, points: Iterable[Point]) -> None:
        """Add clicks together, as one undo step; they refine the object's mask that is shown.

        Where tracking has lost the object, there is no mask to refine: networks that begin anew
        there (`Traits`) answer the clicks by themselves. See also `SessionEdits.add_points`.
        """
        points = tuple(points)
        if self.tracker.network.traits.begins_anew and any(p.positive for p in points):
            shown = self.annotation.mask(object_id, frame)
            clicked = self.book.get(object_id, frame) is not None
            if shown is not None and shown.empty and not clicked:
                self.set_prompt(Prompt(object_id, frame, points))
                return
        super().add_points(object_id, frame, points)

    def embed(self, frame: int) -> FrameEmbedding:
        """Compute a frame's embedding, or fetch it, so that a click is answered at once."""
        return self.tracker.embed(self.frames, frame)

    def segment(
        self, frame: int, object_ids: Iterable[ObjectId] | None = None
    ) -> dict[ObjectId, Prediction]:
        """Compute the masks of the prompts on a frame, where they are not known yet.

        Returns
        -------
        dict of ObjectId to Prediction
            Objects without a prompt on the frame are missing; so are those with negative
            points only where no mask is shown: propagation refines what it finds there.
        """
        annotation = self.annotation
        asked = annotation.book.object_ids if object_ids is None else tuple(object_ids)
        wanted = [k for k in asked if k not in annotation.catalogue.locked]
        answers, masks = answer_prompts(annotation, frame, wanted, self._recollection)
        with self._lock:
            book = self.book  # a prompt may have changed since
            current = {
                k: mask
                for k, mask in masks.items()
                if book.get(k, frame) is annotation.book.get(k, frame)
            }
            self._history.amend(self._with_masks(frame, current))
        return answers

    def propagate(
        self,
        plan: Plan,
        object_ids: Iterable[ObjectId] | None = None,
        before: Interrupted | None = None,
        update: Update | None = None,
    ) -> Propagation:
        """Carry the prompts to the other frames, as one undo step.

        Prompts without masks are segmented first. Close the generator to cancel; what it has
        done is kept.

        Parameters
        ----------
        plan : Plan
        object_ids : iterable of ObjectId, optional
            All objects with a prompt by default.
        before : Interrupted, optional
            What the same propagation had done: it goes on from there.
        update : Update, optional
            Do only what is out of date; all is done by default.

        Returns
        -------
        generator of FrameSegmented
            An event for each prompted frame, then one for each step of the plan.

        Raises
        ------
        PromptError
            If there is nothing to start from.
        """
        sources = sources_of(self.annotation, object_ids)
        steps = plan_update(plan, self.annotation, sources, len(self.frames), update)
        return run_steps(self._begin(), self._recollection, sources, steps, update, before)

    def label_classes(
        self, objects: Mapping[ObjectId, str], span: Span, before: Interrupted | None = None
    ) -> Propagation:
        """Find objects by the names of their classes, as one undo step; see `label_frames`."""
        return label_frames(self._begin(), self._recollection, objects, span, before)

    def shelve(self, chunks: Iterable[MaskChunk]) -> None:
        """Keep masks that are still to come into the annotation within the budget, too."""
        self._shelf.keep(chunks)

    def _begin(self) -> Run:
        with self._lock:
            self._run = run = Run(self)
            return run

    def count_outdated(self, plan: Plan, object_ids: Iterable[ObjectId] | None = None) -> int:
        """Return how many steps an update takes at most, before any network is asked.

        Raises
        ------
        PromptError
            If there is nothing to start from.
        """
        sources = sources_of(self.annotation, object_ids)
        return len(plan_update(plan, self.annotation, sources, len(self.frames), Update()))

    def store_step(
        self, run: object, frame: int, masks: Mapping[ObjectId, StoredMask], confirmed: Confirmed
    ) -> bool:
        """Store what a propagation of this session made; False where it was ended."""
        with self._lock:
            if not isinstance(run, Run) or self._run is not run:
                return False
            if masks:
                annotation = self._with_masks(frame, masks)
                for object_id, frames in confirmed.items():
                    annotation = annotation.with_confirmed(object_id, frames)
                (self._history.amend if run.begun else self._history.edit)(annotation)
                run.begun = True
            return True

    def _with_masks(self, frame: int, masks: Mapping[ObjectId, StoredMask]) -> Annotation:
        annotation = self.annotation.with_masks(frame, masks)
        self._shelf.keep(annotation.masklets[k].chunk(frame) for k in masks)
        return annotation
