"""What the widget tells a person to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_surgisam.data.prompts import ObjectId

if TYPE_CHECKING:
    from napari_surgisam.engine.session import Session

FIRST_STEPS = (
    "1  Click on the object.\n2  Hold Alt (or press T) for “not this”.\n3  Press Propagate."
)

PICTURE_STEPS = (
    "1  Click on the object: its mask shows.\n2  Hold Alt (or press T) for “not this”.\n"
    "3  Press A for another object."
)


def next_step(session: Session | None, names: Mapping[ObjectId, str], unit: str) -> str:
    """Say what to do next.

    Parameters
    ----------
    session : Session or None
    names : mapping of ObjectId to str
        The objects' names.
    unit : {"frame", "slice", "picture"}
        A picture is all there is: nothing can be propagated.
    """
    if session is None or not len(session.book):
        steps = PICTURE_STEPS if unit == "picture" else FIRST_STEPS
        classes = () if session is None else tuple(session.tracker.network.classes)
        known = f"\nOr press Label classes: this model knows {', '.join(classes)}."
        return steps + known if classes else steps
    if unit == "picture":
        return "Click again to correct the mask; A adds an object."
    for object_id, name in sorted(names.items()):
        spans = session.stale(object_id)
        if spans:
            first, last = spans[0].start, (spans[-1].stop or len(session.frames)) - 1
            where = f"masks on {unit}s {first}–{last} are"
            if first == last:
                where = f"mask on {unit} {first} is"
            return f"{name} changed: its {where} older than your clicks. Press Propagate."
    return "Click again to correct the mask; A adds an object; P propagates."


def outcome(session: Session, unit: str, *, doubtful: int, cancelled: bool) -> str:
    """Say what a propagation has brought, and what to do with it.

    Parameters
    ----------
    session : Session
    unit : {"frame", "slice", "picture"}
    doubtful : int
        Places where the masks are doubtful.
    cancelled : bool
    """
    frames = {f for masklet in session.masklets.values() for f in masklet}
    if unit == "picture":
        return "The picture has its masks; a click corrects them."
    if not frames:  # its objects were deleted meanwhile
        return next_step(session, {}, unit)
    text = f"{len(frames):,} of {len(session.frames):,} {unit}s have masks."
    if cancelled:
        return f"Stopped. {text} Propagate goes on; Ctrl+Z takes this run back."
    if doubtful:
        return f"{text} {doubtful:,} doubtful place{'s' if doubtful > 1 else ''}: press N."
    return f"{text} Look through them; a click on a {unit} corrects it."
