"""Saved labels, read one frame at a time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.classes import ObjectClass
from napari_surgisam.data.frames import ArrayFrames, FrameSource, check_frame
from napari_surgisam.data.prompts import MAX_OBJECT_ID
from napari_surgisam.errors import DataError
from napari_surgisam.formats.folders import picture_files, read_labels_png
from napari_surgisam.formats.labelled import Labelled
from napari_surgisam.formats.sources import open_source

_PICTURES = (".png", ".bmp")


def open_labels(
    path: Path,
    frames: FrameSource,
    names: Mapping[int, str],
    classes: Mapping[int, ObjectClass] = MappingProxyType({}),
) -> Labelled:
    """Open the labels of a source.

    What is stored compressed as a whole (NIfTI .gz, NRRD, MetaImage) is in memory, all else is
    read frame by frame.

    Parameters
    ----------
    path : Path
        As written by `create_labels`, or of the same kinds by others.
    frames : FrameSource
        What they belong to.
    names : mapping of int to str
        What objects are called.
    classes : mapping of int to ObjectClass
        Those of objects.

    Raises
    ------
    DataError
        If the labels are missing, damaged, none, or do not fit the source.
    """
    if not path.exists():
        raise DataError(f"The labels {path} do not exist. Check the spelling.")
    is_zarr = path.suffix.lower() == ".zarr" or (path / "zarr.json").exists()
    if path.suffix.lower() in _PICTURES or (path.is_dir() and not is_zarr):
        stored: _LabelPictures | ArrayFrames = _LabelPictures(path)
    else:
        opened = open_source(path, axis=frames.axis if frames.ndim == 3 else 0, window=(0, 1))
        if not isinstance(opened, ArrayFrames):
            raise DataError(f"{path} is a movie, which labels are not read from.")
        stored = opened
    if (len(stored), stored.shape) != (len(frames), frames.shape):
        raise DataError(
            f"The labels {path} are {len(stored)} frames of {stored.shape[0]} x "
            f"{stored.shape[1]}, but the image is {len(frames)} of {frames.shape[0]} x "
            f"{frames.shape[1]}: give the image that they were made on, with the same --axis."
        )

    def read(frame: int) -> NDArray[Any]:
        return _checked(stored.values(frame), path, frame)

    highest = max(int(read(frame).max(initial=0)) for frame in range(len(stored)))
    return Labelled(frames, read, max(highest, 1), names, classes)


def _checked(values: NDArray[Any], path: Path, frame: int) -> NDArray[Any]:
    if values.ndim != 2:
        raise DataError(f"Frame {frame} of {path} is a colour picture, not labels.")
    if values.dtype.kind == "f" and np.array_equal(values, np.rint(values)):
        values = values.astype(np.int64)
    if values.dtype.kind not in "bui" or not 0 <= values.min() <= values.max() <= MAX_OBJECT_ID:
        raise DataError(
            f"Frame {frame} of {path} holds {values.dtype} from {values.min()} to "
            f"{values.max()}: labels are whole numbers from 0 to {MAX_OBJECT_ID}."
        )
    return values


class _LabelPictures:
    """Palette or grey pictures of labels, one a frame."""

    def __init__(self, path: Path) -> None:
        self._path, self._files = path, picture_files(path) if path.is_dir() else [path]
        if not self._files:
            raise DataError(f"{path} has no pictures in it, so no labels.")
        self.shape = self.values(0).shape

    def __len__(self) -> int:
        return len(self._files)

    def values(self, frame: int) -> NDArray[Any]:
        check_frame(frame, len(self), str(self._path))
        try:
            return read_labels_png(self._files[frame])
        except (OSError, ValueError) as error:
            raise DataError(f"The labels {self._files[frame]} cannot be read: {error}.") from error
