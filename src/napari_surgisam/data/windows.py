"""Which stored values become black and white: one window for a whole source."""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.errors import DataError

Window = Literal["auto"] | tuple[float, float]
"""Which values become black and white: `"auto"` or `(low, high)`."""

WINDOW_PERCENTILES = (0.5, 99.5)


def check_window(window: Window) -> Window:
    """Return a window as it is, or as two floats; raise a `DataError` if it is neither."""
    if isinstance(window, str):
        if window == "auto":
            return "auto"
    elif len(window) == 2 and all(isfinite(v) for v in window) and window[0] < window[1]:
        return (float(window[0]), float(window[1]))
    raise DataError(
        f"Window {window!r} cannot be used: give 'auto', or two numbers of which the first "
        "is the smaller (values shown as black and as white)."
    )


def percentile_window(values: NDArray[Any]) -> tuple[float, float]:
    """Return the 0.5 and 99.5 percentile of finite values, or their range if those agree.

    Parameters
    ----------
    values : (N,) array

    Returns
    -------
    low, high : float
        (0, 1) when there are no values; equal when all values are.
    """
    if values.size == 0:
        return (0.0, 1.0)
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    low, high = (float(v) for v in np.percentile(values, WINDOW_PERCENTILES))
    return (low, high) if low < high else (float(values.min()), float(values.max()))


def apply_window(image: NDArray[Any], window: tuple[float, float] | None) -> NDArray[Any]:
    """Stretch values between two limits over 0 to 255.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        NaN becomes black; infinities are clipped.
    window : (low, high) or None
        None returns `image` itself. Where both are equal, what lies above is white.

    Returns
    -------
    uint8 array of the same shape
    """
    if window is None:
        return image
    low, high = window
    wide = image.dtype.itemsize > 2 and image.dtype != np.float32
    values: Any = image.astype(np.float64 if wide else np.float32)
    np.nan_to_num(values, copy=False, nan=low, posinf=np.inf, neginf=-np.inf)
    if not low < high:
        return np.where(values > high, 255, 0).astype(np.uint8)
    np.clip(values, low, high, out=values)
    values -= low
    values *= 255.0 / (high - low)
    rounded: NDArray[np.uint8] = np.rint(values, out=values).astype(np.uint8)
    return rounded


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an (H, W) or (H, W, 3 or 4) uint8 image as a new (H, W, 3) array."""
    grey = image.ndim == 2
    rgb = np.empty((*image.shape[:2], 3), np.uint8)
    rgb[...] = image[..., np.newaxis] if grey else image[..., :3]
    return rgb
