"""What is evaluated: frames with their truth, from files or from memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import MAX_OBJECT_ID, ObjectId
from napari_surgisam.data.windows import Window
from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.formats.datasets import CaseFiles
from napari_surgisam.formats.folders import PictureFrames, picture_files
from napari_surgisam.formats.labels import read_labels
from napari_surgisam.formats.sources import open_source

Labels = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Truth:
    """True labels of those frames that have any.

    Parameters
    ----------
    labels : (K, H, W) integer array
        Labels of the objects, 0 for the background.
    frames : tuple of int
        The frame of each of the K, ascending. Datasets often label some frames only.
    """

    labels: Labels
    frames: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.labels.dtype.kind not in "bui":
            raise DataError(
                f"The reference holds {self.labels.dtype} values, but labels are whole numbers: "
                "convert it, for example with layer.data.astype(int)."
            )
        if self.labels.ndim != 3 or len(self.labels) != len(self.frames):
            raise DataError(
                f"The reference has the shape {self.labels.shape}, but (frame, y, x) is needed, "
                f"with {len(self.frames)} frames."
            )
        if self.labels.size and not 0 <= self.labels.min() <= self.labels.max() <= MAX_OBJECT_ID:
            raise DataError(
                f"The reference holds labels from {self.labels.min()} to {self.labels.max()}: "
                f"only 0 to {MAX_OBJECT_ID} can be objects."
            )

    @cached_property
    def visible(self) -> dict[ObjectId, tuple[int, ...]]:
        """On which labelled frames each object is, by label."""
        found: dict[int, list[int]] = {}
        for frame, labels in zip(self.frames, self.labels, strict=True):
            for label in np.unique(labels):
                if label:
                    found.setdefault(int(label), []).append(frame)
        return {ObjectId(label): tuple(frames) for label, frames in sorted(found.items())}

    @property
    def object_ids(self) -> tuple[ObjectId, ...]:
        """Labels that occur, ascending."""
        return tuple(self.visible)

    def on(self, frame: int) -> Labels:
        """Return the (H, W) labels of a labelled frame."""
        labels: Labels = self.labels[self.frames.index(frame)]
        return labels

    def mask(self, object_id: ObjectId, frame: int) -> NDArray[np.bool_]:
        """Return the (H, W) mask of an object on a labelled frame."""
        return np.equal(self.on(frame), object_id)

    def only(self, frames: Sequence[int]) -> Truth:
        """Return the truth of some of the labelled frames."""
        kept = [k for k, frame in enumerate(self.frames) if frame in set(frames)]
        return Truth(self.labels[kept], tuple(self.frames[k] for k in kept))


@dataclass(frozen=True, slots=True, eq=False)
class OpenCase:
    """A case, ready to be segmented and scored.

    Parameters
    ----------
    name : str
    frames : FrameSource
    truth : Truth
    classes : ClassTable
    """

    name: str
    frames: FrameSource
    truth: Truth
    classes: ClassTable = field(default_factory=ClassTable)

    def __post_init__(self) -> None:
        if self.truth.labels.shape[1:] != self.frames.shape:
            raise DataError(
                f"{self.name}: the labels are {self.truth.labels.shape[1:]} pixels, the image "
                f"{self.frames.shape}: bring both to one grid first."
            )
        if not self.truth.object_ids:
            raise DataError(
                f"{self.name}: the reference is empty, so there is nothing to find and nothing "
                "to score. Leave the case out."
            )

    @property
    def is_whole(self) -> bool:
        """Whether there are several frames and all of them are labelled."""
        return len(self.truth.frames) == len(self.frames) > 1

    @property
    def is_volume(self) -> bool:
        """Whether the frames are slices of a body, labelled throughout."""
        return self.is_whole and not self.frames.temporal


class Case(Protocol):
    """Something that can be evaluated."""

    @property
    def name(self) -> str:
        """What tells it from the other cases of an evaluation."""
        ...

    def open(self) -> OpenCase:
        """Open it; raises a `DataError` where image and truth cannot be used."""
        ...


@dataclass(frozen=True, slots=True)
class FileCase:
    """A case in files; it can be sent to another process.

    Parameters
    ----------
    files : CaseFiles
    classes : ClassTable
    window : "auto" or (low, high)
    channel : int, optional
    """

    files: CaseFiles
    classes: ClassTable = field(default_factory=ClassTable)
    window: Window = "auto"
    channel: int | None = None

    @property
    def name(self) -> str:
        """The files' name."""
        return self.files.name

    def open(self) -> OpenCase:
        """Open image and labels; see `Case`."""
        if self.files.labels is None:
            raise DataError(f"{self.name} has no truth: no labels were found for {self.image}.")
        frames = open_source(self.image, window=self.window, channel=self.channel)
        return OpenCase(self.name, frames, read_truth(self.files.labels, frames), self.classes)

    @property
    def image(self) -> Path:
        """Where the image is."""
        return self.files.image


