"""What a person says of objects besides where they are: class, visible, locked; a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from napari_surgisam.data.classes import ClassList, ObjectClass
from napari_surgisam.data.overlaps import NO_CLAIMS, Claim, Claims
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.errors import DataError, PromptError

Ids = frozenset[ObjectId]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The classes that there are, and what is said of each object.

    Parameters
    ----------
    classes : ClassList
    named : mapping of ObjectId to str
        The class of each object that has one.
    hidden : frozenset of ObjectId
    locked : frozenset of ObjectId
        Objects that nothing changes: no click, no propagation, no brush.
    """

    classes: ClassList = field(default_factory=ClassList)
    named: Mapping[ObjectId, str] = field(default_factory=lambda: MappingProxyType({}))
    hidden: Ids = frozenset()
    locked: Ids = frozenset()

    @property
    def object_ids(self) -> Ids:
        """Objects of which anything is said."""
        return self.hidden.union(self.locked, self.named)

    def class_of(self, object_id: ObjectId) -> ObjectClass | None:
        """Return the class of an object, or None."""
        return self.classes.get(self.named.get(object_id, ""))

    def by_object(self) -> dict[ObjectId, ObjectClass]:
        """Return the class of each object that has one."""
        known = {k: self.class_of(k) for k in self.named}
        return {k: found for k, found in known.items() if found is not None}

    def claims(self, object_ids: Iterable[ObjectId]) -> Claims:
        """Return what objects claim where they overlap, but for usual claims."""
        if not self.named and not self.locked:
            return NO_CLAIMS
        claims = {}
        for object_id in object_ids:
            known, locked = self.class_of(object_id), object_id in self.locked
            if locked or (known and (known.priority or known.overlap == "first")):
                by_order = known is not None and known.overlap == "first"
                claims[object_id] = Claim(locked, known.priority if known else 0, by_order)
        return claims

    def check_open(self, object_ids: Iterable[ObjectId], what: str) -> None:
        """Raise a `PromptError` if one of some objects is locked.

        Parameters
        ----------
        object_ids : iterable of ObjectId
        what : str
            What was to be done, for the message: "cannot be {what}".
        """
        locked = [k for k in object_ids if k in self.locked]
        if locked:
            raise PromptError(
                f"Object {locked[0]} is locked and cannot be {what}: it stays as it is. Unlock it "
                "in the table of objects first."
            )

    # -- edited copies

    def with_classes(
        self, classes: ClassList, renamed: Mapping[str, str] = MappingProxyType({})
    ) -> Catalogue:
        """Return a copy with other classes; objects of one that is gone have none then.

        Parameters
        ----------
        classes : ClassList
        renamed : mapping of str to str
            New names of classes by their old ones.
        """
        followed = {k: renamed.get(name, name) for k, name in self.named.items()}
        named = {k: name for k, name in followed.items() if name in classes}
        return replace(self, classes=classes, named=MappingProxyType(named))

    def with_class(self, object_ids: Iterable[ObjectId], name: str) -> Catalogue:
        """Return a copy in which objects are of a class; an empty name is none.

        Raises
        ------
        DataError
            If there is no such class.
        """
        if name and name not in self.classes:
            known = ", ".join(c.name for c in self.classes) or "none yet"
            raise DataError(f"There is no class {name}: the classes are {known}. Add it first.")
        named = {**self.named, **dict.fromkeys(object_ids, name)}
        return replace(self, named=MappingProxyType({k: n for k, n in named.items() if n}))

    def with_hidden(self, object_ids: Iterable[ObjectId], hidden: bool) -> Catalogue:
        """Return a copy in which objects are hidden, or shown."""
        return replace(self, hidden=_changed(self.hidden, object_ids, hidden))

    def with_locked(self, object_ids: Iterable[ObjectId], locked: bool) -> Catalogue:
        """Return a copy in which objects are locked, or free again."""
        return replace(self, locked=_changed(self.locked, object_ids, locked))

    def without(self, object_ids: Iterable[ObjectId]) -> Catalogue:
        """Return a copy that says nothing of some objects."""
        gone = frozenset(object_ids)
        return replace(
            self,
            named=MappingProxyType({k: n for k, n in self.named.items() if k not in gone}),
            hidden=self.hidden - gone,
            locked=self.locked - gone,
        )

    def like(self, object_id: ObjectId, others: Iterable[ObjectId]) -> Catalogue:
        """Return a copy in which others are of an object's class, and shown as it is."""
        others = tuple(others)
        copy = self.with_class(others, self.named.get(object_id, ""))
        return copy.with_hidden(others, object_id in self.hidden)


def catalogue_by(kinds: Mapping[int, ObjectClass], object_ids: Iterable[int]) -> Catalogue:
    """Return a catalogue of classes, in which some objects are of those that `kinds` says."""
    named = {ObjectId(k): kinds[k].name for k in object_ids if k in kinds}
    listed = ClassList(tuple(dict.fromkeys(kinds.values())))
    return Catalogue(listed, MappingProxyType(named))


def _changed(ids: Ids, object_ids: Iterable[ObjectId], on: bool) -> Ids:
    return ids | frozenset(object_ids) if on else ids - frozenset(object_ids)
