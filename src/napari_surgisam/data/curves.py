"""What is known of an object's masks over all frames, as arrays, without loading a mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.mask_chunks import MaskChunk
from napari_surgisam.data.masklets import Masklet
from napari_surgisam.data.prompts import ObjectId

Figures = NDArray[np.float32]
Flags = NDArray[np.bool_]
Chunks = Mapping[int, MaskChunk]
_NONE: Chunks = {}


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One object, frame by frame; figures are NaN where there is no mask.

    Parameters
    ----------
    object_id : ObjectId
    iou : (T,) float32 array
        IoU that the network predicts for its mask, in [0, 1].
    presence : (T,) float32 array
        Logit of "the object is in the frame".
    area : (T,) float32 array
        Pixels of the frame that the mask has, wherever other objects lie on it.
    prompted : tuple of int
        Frames that a person prompted, ascending.
    stale, accepted : tuple of range
        Frames whose masks are older than a prompt beside them, and those found right, ascending.
    """

    object_id: ObjectId
    iou: Figures
    presence: Figures
    area: Figures
    prompted: tuple[int, ...] = ()
    stale: tuple[range, ...] = ()
    accepted: tuple[range, ...] = ()

    def __len__(self) -> int:
        return len(self.iou)

    @property
    def known(self) -> Flags:
        """(T,) flags of the frames that have a mask, empty ones included."""
        return ~np.isnan(self.iou)

    @property
    def checked(self) -> Flags:
        """(T,) flags of the frames that a person prompted or accepted."""
        return self._flags(self.accepted) | self._flags(range(f, f + 1) for f in self.prompted)

    @property
    def open(self) -> Flags:
        """(T,) flags of the frames whose masks are up to date, and that nobody has checked."""
        return self.known & ~self._flags(self.stale) & ~self.checked

    def _flags(self, parts: Iterable[range]) -> Flags:
        flags = np.zeros(len(self), np.bool_)
        for part in parts:
            flags[part.start : part.stop] = True
        return flags


class CurveReader:
    """Reads the curves of one source's annotations, and only what changed since the last time.

    Parameters
    ----------
    length : int
        Frames of the source.
    shape : tuple of int
        Height and width of a frame, in pixels.
    """

    def __init__(self, length: int, shape: tuple[int, int]) -> None:
        self._length, self._pixels = length, shape[0] * shape[1]
        self._read: dict[ObjectId, tuple[Chunks, Curve]] = {}

    def read(self, annotation: Annotation) -> dict[ObjectId, Curve]:
        """Return the curve of each object that has a mask, by id, ascending.

        Where nothing changed, it is the same curve as the last time.
        """
        self._read = {
            object_id: (masklet.chunks, self._curve(annotation, masklet))
            for object_id, masklet in sorted(annotation.masklets.items())
        }
        return {object_id: curve for object_id, (_, curve) in self._read.items()}

    def _curve(self, annotation: Annotation, masklet: Masklet) -> Curve:
        object_id = masklet.object_id
        chunks, before = self._read.get(object_id, (_NONE, None))
        if before is None or chunks.keys() - masklet.chunks.keys():
            chunks, before = _NONE, Curve(object_id, *np.full((3, self._length), np.nan, "f4"))
        curve = self._with_figures(before, chunks, masklet.chunks)
        marks = (
            annotation.book.frames(object_id),
            annotation.stale_spans(object_id),
            annotation.accepted.get(object_id, ()),
        )
        if marks == (curve.prompted, curve.stale, curve.accepted):
            return curve
        prompted, stale, accepted = marks
        return replace(curve, prompted=prompted, stale=stale, accepted=accepted)

    def _with_figures(self, before: Curve, old: Chunks, new: Chunks) -> Curve:
        changed = {n: chunk for n, chunk in new.items() if old.get(n) is not chunk}
        if not changed:
            return before
        iou, presence, area = (a.copy() for a in (before.iou, before.presence, before.area))
        for number, chunk in changed.items():
            for figures in (iou, presence, area):
                figures[list(old.get(number, ()))] = np.nan
            found = chunk.figures
            frames = found["frame"]
            iou[frames], presence[frames] = found["iou"], found["presence"]
            seen = np.where(found["seen"] > 0, found["seen"], self._pixels)
            area[frames] = found["share"] * seen
        return replace(before, iou=iou, presence=presence, area=area)


def read_curves(
    annotation: Annotation, length: int, shape: tuple[int, int]
) -> dict[ObjectId, Curve]:
    """Return the curve of each object that has a mask; see `CurveReader`."""
    return CurveReader(length, shape).read(annotation)
