"""Labels that are painted when they are looked at, so that a long session opens at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.plugin.grid import FrameGrid


class LazyLabels:
    """An array of labels that asks for a frame the first time that anyone reads or writes it.

    Parameters
    ----------
    array : zero array-like of integers
        Where the frames go.
    grid : FrameGrid
        How frames lie in it.
    fill : callable
        Returns the (H, W) labels of a frame.
    pending : iterable of int
        Frames that are to be asked for; the others are empty.
    """

    def __init__(
        self,
        array: Any,
        grid: FrameGrid,
        fill: Callable[[int], NDArray[Any]],
        pending: Iterable[int],
    ) -> None:
        self._array, self._grid, self._fill = array, grid, fill
        self._pending = set(pending)
        self._lock = RLock()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        dtype: np.dtype[Any] = np.dtype(self._array.dtype)
        return dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of labels."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        self._ask_for(index)
        return self._array[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._ask_for(index)
        self._array[index] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[...], dtype=dtype)

    def _ask_for(self, index: Any) -> None:
        if not self._pending:
            return
        with self._lock:
            for frame in sorted(self._touched(index)):
                self._pending.discard(frame)  # first: it is asked for once, whatever comes of it
                self._array[self._grid.index(frame, all_channels=True)] = self._fill(frame)

    def _touched(self, index: Any) -> set[int]:
        """Return which of the pending frames an index reaches."""
        axis = self._grid.axis
        places = index if isinstance(index, tuple) else (index,)
        if Ellipsis in [p if p is Ellipsis else None for p in places]:
            after = len(places) - 1 - next(n for n, p in enumerate(places) if p is Ellipsis)
            before = len(places) - 1 - after
            places = (
                *places[:before],
                *(slice(None),) * (self.ndim - before - after),
                *places[before + 1 :],
            )
        if axis is None or axis >= len(places):
            return set(self._pending)
        place = places[axis]
        if isinstance(place, slice):
            return self._pending & set(range(*place.indices(self.shape[axis])))
        wanted = np.asarray(place)
        if wanted.dtype == bool:
            return set(self._pending)
        length = self.shape[axis]
        return self._pending & {int(f) % length for f in np.unique(wanted)}
