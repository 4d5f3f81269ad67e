"""Frames with their labels: what an export is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.classes import ObjectClass
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.errors import DataError


@dataclass(frozen=True, slots=True)
class Labelled:
    """A source and the labels of each of its frames.

    Parameters
    ----------
    frames : FrameSource
    read : callable
        Returns the (H, W) labels of a frame.
    max_id : int
        No label is larger.
    names : mapping of int to str
        What objects are called.
    classes : mapping of int to ObjectClass
        Of those objects that have one.
    """

    frames: FrameSource
    read: Callable[[int], NDArray[Any]]
    max_id: int
    names: Mapping[int, str]
    classes: Mapping[int, ObjectClass] = field(default_factory=lambda: MappingProxyType({}))

    def __iter__(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield each frame's number and labels."""
        for frame in range(len(self.frames)):
            yield frame, self.read(frame)

    def name(self, object_id: int) -> str:
        """Return what an object is called."""
        return self.names.get(object_id) or f"object {object_id}"

    def by_class(self) -> Labelled:
        """Return the same frames with labels of classes in place of objects.

        Objects without a class are background.

        Raises
        ------
        DataError
            If no object has a class.
        """
        if not self.classes:
            raise DataError(
                "No object has a class, so labels by class would be empty: choose classes in the "
                "table of objects, or give a table of classes (--names)."
            )
        highest = max(known.label for known in self.classes.values())
        table = np.zeros(self.max_id + 1, np.uint8 if highest <= 255 else np.uint16)
        for object_id, known in self.classes.items():
            if 0 < object_id <= self.max_id:
                table[object_id] = known.label

        def read(frame: int) -> NDArray[Any]:
            return np.asarray(table[self.read(frame)])

        kinds = {known.label: known for known in self.classes.values()}
        names = {label: known.name for label, known in kinds.items()}
        return Labelled(self.frames, read, highest, names, kinds)

    def object_ids(self) -> list[int]:
        """Return the objects that are on any frame, ascending; every frame is looked at."""
        seen = np.zeros(self.max_id + 1, bool)
        for _, labels in self:
            seen[np.unique(labels)] = True
        return [int(i) for i in np.flatnonzero(seen) if i]


@dataclass(frozen=True, slots=True)
class Export:
    """How labels become a file of one kind.

    Parameters
    ----------
    check : callable
        Raises a `DataError` if it cannot be made of these frames, or a package is missing.
    write : callable
        Writes it, whatever the path's ending.
    """

    check: Callable[[Path, FrameSource], None]
    write: Callable[[Path, Labelled], None]
