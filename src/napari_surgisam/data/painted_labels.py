"""Labels that a person painted, before they are taken over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import MAX_OBJECT_ID
from napari_surgisam.errors import DataError


def check_painted(frame: int, labels: NDArray[np.integer], shape: tuple[int, int]) -> None:
    """Raise a `DataError` unless labels can stand for a frame of (H, W) pixels."""
    if labels.shape != shape:
        raise DataError(
            f"The labels painted on frame {frame} have shape {labels.shape}, but the frames "
            f"have {shape}: give them on the image's own grid."
        )
    if labels.size and not 0 <= labels.min() <= labels.max() <= MAX_OBJECT_ID:
        raise DataError(
            f"The labels painted on frame {frame} run from {labels.min()} to "
            f"{labels.max()}: only 0 to {MAX_OBJECT_ID} can be stored."
        )
