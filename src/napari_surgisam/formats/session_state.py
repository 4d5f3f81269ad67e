"""What a saved session holds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.catalogue import Catalogue
from napari_surgisam.data.classes import ClassList
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.windows import Window


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """Which frames the masks are of, and how they are read from their file.

    Parameters
    ----------
    path : str
        Absolute; empty where the image never was a file.
    fingerprint : str
        `FrameSource.fingerprint`; it may change when a file is copied.
    pixels : str
        Digest of frames as they are read, whatever file they come from; empty where the
        fingerprint depends on the content alone.
    length : int
    shape : tuple of int
        Height and width of a frame, in pixels.
    axis : int
    window : "auto" or (low, high)
        As they were in the end: "auto" only where values pass unchanged.
    channel : int, optional
    at : mapping of int to int
        As for `open_source`.
    relative : str
        The path from the session's own folder on, where it was read from one.
    """

    path: str
    fingerprint: str
    pixels: str
    length: int
    shape: tuple[int, int]
    axis: int = 0
    window: Window = "auto"
    channel: int | None = None
    at: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    relative: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """Which model made the masks, and what it remembered.

    Parameters
    ----------
    name : str
        Name or file.
    sha256 : str
        Of the weights' file; empty where it is not known.
    image_size : int, optional
        The model's own by default.
    policy : str
    focus : str
    max_conditioning : int or None
        Prompted frames that are attended to at most; None is no limit.
    """

    name: str = "embedded"
    sha256: str = ""
    image_size: int | None = None
    policy: str = "auto"
    focus: str = "default"
    max_conditioning: int | None = 8


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """What a person calls an object; `category` is its class, empty where there is none."""

    name: str
    category: str = ""
    visible: bool = True
    locked: bool = False


def object_records(
    catalogue: Catalogue, names: Mapping[ObjectId, str]
) -> dict[ObjectId, ObjectRecord]:
    """Return what is saved of each object, by what it is called and what the catalogue says."""
    return {
        k: ObjectRecord(
            name,
            catalogue.named.get(k, ""),
            k not in catalogue.hidden,
            k in catalogue.locked,
        )
        for k, name in names.items()
    }


def catalogue_of(objects: Mapping[ObjectId, ObjectRecord], classes: ClassList) -> Catalogue:
    """Return the catalogue that objects were saved from; a class that is missing is added."""
    named = {k: record.category for k, record in objects.items() if record.category}
    return Catalogue(
        classes.including(named.values()),
        MappingProxyType(named),
        hidden=frozenset(k for k, record in objects.items() if not record.visible),
        locked=frozenset(k for k, record in objects.items() if record.locked),
    )


@dataclass(frozen=True, slots=True, eq=False)
class SessionState:
    """All that a session is reopened from; undo is not part of it.

    Parameters
    ----------
    source : SourceRecord
    model : ModelRecord
    annotation : Annotation
        Prompts, masks with their scores, what is out of date, accepted and painted, and the
        catalogue, whose classes are saved.
    objects : mapping of ObjectId to ObjectRecord
        See `object_records`.
    order : str
        Of the plan; empty chooses by the kind of the source.
    span : (int, int or None)
        Frames that the plan may visit, half-open.
    touched : mapping of int to frozenset of int
        Labels that a person changed on each painted frame; all of them where it is missing.
    view : mapping of str to anything that JSON can hold
        How a viewer showed the source.
    """

    source: SourceRecord
    model: ModelRecord = field(default_factory=ModelRecord)
    annotation: Annotation = field(default_factory=Annotation)
    objects: Mapping[ObjectId, ObjectRecord] = field(default_factory=lambda: MappingProxyType({}))
    order: str = ""
    span: tuple[int, int | None] = (0, None)
    touched: Mapping[int, frozenset[int]] = field(default_factory=lambda: MappingProxyType({}))
    view: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
