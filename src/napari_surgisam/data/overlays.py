"""Labels over frames, for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.classes import RGB

# Okabe and Ito's colours, which those with a colour deficiency tell apart
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_OPACITY = 0.45


def overlay(
    image: NDArray[np.uint8],
    labels: NDArray[Any],
    colours: Mapping[int, RGB] = MappingProxyType({}),
) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image with its (H, W) labels tinted and outlined.

    Labels have the colours given, else those of `COLOURS` in turn.
    """
    from skimage.segmentation import find_boundaries

    tinted = image.astype(np.float32)
    outlines = find_boundaries(labels, mode="inner")
    for label in np.unique(labels[labels > 0]):
        usual = COLOURS[(int(label) - 1) % len(COLOURS)]
        colour = np.array(colours.get(int(label), usual), np.float32)
        inside = labels == label
        tinted[inside] += _OPACITY * (colour - tinted[inside])
        tinted[inside & outlines] = colour
    return tinted.round().astype(np.uint8)