@dataclass(frozen=True, slots=True, eq=False)
class MemoryCase:
    """A case whose frames and labels are at hand, such as two layers of a viewer.

    Parameters
    ----------
    name : str
    frames : FrameSource
    labels : (T or Z, Y, X) or (Y, X) integer array
        Along the frames' own axes.
    classes : ClassTable
    """

    name: str
    frames: FrameSource
    labels: Labels
    classes: ClassTable = field(default_factory=ClassTable)

    def open(self) -> OpenCase:
        """Check that both fit; see `Case`."""
        return OpenCase(self.name, self.frames, whole_truth(self.labels, self.frames), self.classes)


def whole_truth(labels: Labels, frames: FrameSource, name: str = "The reference") -> Truth:
    """Take an array as the truth of every frame.

    Parameters
    ----------
    labels : (T or Z, Y, X) or (Y, X) integer array
        As stored, so that the frames run along ``frames.axis``.
    frames : FrameSource
    name : str
        What messages call it.

    Raises
    ------
    DataError
        If the shapes differ or the values are no labels.
    """
    if labels.ndim == 2:
        labels = labels[np.newaxis]
    elif labels.ndim == 3:
        labels = np.moveaxis(labels, frames.axis, 0)
    if labels.shape != (len(frames), *frames.shape):
        raise DataError(
            f"{name} has the shape {labels.shape}, but the image {(len(frames), *frames.shape)} "
            "(frame, y, x): labels must lie on the image's own grid."
        )
    return Truth(labels, tuple(range(len(frames))))


def read_truth(path: Path, frames: FrameSource) -> Truth:
    """Read labels; a folder of pictures may label some of the frames only.

    Parameters
    ----------
    path : Path
        A file of labels, or a folder of pictures that are named like the frames, or by their
        numbers.
    frames : FrameSource

    Raises
    ------
    DataError
        If a picture belongs to no frame, shapes differ, or the values are no labels.
    """
    if not path.is_dir() or (path / "zarr.json").exists():
        return whole_truth(read_labels(path), frames, f"The reference {path}")
    files = picture_files(path)
    if not files:
        raise DataError(f"{path} holds no pictures, so there is no truth.")
    places = {frame: file for file in files for frame in [_frame_of(file, frames)]}
    found = {frame: read_labels(file)[0] for frame, file in sorted(places.items())}
    for frame, labels in found.items():
        if labels.shape != frames.shape:
            raise DataError(
                f"{places[frame]} is {labels.shape} pixels, but the frames are {frames.shape}: "
                "labels must lie on the image's own grid."
            )
    return Truth(np.stack(list(found.values())), tuple(found))


def _frame_of(file: Path, frames: FrameSource) -> int:
    if isinstance(frames, PictureFrames) and file.stem in frames.names:
        return frames.names.index(file.stem)
    number = re.search(r"(\d+)$", file.stem)
    # pictures named otherwise than the frames cannot be told by their numbers
    if number and not isinstance(frames, PictureFrames) and int(number[1]) < len(frames):
        return int(number[1])
    raise DataError(
        f"{file} belongs to no frame: labels are named like the frames' pictures, or by the "
        f"number of the frame (0 to {len(frames) - 1})."
    )
