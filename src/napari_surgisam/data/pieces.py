"""The connected parts of an object on each frame, and which belong together across frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

_TOUCHING = np.ones((3, 3), bool)  # pixels that share a corner belong together


def label_parts(logits: NDArray[np.float32]) -> tuple[NDArray[Any], int]:
    """Return the connected parts of what is positive, numbered from 1, and their number."""
    labels, count = ndimage.label(logits > 0, _TOUCHING)
    return labels, int(count)


@dataclass(slots=True)
class Parts:
    """What the first round learns: the parts of each frame, and which belong together."""

    start: dict[int, int] = field(default_factory=dict)  # number of a frame's first part
    areas: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    links: list[NDArray[np.int64]] = field(default_factory=list)
    _last: tuple[int, NDArray[Any]] | None = None

    def add(self, frame: int, logits: NDArray[np.float32]) -> None:
        """Take up the (H, W) logits of a frame, the frames in ascending order."""
        parts, count = label_parts(logits)
        self.start[frame] = len(self.areas)
        if self._last is not None and self._last[0] == frame - 1:
            before = self._last[1]
            both = (parts > 0) & (before > 0)
            pairs = np.stack([before[both], parts[both]], axis=1).astype(np.int64)
            offsets = (self.start[frame - 1] - 1, self.start[frame] - 1)
            self.links.append(np.unique(pairs, axis=0) + offsets)
        self.areas += np.bincount(parts.ravel(), minlength=count + 1)[1:].tolist()
        self.frames += [frame] * count
        self._last = (frame, parts)

    def pieces(self, least: int) -> NDArray[np.int64]:
        """Return the piece of each part: 0 for the largest, specks included."""
        count = len(self.areas)
        if not count:
            return np.zeros(0, np.int64)
        links = np.concatenate([*self.links, np.zeros((0, 2), np.int64)])
        ones = np.ones(len(links), bool)
        graph = coo_array((ones, (links[:, 0], links[:, 1])), shape=(count, count))
        found, roots = connected_components(graph, directed=False)
        areas = np.bincount(roots, weights=self.areas, minlength=found)
        order = np.argsort(-areas, kind="stable")
        places = np.empty(found, np.int64)
        places[order] = np.where(areas[order] >= least, np.arange(found), 0)
        return np.asarray(places[roots])

    def largest(self, pieces: NDArray[np.int64], count: int) -> list[int]:
        """Return the frame on which each of `count` pieces is largest."""
        frames = np.array(self.frames)
        keys, place = np.unique(np.stack([pieces, frames]), axis=1, return_inverse=True)
        areas = np.bincount(place.ravel(), weights=self.areas)
        largest = []
        for piece in range(count):
            own = np.flatnonzero(keys[0] == piece)
            largest.append(int(keys[1][own[np.argmax(areas[own])]]))
        return largest
