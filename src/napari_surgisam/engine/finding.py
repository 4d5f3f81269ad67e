"""Where a lost object may be again: frames that look as it looked where it was known."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.confidence import DEFAULT
from napari_surgisam.data.curves import read_curves
from napari_surgisam.data.doubtful_places import LEAST
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import ObjectId, Point
from napari_surgisam.engine.network import FrameEmbedding
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import PromptError
from napari_surgisam.jobs import Event

MOST_EXAMPLES = 8
"""Frames from which the look of an object is learned at most, the nearest ones."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sighting:
    """The place on a frame that looks most like an object.

    Parameters
    ----------
    frame : int
    point : Point
        In frame pixels, the centre of a cell of the embedding's grid.
    similarity : float
        Cosine of the place's features and the object's, in [-1, 1].
    margin : float
        By how much that is more than the cosine with what lay around the object where it is known,
        the most similar place of that. Below 0 the place looks more like the background.
    """

    frame: int
    point: Point
    similarity: float
    margin: float

    @property
    def sure(self) -> bool:
        """Whether the place looks more like the object than like anything that was around it."""
        return self.margin > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSearched(Event):
    """A frame was looked at.

    Parameters
    ----------
    frame : int
    best : Sighting
        The place most like the object on all frames so far.
    """

    frame: int
    best: Sighting


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What an object and its surroundings look like to a network.

    Features of one frame have much in common: the cosine of an object and its background is 0.9
    with the embedded model. So what counts is how much more a place is like the object than like
    the most similar place that is known to be none.

    Parameters
    ----------
    inside : (C,) Tensor
        Mean features inside the object's masks, of unit length.
    around : (C, N) Tensor
        Features of the places outside, each of unit length.
    """

    inside: Tensor
    around: Tensor

    @classmethod
    def of(cls, examples: Sequence[tuple[FrameEmbedding, Mask]]) -> Look:
        """Learn the look of an object from frames with its (H, W) masks, none of them empty."""
        inside, around = [], []
        for embedding, mask in examples:
            unit, share = _unit(embedding), _share(embedding, mask)
            inside.append((unit * share).sum(dim=(1, 2)) / share.sum())
            around.append(unit[:, share == 0])
        mean = torch.stack(inside).mean(dim=0)
        return cls(F.normalize(mean, dim=0), torch.cat(around, dim=1))

    def sight(self, embedding: FrameEmbedding, frame: int) -> Sighting:
        """Return the place of a frame that looks most like the object."""
        unit = _unit(embedding)
        places = unit.flatten(1)
        cosine = self.inside @ places
        other = torch.zeros_like(cosine)
        if self.around.shape[1]:  # else the object fills its frames
            other = (self.around.T @ places).max(dim=0).values
        margin = cosine - other
        best = int(margin.argmax())
        row, column = divmod(best, unit.shape[2])
        height, width = embedding.size
        point = Point(
            (row + 0.5) * height / unit.shape[1] - 0.5, (column + 0.5) * width / unit.shape[2] - 0.5
        )
        return Sighting(frame, point, float(cosine[best]), float(margin[best]))


def find_again(
    tracker: Tracker, source: FrameSource, examples: Mapping[int, Mask], frames: Iterable[int]
) -> Generator[FrameSearched, None, None]:
    """Search frames for an object, in their order, until one surely shows it.

    Embeddings that the cache has are not computed again.

    Parameters
    ----------
    tracker : Tracker
    source : FrameSource
    examples : mapping of int to (H, W) bool array
        Masks of the object on frames where it is known.
    frames : iterable of int

    Yields
    ------
    FrameSearched
        After each frame; the last one's `best` is what was found. Close to cancel.

    Raises
    ------
    PromptError
        If no example shows the object, or there is no frame to search.

    References
    ----------
    Prototypes by averaging features under a mask: Zhang et al., SG-One, arXiv:1810.09091.
    """
    wanted = tuple(frames)
    seen = {frame: mask for frame, mask in examples.items() if mask.any()}
    if not seen:
        raise PromptError(
            "There is no prompted or accepted frame on which the object has a mask: click on it "
            "where it is seen, so that it can be found by its look."
        )
    if not wanted:
        raise PromptError(
            "There is no frame to search: on all that follow the object is prompted, accepted, or "
            "has a mask that is not doubtful."
        )
    with torch.no_grad():
        look = Look.of([(tracker.embed(source, frame), mask) for frame, mask in seen.items()])
    best: Sighting | None = None
    for done, frame in enumerate(wanted, start=1):
        with torch.no_grad():
            sighting = look.sight(tracker.embed(source, frame), frame)
        if best is None or sighting.margin > best.margin:
            best = sighting
        total = done if best.sure else len(wanted)
        yield FrameSearched(done=done, total=total, frame=frame, best=best)
        if best.sure:
            return


def known_masks(
    annotation: Annotation, object_id: ObjectId, frame: int, shape: tuple[int, int]
) -> dict[int, Mask]:
    """Return an object's (H, W) masks on prompted and accepted frames, those nearest to a frame."""
    accepted = (f for part in annotation.accepted.get(object_id, ()) for f in part)
    frames = {*annotation.book.frames(object_id), *accepted}
    found: dict[int, Mask] = {}
    for near in sorted(frames, key=lambda f: (abs(f - frame), f)):
        mask = annotation.mask(object_id, near)
        if mask is not None and not mask.empty and annotation.draft(object_id, near) is None:
            found[near] = mask.paint(shape)
        if len(found) == MOST_EXAMPLES:
            break
    return found


def frames_without(
    annotation: Annotation, object_id: ObjectId, start: int, length: int, shape: tuple[int, int]
) -> tuple[int, ...]:
    """Return the frames from `start` on where an object has no mask, or an empty or doubtful one.

    Frames that a person prompted or accepted are left out.
    """
    missing = np.ones(length, np.bool_)
    curve = read_curves(annotation, length, shape).get(object_id)
    if curve is not None:
        with np.errstate(invalid="ignore"):
            missing = ~((curve.area > 0) & (curve.presence > 0) & (DEFAULT(curve) >= LEAST))
        missing &= ~curve.checked
    missing[list(annotation.book.frames(object_id))] = False
    missing[:start] = False
    return tuple(np.flatnonzero(missing).tolist())


def _share(embedding: FrameEmbedding, mask: Mask) -> Tensor:
    """Return the (h, w) share of each cell of an embedding that a mask covers."""
    features = embedding.features
    whole = torch.from_numpy(mask.astype(np.float32))[None, None].to(features.device)
    return F.interpolate(whole, size=features.shape[-2:], mode="area")[0, 0]


def _unit(embedding: FrameEmbedding) -> Tensor:
    """Return the (C, h, w) features of an embedding, each place of unit length."""
    return F.normalize(embedding.features[0].float(), dim=0)
