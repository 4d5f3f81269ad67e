"""A video, or a volume along one axis, as RGB frames."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from math import isfinite
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.windows import (
    Window,
    apply_window,
    as_rgb,
    check_window,
    percentile_window,
)
from napari_surgisam.errors import DataError

WINDOW_FRAMES = 64
_WINDOW_PIXELS = 2**24  # values that the percentile looks at, or 64 large frames fill memory
_HASHED_BYTES = 2**28  # in-memory arrays up to this size are hashed whole
_HASHED_FRAMES = 16
_READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, IndexError, KeyError, zlib.error)


class FrameSource(Protocol):
    """A video, or a volume along one axis, read one RGB frame at a time.

    Attributes
    ----------
    shape : tuple of int
        Height and width of every frame, in pixels.
    ndim : int
        3 for a stored (T or Z, Y, X) array, 2 for a single (Y, X) picture; labels come
        out with as many axes.
    spacing : tuple of float or None
        Size of a voxel in mm along (frame axis, y, x), or None where unknown. Along an
        axis that is time, or that a single picture lacks, it is 1.
    temporal : bool
        Whether the frames follow each other in time (a movie) or in space (a volume).
    axis : int
        Which axis of the stored (T or Z, Y, X) array the frames run along; labels are
        written back along it.
    affine : (4, 4) float array or None
        NIfTI's voxel-to-world matrix, for the stored (x, y, z) order.
    """

    shape: tuple[int, int]
    ndim: int
    spacing: tuple[float, float, float] | None
    temporal: bool
    axis: int
    affine: NDArray[np.float64] | None

    @property
    def fingerprint(self) -> str:
        """Identity of the pixels: content and window. Equal fingerprints, equal frames."""
        ...

    def __len__(self) -> int: ...

    def read(self, frame: int) -> NDArray[np.uint8]:
        """Return one frame as (H, W, 3) uint8; safe to call from several threads."""
        ...


class ArrayFrames:
    """Frames of an array that may be larger than memory; one frame is read at a time.

    Axes are numbered without the channel axis. Those that `at` fixes fall away; `axis`
    counts what is left, which is (T or Z, Y, X), or (Y, X) for a single picture.

    Parameters
    ----------
    array : array-like with shape, dtype and basic indexing
        NumPy, memory map, dask, zarr. Never converted as a whole.
    axis : int
        Which of the three axes that are left the frames run along.
    at : mapping of int to int, optional
        Fixed indices, by axis: `{0: 4}` takes volume 4 of a (T, Z, Y, X) array. Further
        axes of length 1 need no entry.
    rgb : bool
        Whether the last axis holds red, green, blue and perhaps alpha, which is ignored.
    channel_axis, channel : int, optional
        Which axis holds channels, and the one to show in grey. With a channel but no axis,
        the last axis is taken if it has at most 4 entries, else the one before (Y, X).
    window : "auto" or (low, high)
        `"auto"` leaves uint8 as it is; any other type is stretched between the 0.5 and 99.5
        percentile of the finite values of 64 evenly spaced frames (of a regular subset of
        their pixels, where they are large).
    spacing : sequence of float or None, optional
        Size of a voxel in mm along each axis (without the channel axis), None where unknown;
        that of the time axis is not looked at.
    time_axis : int, optional
        Which axis is time (without the channel axis). Frames are `temporal` if they run
        along it.
    affine : (4, 4) array, optional
        NIfTI's matrix, carried along.
    identity : str
        Whatever else tells these pixels from others, such as a file's size and date.
    name : str
        What messages call the array.

    Raises
    ------
    DataError
        If axes, channel or window do not fit the array, or it is empty.
    """

    def __init__(
        self,
        array: Any,
        *,
        axis: int = 0,
        at: Mapping[int, int] | None = None,
        rgb: bool = False,
        channel_axis: int | None = None,
        channel: int | None = None,
        window: Window = "auto",
        spacing: Sequence[float | None] | None = None,
        time_axis: int | None = None,
        affine: NDArray[np.float64] | None = None,
        identity: str = "",
        name: str = "The image",
    ) -> None:
        self._array, self._name, self._identity = array, name, identity
        self._dtype = np.dtype(array.dtype)
        shape = tuple(int(n) for n in array.shape)
        if self._dtype.kind not in "buif":
            raise DataError(
                f"{name} holds values of type {self._dtype}, not real numbers: convert it first."
            )
        if 0 in shape:
            raise DataError(f"{name} is empty: its shape is {shape}.")
        self._rgb = rgb and channel is None
        fixed: dict[int, int] = {}
        samples = _channel_axis(shape, name, rgb, channel_axis, channel)
        if samples is not None and not self._rgb:
            fixed[samples] = _channel_index(shape[samples], name, channel)
        named = [k for k in range(len(shape)) if k != samples]
        fixed |= _fixed_indices(shape, named, name, at or {})
        left = _three_axes(shape, [k for k in named if k not in fixed], name, fixed)
        self.ndim = len(left)
        if not 0 <= axis < (3 if self.ndim == 3 else 1):
            raise DataError(
                f"{name} has no axis {axis} to run along: its axes have the lengths "
                f"{[shape[k] for k in left]}; choose 0{', 1 or 2' if self.ndim == 3 else ''}."
            )
        self.axis = axis
        self._frame_axis = left[axis] if self.ndim == 3 else None
        rows, columns = (k for k in left if k != self._frame_axis)
        self.shape = (shape[rows], shape[columns])
        self._length = 1 if self._frame_axis is None else shape[self._frame_axis]
        self._fixed = fixed
        self._requested = check_window(window)
        self.affine = affine
        time = None if time_axis is None else named[time_axis]
        self.temporal = time is not None and self._frame_axis == time
        self.spacing: tuple[float, float, float] | None = None
        if spacing is not None:
            along: dict[int | None, float | None] = {None: 1.0}
            along |= zip(named, _checked_spacing(spacing, len(named), name), strict=True)
            if time is not None:
                along[time] = 1.0
            first, second, third = (along[k] for k in (self._frame_axis, rows, columns))
            if first is not None and second is not None and third is not None:
                self.spacing = (first, second, third)

    def __len__(self) -> int:
        return self._length

    @cached_property
    def window(self) -> tuple[float, float] | None:
        """Values shown as black and white, or None where uint8 passes unchanged."""
        if self._requested != "auto":
            return self._requested
        if self._dtype == np.uint8:
            return None
        if self._dtype == np.bool_:
            return (0.0, 1.0)
        frames = _evenly_spaced(len(self), WINDOW_FRAMES)
        limit = _WINDOW_PIXELS // len(frames)
        samples = []
        for frame in frames:
            values = self.values(frame).ravel()
            values = values[:: -(-values.size // limit)]
            samples.append(values[np.isfinite(values)])
        return percentile_window(np.concatenate(samples))

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the frames, from sampled pixels, shape, axes and window."""
        digest = blake2b(digest_size=16)
        what = (self._identity, tuple(self._array.shape), self._dtype.str, self._frame_axis)
        digest.update(repr((*what, sorted(self._fixed.items()), self._rgb, self.window)).encode())
        whole = type(self._array) is np.ndarray and self._array.nbytes <= _HASHED_BYTES
        for frame in _evenly_spaced(len(self), len(self) if whole else _HASHED_FRAMES):
            digest.update(np.ascontiguousarray(self.values(frame)).data)
        return digest.hexdigest()

    def read(self, frame: int) -> NDArray[np.uint8]:
        """Return one frame.

        Parameters
        ----------
        frame : int

        Returns
        -------
        (H, W, 3) uint8 array
            A grey image in three equal channels.

        Raises
        ------
        DataError
            If the frame does not exist or its file cannot be read.
        """
        return as_rgb(apply_window(self.values(frame), self.window))

    def values(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) or (H, W, C) stored values of a frame, as no window shows them.

        Raises
        ------
        DataError
            If the frame does not exist or its file cannot be read.
        """
        check_frame(frame, len(self), self._name)
        index = tuple(
            int(frame) if k == self._frame_axis else self._fixed.get(k, slice(None))
            for k in range(len(self._array.shape))
        )
        try:
            return np.asarray(self._array[index])
        except _READ_ERRORS as error:
            raise DataError(
                f"Frame {frame} of {self._name} cannot be read: {error}. "
                "The file may be damaged or have moved."
            ) from error


def check_frame(frame: int, length: int, name: str) -> None:
    """Raise a `DataError` unless 0 <= `frame` < `length`."""
    if not 0 <= frame < length:
        raise DataError(f"Frame {frame} of {name} does not exist: it has frames 0 to {length - 1}.")


def _evenly_spaced(length: int, count: int) -> list[int]:
    return sorted({int(f) for f in np.linspace(0, length - 1, min(length, count)).round()})


def _channel_axis(
    shape: tuple[int, ...], name: str, rgb: bool, channel_axis: int | None, channel: int | None
) -> int | None:
    if rgb:
        if shape[-1] not in (3, 4) or len(shape) < 3:
            raise DataError(
                f"{name} is not a colour image: its shape is {shape}, and the last axis of a "
                "colour image has 3 or 4 entries."
            )
        return len(shape) - 1
    if channel_axis is None:
        if channel is None:
            return None
        if len(shape) < 3:
            raise DataError(f"{name} has no channels to choose from: its shape is {shape}.")
        return len(shape) - 1 if shape[-1] <= 4 else len(shape) - 3
    if not -len(shape) <= channel_axis < len(shape):
        raise DataError(f"{name} has no axis {channel_axis} for channels: its shape is {shape}.")
    return channel_axis % len(shape)


def _channel_index(channels: int, name: str, channel: int | None) -> int:
    if channel is None and channels > 1:
        raise DataError(
            f"{name} has {channels} channels: choose one of 0 to {channels - 1} (--channel)."
        )
    if not 0 <= (channel or 0) < channels:
        raise DataError(f"{name} has no channel {channel}: choose one of 0 to {channels - 1}.")
    return channel or 0


def _fixed_indices(
    shape: tuple[int, ...], named: list[int], name: str, at: Mapping[int, int]
) -> dict[int, int]:
    lengths = [shape[k] for k in named]
    for axis, index in at.items():
        if not 0 <= axis < len(named):
            raise DataError(f"{name} has no axis {axis}: its axes have the lengths {lengths}.")
        if not 0 <= index < lengths[axis]:
            raise DataError(
                f"{name} has no index {index} on axis {axis}: choose 0 to {lengths[axis] - 1}."
            )
    return {named[axis]: index for axis, index in at.items()}


def _three_axes(
    shape: tuple[int, ...], left: list[int], name: str, fixed: dict[int, int]
) -> list[int]:
    while len(left) > 3 and (single := next((k for k in left if shape[k] == 1), None)) is not None:
        fixed[single] = 0
        left = [k for k in left if k != single]
    if len(left) > 3:
        raise DataError(
            f"{name} has {len(left)} axes of the lengths {[shape[k] for k in left]}: fix "
            f"{len(left) - 3} of them, for example --at 0=0, so that three are left."
        )
    if len(left) < 2:
        raise DataError(f"{name} has fewer than two axes left: its shape is {shape}.")
    return left


def _checked_spacing(spacing: Sequence[float | None], axes: int, name: str) -> list[float | None]:
    if len(spacing) != axes or not all(s is None or (isfinite(s) and s > 0) for s in spacing):
        raise DataError(
            f"{name} cannot have the spacing {tuple(spacing)}: {axes} positive numbers in mm "
            "are needed, one per axis."
        )
    return [None if s is None else float(s) for s in spacing]
