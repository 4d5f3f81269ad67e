"""Where the frames of an image layer lie in its array: pure geometry, no napari."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.errors import DataError

NO_AXIS = -1
"""In place of an axis: the plane on screen alone is a clip of one frame."""

TIME_NAMES = frozenset({"t", "time", "frame", "frames"})
CHANNEL_NAMES = frozenset({"c", "ch", "channel", "channels"})
SPACE_NAMES = frozenset({"z", "y", "x", "depth", "slice"})


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """The frames of an N-dimensional array: planes along one axis, at fixed other indices.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array (of the chosen level of a pyramid), colour axis left out.
    plane : tuple of int
        The axes of a frame's rows and columns, ascending.
    axis : int or None
        The axis along which the frames follow; None for a 2D image, a clip of one frame.
    fixed : mapping of int to int
        Index on each remaining axis.
    channel_axis : int or None
        Which of the fixed axes holds channels: labels are written to all of them.
    factors : tuple of float
        Size of this level's pixels in pixels of the full resolution, one per axis.
    """

    shape: tuple[int, ...]
    plane: tuple[int, int]
    axis: int | None
    fixed: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    channel_axis: int | None = None
    factors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.factors:
            object.__setattr__(self, "factors", (1.0,) * len(self.shape))

    def __len__(self) -> int:
        return 1 if self.axis is None else self.shape[self.axis]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame, in pixels."""
        return self.shape[self.plane[0]], self.shape[self.plane[1]]

    def index(self, frame: int, *, all_channels: bool = False) -> tuple[int | slice, ...]:
        """Return the index that takes one frame out of the array.

        Parameters
        ----------
        frame : int
        all_channels : bool
            Whether to take every channel instead of the chosen one (for writing labels).
        """
        index: list[int | slice] = [slice(None)] * len(self.shape)
        for axis, position in self.fixed.items():
            if not (all_channels and axis == self.channel_axis):
                index[axis] = position
        if self.axis is not None:
            index[self.axis] = frame
        return tuple(index)

    def locate(
        self, coordinates: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
        """Find the frame and the pixel of points of the array.

        Parameters
        ----------
        coordinates : (N, D) float array
            In pixels of the full resolution; finite.

        Returns
        -------
        frames : (N,) int array
            The nearest frame, maybe outside the source.
        pixels : (N, 2) float array
            Row and column, in pixels of the frame.
        here : (N,) bool array
            False where the point lies at another index of a fixed axis than the channels'.
        """
        factors = np.asarray(self.factors)
        at_level = (coordinates + 0.5) / factors - 0.5
        if self.axis is None:
            frames = np.zeros(len(at_level), np.int64)
        else:
            frames = nearest(at_level[:, self.axis])
        here = np.ones(len(at_level), bool)
        for axis, position in self.fixed.items():
            if axis != self.channel_axis:
                here &= nearest(at_level[:, axis]) == position
        return frames, at_level[:, list(self.plane)], here

    def place(self, frames: NDArray[np.int64], pixels: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (N, D) coordinates, at full resolution, of pixels of frames."""
        at_level = np.zeros((len(frames), len(self.shape)))
        for axis, position in self.fixed.items():
            at_level[:, axis] = position
        if self.axis is not None:
            at_level[:, self.axis] = frames
        at_level[:, list(self.plane)] = pixels
        full: NDArray[np.float64] = (at_level + 0.5) * np.asarray(self.factors) - 0.5
        return full


def nearest(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round to whole numbers, halves up, so that every pixel owns one of its borders."""
    return np.floor(values + 0.5).astype(np.int64)


def axis_word(label: str) -> str:
    """Return what a person calls an axis of this name; napari's numbers are a "slider"."""
    words = {"t": "time", "z": "depth"}
    return words.get(label.lower(), "slider" if label.lstrip("-").isdigit() else label)


def frame_word(labels: Sequence[str], axis: int | None) -> str:
    """Return what one frame along an axis is called: "frame", in space "slice", else "picture"."""
    if axis is None:
        return "picture"
    return "slice" if labels[axis].lower() in SPACE_NAMES else "frame"


def describe_frames(labels: Sequence[str], grid: FrameGrid) -> str:
    """Return what frames there are, in words: "time, 1,432 frames"."""
    if grid.axis is None:
        return "one picture"
    unit = frame_word(labels, grid.axis)
    return f"{axis_word(labels[grid.axis])}, {len(grid):,} {unit}s"


def frame_grid(
    shape: Sequence[int],
    *,
    labels: Sequence[str] = (),
    displayed: Sequence[int] | None = None,
    axis: int | None = None,
    at: Mapping[int, int] | None = None,
    full_shape: Sequence[int] | None = None,
) -> FrameGrid:
    """Choose the frames of an array: which axes make a frame, and along which they follow.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array, colour axis left out.
    labels : sequence of str
        Names of the axes, where known: a time axis is preferred, channels are recognised.
    displayed : sequence of int, optional
        The two axes that are on screen; the last two by default.
    axis : int, optional
        The axis of the frames; by default one named as time, else the first longer than one
        that is neither on screen nor channels. `NO_AXIS` for none.
    at : mapping of int to int, optional
        Index on the axes that are left; 0 by default.
    full_shape : sequence of int, optional
        Shape at full resolution, where `shape` is that of a coarser level.

    Returns
    -------
    FrameGrid

    Raises
    ------
    DataError
        If the array has fewer than two axes or none of its pixels, or `axis` is on screen.
    """
    ndim = len(shape)
    if ndim < 2 or 0 in shape:
        raise DataError(
            f"An image of shape {tuple(shape)} has no frames: choose a layer with at least two "
            "axes and one pixel."
        )
    names = [name.lower() for name in labels] if len(labels) == ndim else [""] * ndim
    first, second = sorted(displayed if displayed is not None else (ndim - 2, ndim - 1))
    sliders = [a for a in range(ndim) if a not in (first, second)]
    if axis is None:
        candidates = [a for a in sliders if names[a] not in CHANNEL_NAMES]
        timed = [a for a in candidates if names[a] in TIME_NAMES]
        long = [a for a in candidates if shape[a] > 1]
        axis = next(iter((*timed, *long, *candidates)), None)
    elif axis == NO_AXIS:
        axis = None
    elif axis not in sliders:
        raise DataError(
            f"Axis {axis} of the image is on screen, so the frames cannot follow along it: "
            f"choose one of the sliders' axes, {sliders}."
        )
    rest = [a for a in sliders if a != axis]
    fixed = {a: min(max((at or {}).get(a, 0), 0), shape[a] - 1) for a in rest}
    full = tuple(full_shape or shape)
    return FrameGrid(
        shape=tuple(int(n) for n in shape),
        plane=(first, second),
        axis=axis,
        fixed=MappingProxyType(fixed),
        channel_axis=next((a for a in rest if names[a] in CHANNEL_NAMES), None),
        factors=tuple(a / b for a, b in zip(full, shape, strict=True)),
    )
