"""A video, or a volume along one axis, as RGB frames."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class FrameSource(Protocol):
    """A video, or a volume along one axis, read one RGB frame at a time.

    Attributes
    ----------
    shape : tuple of int
        Height and width of every frame, in pixels.
    spacing : tuple of float or None
        Size of a voxel in mm along (frame axis, y, x), or None where unknown.
    temporal : bool
        Whether the frames follow each other in time (a movie) or in space (a volume).
    axis : int
        Which axis of the stored (T or Z, Y, X) array the frames run along; labels are
        written back along it.
    affine : (4, 4) float array or None
        NIfTI's voxel-to-world matrix, for the stored (x, y, z) order.
    fingerprint : str
        Identity of the pixels: content and window. Equal fingerprints, equal frames.
    """

    shape: tuple[int, int]
    spacing: tuple[float, float, float] | None
    temporal: bool
    axis: int
    affine: NDArray[np.float64] | None
    fingerprint: str

    def __len__(self) -> int: ...

    def read(self, frame: int) -> NDArray[np.uint8]:
        """Return one frame as (H, W, 3) uint8; safe to call from several threads."""
        ...
