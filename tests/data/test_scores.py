"""Scores, with areas counted by hand."""

import numpy as np

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.scores import FrameScore, score_frames
from napari_surgisam.data.stored_masks import StoredMask


def square(size, presence=2.0, logit=5.0):
    logits = np.full((16, 16), -9, np.float32)
    logits[:size, :size] = logit
    return StoredMask.from_logits(
        logits, iou=0.5, presence=presence, pointer=np.ones(2), conditioning=False, direction=1
    )


def test_areas_are_those_of_the_labels():
    annotation = (
        Annotation()
        .with_masks(3, {1: square(8), 2: square(4, logit=9.0)})
        .with_masks(1, {2: square(4, presence=-3.0)})
    )
    assert list(score_frames(annotation, (16, 16))) == [
        FrameScore(1, 2, 0.5, -3.0, 0),
        FrameScore(3, 1, 0.5, 2.0, 64 - 16),
        FrameScore(3, 2, 0.5, 2.0, 16),
    ]
    assert list(score_frames(Annotation(), (16, 16))) == []
