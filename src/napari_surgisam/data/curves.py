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
        self._read: dict[ObjectId, tuple[Mapping[int, MaskChunk], Curve]] = {}

    def read(self, annotation: Annotation) -> dict[ObjectId, Curve]:
        """Return the curve of each object that has a mask, by id, ascending."""
        curves = {}
        for object_id, masklet in sorted(annotation.masklets.items()):
            curves[object_id] = replace(
                self._figures(masklet),
                prompted=annotation.book.frames(object_id),
                stale=annotation.stale_spans(object_id),
                accepted=annotation.accepted.get(object_id, ()),
            )
        self._read = {k: self._read[k] for k in curves}
        return curves

    def _figures(self, masklet: Masklet) -> Curve:
        none: Mapping[int, MaskChunk] = {}
        known, before = self._read.get(masklet.object_id, (none, None))
        if before is None or known.keys() - masklet.chunks.keys():
            empty = np.full((3, self._length), np.nan, np.float32)
            known, before = none, Curve(masklet.object_id, *empty)
        changed = {n: c for n, c in masklet.chunks.items() if known.get(n) is not c}
        if not changed:
            return before
        iou, presence, area = (a.copy() for a in (before.iou, before.presence, before.area))
        for number, chunk in changed.items():
            for figures in (iou, presence, area):
                figures[list(known.get(number, ()))] = np.nan
            found = chunk.figures
            frames = found["frame"]
            iou[frames], presence[frames] = found["iou"], found["presence"]
            seen = np.where(found["seen"] > 0, found["seen"], self._pixels)
            area[frames] = found["share"] * seen
        curve = Curve(masklet.object_id, iou, presence, area)
        self._read[masklet.object_id] = (masklet.chunks, curve)
        return curve


def read_curves(
    annotation: Annotation, length: int, shape: tuple[int, int]
) -> dict[ObjectId, Curve]:
    """Return the curve of each object that has a mask; see `CurveReader`."""
    return CurveReader(length, shape).read(annotation)
