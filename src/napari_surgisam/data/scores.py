"""What a network thinks of its masks, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import MAX_OBJECT_ID, ObjectId


@dataclass(frozen=True, slots=True)
class FrameScore:
    """One object's mask on one frame.

    Parameters
    ----------
    frame : int
    object_id : ObjectId
    predicted_iou : float
        In [0, 1].
    presence : float
        Logit of "the object is in the frame".
    area : int
        Pixels of the frame that carry the object's label.
    """

    frame: int
    object_id: ObjectId
    predicted_iou: float
    presence: float
    area: int


def score_frames(annotation: Annotation, shape: tuple[int, int]) -> Iterator[FrameScore]:
    """Yield a score per frame and object that has a mask, by frame, then object.

    Parameters
    ----------
    annotation : Annotation
    shape : tuple of int
        Height and width of the frames, in pixels.
    """
    for frame in sorted({f for masklet in annotation.masklets.values() for f in masklet}):
        labels = annotation.labels(frame, shape)
        areas = np.bincount(labels.ravel(), minlength=MAX_OBJECT_ID + 1)
        for object_id, masklet in sorted(annotation.masklets.items()):
            mask = masklet.get(frame)
            if mask is not None:
                area = int(areas[object_id])
                yield FrameScore(frame, object_id, mask.iou, mask.presence, area)
