"""What napari's layers say of an image: layer → frames, and what the sliders show.

Only reads; `layers` is the one module that writes to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames, FrameSource
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.windows import Window
from napari_surgisam.errors import DataError
from napari_surgisam.plugin.files import SOURCE, FrameStack
from napari_surgisam.plugin.grid import TIME_NAMES, FrameGrid, frame_grid, nearest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

FEATURES = ("object_id", "polarity")
"""Columns that make a Points layer a layer of clicks, and Shapes (the first) one of boxes."""

Key = tuple[ObjectId, int]
"""An object and a frame."""

WindowChoice = Literal["shown"] | Window
"""`"shown"` is the layer's own contrast limits."""


def own_viewer(viewer: ViewerModel) -> ViewerModel:
    """Return the viewer itself in place of the proxy that napari hands to dock widgets.

    A proxy gives another object for the same layer at every look, so that layers could be
    told apart neither by identity nor as the data of a list's items.
    """
    inner: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return inner


def layer_grid(
    viewer: ViewerModel, image: Image, *, axis: int | None = None, level: int = 0
) -> FrameGrid:
    """Return where the frames of an image layer lie, as the viewer shows it now.

    Parameters
    ----------
    viewer : ViewerModel
        The sliders give the index on axes that are neither on screen nor the frames'.
    image : Image
    axis : int, optional
        The layer's axis along which frames follow; by default the time axis or the first.
    level : int
        Resolution of a multiscale image, 0 the finest.

    Raises
    ------
    DataError
        If the layer has no such level, axis, or no pixels.
    """
    full = _shape(image, 0)
    shift = viewer.dims.ndim - image.ndim
    displayed = [a - shift for a in viewer.dims.order[-2:]]
    if min(displayed) < 0:
        raise DataError(
            f"The layer {image.name} has {image.ndim} axes, too few for the order in which the "
            "viewer shows them: reset the order of the axes (the button under the layers)."
        )
    here = nearest(pointed_pixel(viewer, image)).tolist()
    return frame_grid(
        _shape(image, level),
        labels=image.axis_labels,
        displayed=displayed,
        axis=axis,
        at={a: int(here[a]) for a in range(image.ndim)},
        full_shape=full,
    )


def level_count(image: Image) -> int:
    """Return the number of resolutions of an image, 1 where it is not multiscale."""
    return len(image.data) if image.multiscale else 1


def slider_axes(viewer: ViewerModel, image: Image) -> list[tuple[str, int]]:
    """Return the name and number of an image's axes that are not on screen."""
    return [
        (f"{image.axis_labels[axis]} ({length:,})", axis)
        for axis, length in enumerate(_shape(image, 0))
        if not is_displayed(viewer, image, axis)
    ]


def labels_on(viewer: ViewerModel, grid: FrameGrid) -> list[Labels]:
    """Return the Labels layers that have the shape of an image."""
    from napari.layers import Labels

    labels = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    return [layer for layer in labels if tuple(layer.data.shape) == grid.shape]


def layer_frames(image: Image, grid: FrameGrid, window: WindowChoice = "shown") -> FrameSource:
    """Return an image layer's pixels as frames, read lazily and safe for a thread.

    Parameters
    ----------
    image : Image
        Grey or RGB, NumPy, dask or zarr, multiscale or not.
    grid : FrameGrid
    window : "shown", "auto" or (low, high)
        Which values become black and white, fixed for the whole source. RGB is taken as it
        is shown.

    Returns
    -------
    FrameSource
        Of a movie that we opened and that is shown whole: a reader of its own, so that the
        viewer and a computation can be at different places.
    """
    stack = image.metadata.get(SOURCE)
    if isinstance(stack, FrameStack) and image.rgb and stack.made(image.data):
        return stack.open_frames()
    array = image.data[_level(image, grid)] if image.multiscale else image.data
    dtype = np.dtype(array.dtype)
    if image.rgb:
        limits = {"u": (0.0, float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0)}
        chosen: Window = "auto" if dtype == np.uint8 else limits.get(dtype.kind, (0.0, 1.0))
    elif window == "shown":
        low, high = (float(v) for v in image.contrast_limits)
        chosen = "auto" if dtype == np.uint8 and (low, high) == (0.0, 255.0) else (low, high)
    else:
        chosen = window
    left = [a for a in range(image.ndim) if a not in grid.fixed]
    times = [a for a, name in enumerate(image.axis_labels) if name.lower() in TIME_NAMES]
    return ArrayFrames(
        array,
        axis=0 if grid.axis is None else left.index(grid.axis),
        at=grid.fixed,
        rgb=image.rgb,
        window=chosen,
        spacing=millimetres(image, grid),
        time_axis=times[0] if times else None,
        identity=str(image.source.path or ""),
        name=f"layer {image.name}",
    )


def shown_frame(viewer: ViewerModel, image: Image, grid: FrameGrid) -> int | None:
    """Return the frame that the sliders show, or None where they show another plane."""
    if viewer.dims.ndim < image.ndim:
        return None  # the image was just removed
    frames, _, here = grid.locate(pointed_pixel(viewer, image)[None])
    across = grid.axis is not None and is_displayed(viewer, image, grid.axis)
    if across or not here[0] or not 0 <= frames[0] < len(grid):
        return None
    return int(frames[0])


def pointed_pixel(viewer: ViewerModel, image: Image) -> NDArray[np.float64]:
    """Return the (D,) pixel of the image, at full resolution, that the sliders point at."""
    point = np.asarray(viewer.dims.point, float)[-image.ndim :]
    factors = unit_factors(viewer.layers.units, image.units)
    return np.asarray(image.world_to_data(point * factors), float)


def unit_factors(source: Any, target: Any) -> NDArray[np.float64]:
    """Return the number of `target` units in each `source` unit, 1 where they do not compare.

    Both are counted from the last axis, as napari does.
    """
    source, target = source or target or (), target or source or ()
    pairs = list(zip(reversed(source), reversed(target), strict=False))[::-1]
    return np.array(
        [
            float((1 * a).to(b).magnitude) if a.dimensionality == b.dimensionality else 1.0
            for a, b in pairs
        ]
    )


def millimetres(image: Image, grid: FrameGrid) -> list[float | None]:
    """Return the size of a voxel in mm along each axis, None where it is no length."""
    return [
        float((abs(step) * factor * unit).to("mm").magnitude)
        if unit.is_compatible_with("mm")
        else None
        for step, factor, unit in zip(image.scale, grid.factors, image.units, strict=True)
    ]


def is_displayed(viewer: ViewerModel, image: Image, axis: int) -> bool:
    """Whether an axis of the image is one of the two on screen."""
    return axis + viewer.dims.ndim - image.ndim in viewer.dims.order[-2:]


def _shape(image: Image, level: int) -> tuple[int, ...]:
    arrays = image.data if image.multiscale else [image.data]
    if not 0 <= level < len(arrays):
        raise DataError(
            f"The layer {image.name} has no resolution level {level}: it has "
            f"{len(arrays)}, of which 0 is the finest."
        )
    return tuple(int(n) for n in arrays[level].shape[: image.ndim])


def _level(image: Image, grid: FrameGrid) -> int:
    shapes = [tuple(level.shape[: image.ndim]) for level in image.data]
    return shapes.index(grid.shape)
