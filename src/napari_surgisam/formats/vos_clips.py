"""A clip on its way from one layout to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class VosFrame:
    """A frame and its labels, if it has any.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8 array
    labels : (H, W) uint8 array or None
    """

    image: NDArray[Any]
    labels: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class VosClip:
    """A clip whose frames are read one by one.

    Parameters
    ----------
    name : str
    length : int
    frames : callable
        Returns an iterator over all frames.
    """

    name: str
    length: int
    frames: Callable[[], Iterator[VosFrame]]

    def __len__(self) -> int:
        return self.length
