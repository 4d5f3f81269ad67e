"""BioSAM-2's three pipelines and their like: prompted once, segmented in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from napari_surgisam.data.clicks import interacted_frames
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.engine.plan import Span
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import PromptError
from napari_surgisam.evaluation.answers import (
    Answer,
    EvaluationProtocol,
    Prompting,
    Running,
    painted,
    propagated,
    seeds_of,
    some_frames,
)
from napari_surgisam.evaluation.cases import OpenCase, Truth
from napari_surgisam.evaluation.interaction import CorrectionProtocol, InteractiveProtocol
from napari_surgisam.jobs import Event

OBJECTS_AT_ONCE = 32
"""Objects of a single picture that are segmented in one batch."""


@dataclass(frozen=True, slots=True)
class ImageProtocol:
    """Single frames: some points or a box, no feedback (BioSAM-2's 2D pipeline).

    Parameters
    ----------
    prompting : Prompting
    max_frames : int, optional
        Of more labelled frames, so many are taken, evenly spread.
    """

    name: ClassVar[str] = "image"
    per_picture: ClassVar[bool] = True
    solid: ClassVar[bool | None] = False

    prompting: Prompting = field(default_factory=Prompting)
    max_frames: int | None = None

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Segment every labelled frame by itself."""
        truth, seeds = some_frames(case.truth, self.max_frames), seeds_of(case.name, seed)
        labels = np.zeros(truth.labels.shape, np.uint16)
        clicks = dict.fromkeys(truth.object_ids, 0)
        for k, frame in enumerate(truth.frames):
            session = Session(case.frames, tracker)
            present = [o for o in truth.object_ids if frame in truth.visible[o]]
            taken = self.prompting.prompt(session, truth, dict.fromkeys(present, (frame,)), seeds)
            for object_id, count in taken.items():
                clicks[object_id] += count
            for start in range(0, len(present), OBJECTS_AT_ONCE):
                session.segment(frame, present[start : start + OBJECTS_AT_ONCE])
            labels[k] = session.labels(frame)
            yield Event(done=k + 1, total=len(truth.frames))
        return Answer(truth, labels, truth.visible, clicks)


@dataclass(frozen=True, slots=True)
class VolumeProtocol:
    """Volumes: a prompt on each object's middle labelled slice, then outward both ways.

    References
    ----------
    Yan et al., BioSAM-2, arXiv:2408.03286: its 3D pipeline, with a box.
    """

    name: ClassVar[str] = "volume"
    per_picture: ClassVar[bool] = False
    solid: ClassVar[bool | None] = True

    prompting: Prompting = field(default_factory=Prompting)

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Prompt the middle slices and propagate."""
        middles = {o: (seen[len(seen) // 2],) for o, seen in case.truth.visible.items()}
        return (yield from propagated(case, tracker, self.prompting, middles, "outward", seed))


@dataclass(frozen=True, slots=True)
class VideoProtocol:
    """Movies: prompts on the first frames of each object, then one forward pass.

    Parameters
    ----------
    prompting : Prompting
    prompted_frames : int
        How many labelled frames are prompted from where the object is first seen: n of
        BioSAM-2, which takes 1, 2, 4, 6 and 8.

    References
    ----------
    Yan et al., BioSAM-2, arXiv:2408.03286: its video pipeline.
    """

    name: ClassVar[str] = "video"
    per_picture: ClassVar[bool] = False
    solid: ClassVar[bool | None] = False

    prompting: Prompting = field(default_factory=Prompting)
    prompted_frames: int = 1

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Prompt the first frames and propagate."""
        first = {
            o: interacted_frames(seen, self.prompted_frames)
            for o, seen in case.truth.visible.items()
        }
        return (yield from propagated(case, tracker, self.prompting, first, "first-n", seed))


@dataclass(frozen=True, slots=True)
class SemanticProtocol:
    """Movies with classes: clicks where each object first appears, one class map per frame.

    The masks are those of the video protocol with one prompted frame; what differs is what
    is measured: every object's mask becomes its class.
    """

    name: ClassVar[str] = "video-semantic"
    per_picture: ClassVar[bool] = False
    solid: ClassVar[bool | None] = False

    prompting: Prompting = field(default_factory=Prompting)

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Prompt each object where it first appears, and propagate."""
        return (yield from VideoProtocol(self.prompting).run(case, tracker, seed))


@dataclass(frozen=True, slots=True)
class ClassProtocol:
    """No prompts: classes are asked for by name, on every labelled frame for itself.

    All objects of a class are one. A class that the network does not know is not found.

    References
    ----------
    Yan et al., BioSAM-2, arXiv:2408.03286, without prompts; Yue et al., SurgicalSAM,
    arXiv:2308.08746.
    """

    name: ClassVar[str] = "classes"
    per_picture: ClassVar[bool] = False
    solid: ClassVar[bool | None] = None

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Label the frames that have a truth; a model must know one of its classes."""
        truth, names = by_class(case)
        known = tracker.network.classes
        objects = {label: name for name, label in names.items() if name in known}
        if not objects:
            raise PromptError(
                f"The model knows none of the classes of {case.name} ({', '.join(names)}); it "
                f"knows {', '.join(known) or 'none'}. Tune one with --recipe classes."
            )
        others = [name for name in known if name not in names]  # they compete for pixels, too
        first = max(truth.object_ids) + 1
        rivals = {ObjectId(k): name for k, name in enumerate(others, start=first)}
        session = Session(case.frames, tracker)
        for done, frame in enumerate(truth.frames, start=1):
            for _ in session.label_classes(objects | rivals, Span(frame, frame + 1)):
                yield Event(done=done, total=len(truth.frames))
        labels = painted(session, truth)
        labels[labels >= first] = 0
        return Answer(truth, labels, dict.fromkeys(truth.object_ids, ()), {})


def by_class(case: OpenCase) -> tuple[Truth, dict[str, ObjectId]]:
    """Return a case's truth with one object per class, and the labels of these by class."""
    truth, names = case.truth, dict[str, ObjectId]()
    labels = truth.labels.copy()
    for label in truth.object_ids:
        own = names.setdefault(case.classes.name(case.name, label), label)
        labels[truth.labels == label] = own
    return Truth(labels, truth.frames), names


PROTOCOLS: Mapping[str, Callable[..., EvaluationProtocol]] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            ImageProtocol,
            InteractiveProtocol,
            VolumeProtocol,
            VideoProtocol,
            SemanticProtocol,
            CorrectionProtocol,
            ClassProtocol,
        )
    }
)
