"""The objects of one image: their names, colours, and how far each is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from napari_surgisam.data.catalogue import Catalogue
from napari_surgisam.data.prompts import MaskPrompt, ObjectId, Prompt
from napari_surgisam.plugin.layers import CLASSES, NAMES
from napari_surgisam.plugin.object_table import ObjectRow

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_surgisam.data.classes import ObjectClass
    from napari_surgisam.engine.session import Session

RGBA = tuple[float, float, float, float]

PALETTE: tuple[RGBA, ...] = (
    (0.00, 0.72, 0.95, 1.0),  # told apart with every common colour vision, on tissue and on grey
    (1.00, 0.65, 0.00, 1.0),
    (0.20, 0.85, 0.45, 1.0),
    (0.95, 0.35, 0.75, 1.0),
    (0.98, 0.92, 0.30, 1.0),
    (0.45, 0.50, 1.00, 1.0),
    (0.95, 0.40, 0.25, 1.0),
    (0.60, 0.95, 0.95, 1.0),
)
DIMMED = 0.45
"""Opacity of the objects that are not selected."""


UNCLASSED: RGBA = (0.6, 0.6, 0.6, 1.0)
"""Colour of objects without a class, among those that have one."""


class Objects:
    """Which objects there are, in the order of their ids; one of them is selected."""

    def __init__(self) -> None:
        self.names: dict[ObjectId, str] = {}
        self.hidden: set[ObjectId] = set()
        self.kinds: dict[ObjectId, ObjectClass] = {}
        self.catalogue = Catalogue()
        self.by_class = False
        """Whether objects have the colours of their classes."""
        self.selected: ObjectId | None = None
        self._former: dict[ObjectId, str] = {}  # names of objects that undo may bring back

    def __iter__(self) -> Iterable[ObjectId]:
        return iter(sorted(self.names))

    def __contains__(self, object_id: object) -> bool:
        return object_id in self.names

    def include(self, object_ids: Iterable[int]) -> None:
        """Take up objects that something else named, such as a layer of clicks."""
        for object_id in object_ids:
            known = ObjectId(object_id)
            self.names.setdefault(known, self._former.get(known, f"object {object_id}"))
        if self.selected is None and self.names:
            self.selected = min(self.names)

    def add(self, taken: Iterable[int] = ()) -> ObjectId:
        """Add an object with the id after the highest one, and select it."""
        object_id = ObjectId(max((0, *self.names, *taken)) + 1)
        self._former.pop(object_id, None)
        self.include([object_id])
        self.selected = object_id
        return object_id

    def include_classes(
        self, classes: Mapping[str, int], used: Iterable[int], taken: Iterable[int] = ()
    ) -> dict[ObjectId, str]:
        """Take up an object for each class: the one of its name, else a new one.

        Parameters
        ----------
        classes : mapping of str to int
            The label that each would have.
        used, taken : iterable of int
            Objects with prompts or masks, and ids that someone else has. Of the others, those
            that were never named make room.

        Returns
        -------
        dict of ObjectId to str
            The classes by object.
        """
        used, taken = set(used), set(taken)
        for object_id, name in list(self.names.items()):
            if object_id not in used and name == f"object {object_id}":
                self.remove(object_id)
        found: dict[ObjectId, str] = {}
        for name, label in classes.items():
            own = next((i for i, known in self.names.items() if known == name), None)
            if own is None:
                free = label not in self.names and label > max(taken, default=0)
                own = ObjectId(label if free else max((0, *self.names, *taken)) + 1)
            found[own] = self.names[own] = name
        self.include(found)
        return found

    def remove(self, object_id: ObjectId) -> None:
        """Forget an object; the next one is selected."""
        if object_id in self.names:
            self._former[object_id] = self.names.pop(object_id)
        self.hidden.discard(object_id)
        if self.selected == object_id:
            later = [i for i in self.names if i > object_id]
            self.selected = min(later, default=max(self.names, default=None))

    def named_on(self, labels: Labels) -> Labels:
        """Let a Labels layer know what objects are called, also when that changes; return it."""
        labels.metadata[NAMES], labels.metadata[CLASSES] = self.names, self.kinds
        return labels

    def follow(self, catalogue: Catalogue) -> bool:
        """Take up what a session says of objects; False where it is nothing new."""
        if catalogue == self.catalogue:
            return False
        self.catalogue = catalogue
        self.hidden = set(catalogue.hidden)
        self.kinds.clear()  # the layer of masks holds it
        self.kinds.update(catalogue.by_object())
        return True

    def colour(self, object_id: ObjectId) -> RGBA:
        """Return an object's colour, or its class's: grey where it has none."""
        if not self.by_class:
            return colour_of(object_id)
        known = self.kinds.get(object_id)
        return UNCLASSED if known is None else class_colour(known)

    def next_id(self) -> ObjectId | None:
        """Return the object after the selected one, the first after the last."""
        ids = sorted(self.names)
        if not ids:
            return None
        later = [i for i in ids if self.selected is not None and i > self.selected]
        return later[0] if later else ids[0]

    def rows(self, session: Session | None) -> list[ObjectRow]:
        """Describe every object, and how far it is where there is a session yet."""
        return [
            ObjectRow(
                object_id=object_id,
                name=self.names[object_id],
                colour=self.colour(object_id),
                locked=object_id in self.catalogue.locked,
                class_name="" if (known := self.kinds.get(object_id)) is None else known.name,
                class_colour=UNCLASSED if known is None else class_colour(known),
                visible=object_id not in self.hidden,
                prompts="" if session is None else _prompts(session, object_id),
                frames="" if session is None else _frames(session, object_id),
                stale=session is not None and bool(session.stale(object_id)),
            )
            for object_id in sorted(self.names)
        ]

    def colours(self, *, dim: bool = True) -> dict[int, RGBA]:
        """Return the colour of each object: the selected one full, hidden ones transparent."""
        colours = {}
        for object_id in self.names:
            red, green, blue, _ = self.colour(object_id)
            alpha = 1.0 if not dim or self.selected in (None, object_id) else DIMMED
            colours[int(object_id)] = (
                red, green, blue, 0.0 if object_id in self.hidden else alpha
            )  # fmt: skip
        return colours


def class_colour(known: ObjectClass) -> RGBA:
    """Return the colour of a class."""
    red, green, blue = known.colour
    return red / 255, green / 255, blue / 255, 1.0


def colour_of(object_id: int) -> RGBA:
    """Return an object's colour; it depends on the id alone."""
    return PALETTE[(object_id - 1) % len(PALETTE)]


def _prompts(session: Session, object_id: ObjectId) -> str:
    prompts = [p for p in session.book if p.object_id == object_id]
    clicks = sum(len(p.points) for p in prompts if isinstance(p, Prompt))
    boxes = sum(p.box is not None for p in prompts if isinstance(p, Prompt))
    masks = sum(isinstance(p, MaskPrompt) for p in prompts)
    counts = ((clicks, "click", "clicks"), (boxes, "box", "boxes"), (masks, "mask", "masks"))
    return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)


def _frames(session: Session, object_id: ObjectId) -> str:
    stale = session.stale(object_id)
    if stale:
        first, last = stale[0].start, (stale[-1].stop or len(session.frames)) - 1
        return f"stale {first}–{last}" if last > first else f"stale {first}"
    masklet, length = session.masklets.get(object_id), len(session.frames)
    done = 0 if masklet is None else len(masklet)
    return f"{done:,} ✓" if done == length else f"{done:,} of {length:,}" if done else ""
