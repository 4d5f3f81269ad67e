"""Save a Labels layer as what is made from labels and their image: COCO, SEG, movie, table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.errors import DataError
from napari_surgisam.plugin.files import frames_of_labels
from napari_surgisam.plugin.layer_reading import layer_frames, layer_grid, level_count
from napari_surgisam.plugin.layers import CLASSES, NAMES, OWNER
from napari_surgisam.plugin.scans import DICOM
from napari_surgisam.plugin.waiting import wait_for

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_surgisam.plugin.grid import FrameGrid

Read = Callable[[int], NDArray[Any]]
"""Returns the labels of a frame."""

_NEED_PICTURES = (".mp4", ".dcm")


def save_coco(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a Labels layer as COCO's JSON; see `export_layer`."""
    return export_layer(_ending(path, ".json"), data, attributes)


def save_segmentation(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a Labels layer as DICOM segmentation; see `export_layer`."""
    return export_layer(_ending(path, ".dcm"), data, attributes)


def save_movie(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a Labels layer over its image as a movie; see `export_layer`."""
    return export_layer(_ending(path, ".mp4"), data, attributes)


def save_measurements(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save sizes and places of a Labels layer's objects as a table; see `export_layer`."""
    return export_layer(_ending(path, ".csv"), data, attributes)


def export_layer(
    path: str, data: Any, attributes: dict[str, Any], *, by_class: bool = False
) -> list[str]:
    """Save a Labels layer as what its path's ending says, one of `EXPORTS` for napari.

    Objects are called as in the widget *Segment*. Of an image with more axes, what is saved is
    what the sliders show.

    Parameters
    ----------
    path : str
        Ends with .json, .dcm, .mp4 or .csv; napari has asked before replacing what is there.
    data : integer array
        NumPy, dask or zarr; read frame by frame.
    attributes : dict
        What napari knows of the layer.
    by_class : bool
        Whether values are to be those of classes.

    Returns
    -------
    list of str
        The path that was written.

    Raises
    ------
    DataError
        If the image is needed and is not open, the format does not suit it, or the disk is
        full.
    """
    from napari import current_viewer

    from napari_surgisam.formats.labelled import Labelled
    from napari_surgisam.formats.labels import export_labels

    metadata = attributes.get("metadata", {})
    found = _image_of(current_viewer(), metadata.get(OWNER), tuple(data.shape))
    frames, read = _without_image(data, attributes) if found is None else _on_image(data, *found)
    if found is None and path.lower().endswith(_NEED_PICTURES):
        raise DataError(
            f"{path} needs the image that the labels {attributes.get('name', '')} were made on: "
            "open it, and let *Segment* make them, so that it is known which one it is."
        )

    def export() -> None:
        highest = max(int(read(frame).max(initial=0)) for frame in range(len(frames)))
        names = dict(metadata.get(NAMES, {}))
        kinds = dict(metadata.get(CLASSES, {}))
        labelled = Labelled(frames, read, max(highest, 1), names, kinds)
        labelled = labelled.by_class() if by_class else labelled
        deque(export_labels(path, labelled, overwrite=True), maxlen=0)

    wait_for(export)
    return [path]


def _ending(path: str, ending: str) -> str:
    """Add the ending of the kind that was chosen in napari's dialog, if the name lacks it."""
    if path.lower().endswith(ending):
        return path
    named = f"{path}{ending}"
    if Path(named).exists():  # napari asked about the other name
        raise DataError(f"{named} exists already and was left alone: choose another name.")
    return named


def _image_of(
    viewer: ViewerModel | None, name: str | None, shape: tuple[int, ...]
) -> tuple[ViewerModel, Image, FrameGrid] | None:
    """Return the image that labels were made on, with its grid, if it is open."""
    if viewer is None or name is None or name not in viewer.layers:
        return None
    image = viewer.layers[name]
    for level in range(level_count(image)):
        grid = layer_grid(viewer, image, level=level)
        if grid.shape == shape:
            return viewer, image, grid
    return None


def _on_image(
    data: Any, viewer: ViewerModel, image: Image, grid: FrameGrid
) -> tuple[FrameSource, Read]:
    def read(frame: int) -> NDArray[Any]:
        return np.asarray(data[grid.index(frame)])

    frames = layer_frames(image, grid)
    if DICOM in image.metadata:  # the files themselves, which a segmentation refers to
        from napari_surgisam.formats.sources import open_source

        window = tuple(float(v) for v in image.contrast_limits)
        files = open_source(
            Path(image.metadata[DICOM]),
            axis=frames.axis,
            at=grid.fixed,
            window="auto" if image.rgb else (window[0], window[1]),
        )
        if (len(files), files.shape) == (len(frames), frames.shape):
            return files, read
    return frames, read


def _without_image(data: Any, attributes: dict[str, Any]) -> tuple[FrameSource, Read]:
    frames = frames_of_labels(data, attributes)
    return frames, frames.values
