"""Films of moving discs with their truth."""

import numpy as np


def truth_of(discs):
    """Return (T, H, W) labels 1, 2, ... of the discs, in the order of their levels."""
    labels = np.zeros((len(discs), *discs.shape), np.uint8)
    for label, level in enumerate(discs.levels, start=1):
        for frame in range(len(discs)):
            labels[frame][discs.mask(level, frame)] = label
    return labels
