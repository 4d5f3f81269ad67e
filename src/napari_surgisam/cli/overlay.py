"""Pictures of labels over frames, for a first look."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.overlays import overlay

if TYPE_CHECKING:
    from napari_surgisam.data.frames import FrameSource
    from napari_surgisam.data.prompts import PromptBook

_CLICK = 5  # pixels


def contact_sheet(
    frames: "FrameSource",
    chosen: Sequence[int],
    labels: Iterable[NDArray[np.integer]],
    book: "PromptBook",
    columns: int = 3,
) -> NDArray[np.uint8]:
    """Return overlays of chosen frames side by side, with the clicks where they were made.

    Parameters
    ----------
    frames : FrameSource
    chosen : sequence of int
    labels : iterable of (H, W) integer array
        Of the chosen frames.
    book : PromptBook
        A positive click is white, a negative one black.
    columns : int
    """
    from skimage.draw import disk

    tiles = []
    for frame, mask in zip(chosen, labels, strict=True):
        tile = overlay(frames.read(frame), mask)
        for prompt in book:
            for point in getattr(prompt, "points", ()) if prompt.frame == frame else ():
                centre = (round(point.y), round(point.x))
                tile[disk(centre, _CLICK + 2, shape=mask.shape)] = 0 if point.positive else 255
                tile[disk(centre, _CLICK, shape=mask.shape)] = 255 if point.positive else 0
        tiles.append(tile)
    while len(tiles) % columns:
        tiles.append(np.zeros_like(tiles[0]))
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    return np.vstack(rows)
