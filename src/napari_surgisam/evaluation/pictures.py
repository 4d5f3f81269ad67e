"""A case in one picture: what was true, what was found."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import find_boundaries

from napari_surgisam.evaluation.answers import Answer
from napari_surgisam.evaluation.cases import OpenCase
from napari_surgisam.formats.folders import davis_palette
from napari_surgisam.metrics.masks import dsc

SIDE = 320  # pixels of the longer side of a frame
_OPACITY = 0.45
_GAP = 4


def case_picture(case: OpenCase, answer: Answer) -> bytes:
    """Show the middling and the worst frame, each with the truth left and the answer right.

    Frames without any object do not count.

    Returns
    -------
    bytes
        A JPEG.
    """
    truth = answer.truth
    pairs = list(zip(answer.labels, truth.labels, strict=True))
    shown = [k for k, (ours, theirs) in enumerate(pairs) if ours.any() or theirs.any()] or [0]
    order = sorted(shown, key=lambda k: _agreement(*pairs[k]))
    rows = [
        np.hstack(
            [
                _tile(case, truth.frames[k], truth.labels[k]),
                _tile(case, truth.frames[k], answer.labels[k]),
            ]
        )
        for k in dict.fromkeys((order[len(order) // 2], order[0]))
    ]
    file = BytesIO()
    Image.fromarray(np.vstack(rows)).save(file, format="JPEG", quality=85)
    return file.getvalue()


def _agreement(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    labels = np.union1d(np.unique(ours), np.unique(theirs))
    return float(np.mean([dsc(ours == k, theirs == k) for k in labels if k]))


def _tile(case: OpenCase, frame: int, labels: NDArray[Any]) -> NDArray[np.uint8]:
    height, width = labels.shape
    factor = SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    frame_image = Image.fromarray(case.frames.read(frame))
    image = np.asarray(frame_image.resize(size, Image.Resampling.BILINEAR))
    small = np.asarray(
        Image.fromarray(labels.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    )
    colours = np.frombuffer(davis_palette(), np.uint8).reshape(256, 3)[(small - 1) % 255 + 1]
    inside = (small > 0)[..., None]
    tinted = np.where(inside, (1 - _OPACITY) * image + _OPACITY * colours, image)
    outline = find_boundaries(small, mode="inner")[..., None]
    tinted = np.where(outline, colours, tinted).round().astype(np.uint8)
    return np.pad(tinted, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
