"""What kinds of objects there are: their names, colours and labels, and who lies in front."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

from napari_surgisam.data.prompts import MAX_OBJECT_ID
from napari_surgisam.errors import DataError

RGB = tuple[int, int, int]
Overlap = Literal["surest", "first"]
OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)

COLOURS: tuple[RGB, ...] = (
    (0, 184, 242),  # as those of objects: told apart with every common colour vision
    (255, 166, 0),
    (51, 217, 115),
    (242, 89, 191),
    (250, 235, 77),
    (115, 128, 255),
    (242, 102, 64),
    (153, 242, 242),
    (178, 132, 90),
    (200, 200, 120),
    (140, 90, 200),
    (255, 190, 200),
)
"""Colours of classes that have none of their own, in turn."""


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """A kind of objects.

    Parameters
    ----------
    name : str
    label : int
        What stands for the class in labels by class, 1 to 65,535.
    colour : tuple of int
        Red, green and blue, 0 to 255.
    overlap : {"surest", "first"}
        Which of several objects of one priority has a pixel that all claim: the one whose mask
        is surest of it, or the one that comes first in the list of objects. Those that go by the
        list lie over those that go by their masks.
    priority : int
        Objects of a class with a higher one lie over all others. That of objects without a
        class is 0.

    Raises
    ------
    DataError
        If a value is out of its range.
    """

    name: str
    label: int
    colour: RGB
    overlap: Overlap = "surest"
    priority: int = 0

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise DataError(f"The class with the label {self.label} has no name: give it one.")
        if not 1 <= self.label <= MAX_OBJECT_ID:
            raise DataError(
                f"The class {self.name} has the label {self.label}: labels go from 1 to "
                f"{MAX_OBJECT_ID}, 0 is the background."
            )
        if len(self.colour) != 3 or not all(0 <= value <= 255 for value in self.colour):
            raise DataError(
                f"The class {self.name} has the colour {self.colour}: give red, green and blue "
                "from 0 to 255."
            )
        if self.overlap not in OVERLAPS:
            raise DataError(
                f"The class {self.name} knows no overlap {self.overlap!r}: use "
                f"{' or '.join(OVERLAPS)}."
            )


@dataclass(frozen=True, slots=True)
class ClassList:
    """The classes of a session, in a person's order; a value.

    Raises
    ------
    DataError
        If two have the same name or the same label.
    """

    classes: tuple[ObjectClass, ...] = ()

    def __post_init__(self) -> None:
        for what, values in (
            ("name", [c.name for c in self.classes]),
            ("label", [str(c.label) for c in self.classes]),
        ):
            twice = next((v for v in values if values.count(v) > 1), None)
            if twice is not None:
                raise DataError(
                    f"Two classes have the {what} {twice}: every class needs a {what} of its own."
                )

    def __iter__(self) -> Iterator[ObjectClass]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __contains__(self, name: object) -> bool:
        return any(known.name == name for known in self.classes)

    def get(self, name: str) -> ObjectClass | None:
        """Return the class of a name, or None."""
        return next((known for known in self.classes if known.name == name), None)

    def new(self, name: str) -> ObjectClass:
        """Return a class of a name with a label and a colour that no other has."""
        label = max((known.label for known in self.classes), default=0) + 1
        used = {known.colour for known in self.classes}
        free = (colour for colour in COLOURS if colour not in used)
        return ObjectClass(name, label, next(free, COLOURS[(label - 1) % len(COLOURS)]))

    def including(self, names: Iterable[str]) -> ClassList:
        """Return a list in which classes of these names are, too."""
        known = self
        for name in names:
            if name not in known:
                known = ClassList((*known.classes, known.new(name)))
        return known

    def with_class(self, changed: ObjectClass) -> ClassList:
        """Return a list in which a class replaces the one of its name, or is the last."""
        if changed.name not in self:
            return ClassList((*self.classes, changed))
        return ClassList(tuple(changed if c.name == changed.name else c for c in self.classes))

    def joined(self, others: Iterable[ObjectClass]) -> ClassList:
        """Return a list with others at its end, but for names that it has; labels move aside."""
        known = self
        for other in others:
            if other.name not in known:
                taken = {c.label for c in known.classes}
                free = max(taken, default=0) + 1 if other.label in taken else other.label
                known = ClassList((*known.classes, replace(other, label=free)))
        return known
