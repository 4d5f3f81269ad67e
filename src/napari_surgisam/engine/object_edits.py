"""Merge and split the objects of a session, each as one undo step."""

from __future__ import annotations

from collections.abc import Iterable

from napari_surgisam.data.merging import merge_objects
from napari_surgisam.data.object_changes import ChangeComputed, ObjectChange
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.splitting import SPECK, split_object
from napari_surgisam.engine.session import Session


def merge(session: Session, keep: ObjectId, others: Iterable[ObjectId]) -> ObjectChange:
    """Merge objects; see `merge_objects`. The masks change at once, when all are made."""
    made = merge_objects(session.annotation, keep, others, session.frames.shape, session.shelve)
    return _carry_out(session, made)


def split(session: Session, object_id: ObjectId, *, least: int = SPECK) -> ObjectChange:
    """Split an object into its pieces; see `split_object`."""
    made = split_object(
        session.annotation, object_id, session.frames.shape, least=least, shelve=session.shelve
    )
    return _carry_out(session, made)


def _carry_out(session: Session, made: ObjectChange) -> ObjectChange:
    for event in made:
        if isinstance(event, ChangeComputed):
            session.edit(event.change)
        yield event
