"""What the widget tells a person to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_surgisam.data.prompts import ObjectId, Prompt

if TYPE_CHECKING:
    from napari_surgisam.engine.session import Session

FIRST_CLICK = "Click on the object: its mask shows at once. ? lists all keys."

STEPS = (
    "Click on the object. Hold Alt (or press T) for “not this”.",
    "Press Propagate (P): the mask follows the object along all {unit}s.",
    "Review and correct: N shows a doubtful {unit}. Click there, and propagate again.",
)
"""What a person does the first time with a movie or a volume."""

PICTURE_STEPS = (
    "Click on the object: its mask shows.",
    "Review and correct: click again; hold Alt (or press T) for “not this”.",
    "Press A for another object, and click on it.",
)
"""The same with a single picture."""


@dataclass(frozen=True, slots=True)
class FirstStep:
    """One thing that a person does the first time, and whether it is done."""

    text: str
    done: bool


def first_steps(session: Session | None, unit: str, *, reviewed: bool) -> tuple[FirstStep, ...]:
    """Say what a person does the first time, and how far they are.

    Parameters
    ----------
    session : Session or None
    unit : {"frame", "slice", "picture"}
    reviewed : bool
        Whether masks that a propagation made were looked through or corrected.
    """
    prompts = [] if session is None else list(session.book)
    if unit == "picture":
        clicks = [len(p.points) for p in prompts if isinstance(p, Prompt)]
        done = (bool(prompts), max(clicks, default=0) > 1, len(prompts) > 1)
        return tuple(map(FirstStep, PICTURE_STEPS, done))
    carried = session is not None and any(
        len(masklet) > len(session.book.frames(object_id))
        for object_id, masklet in session.masklets.items()
    )
    texts = (text.format(unit=unit) for text in STEPS)
    begun = bool(prompts) or carried  # classes are labelled without a click
    return tuple(map(FirstStep, texts, (begun, carried, carried and reviewed)))


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
        classes = () if session is None else tuple(session.tracker.network.classes)
        known = f"\nOr press Label classes: this model knows {', '.join(classes)}."
        return FIRST_CLICK + known if classes else FIRST_CLICK
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


def why_not(session: Session | None, *, propagating: bool) -> str:
    """Say why nothing can be propagated; empty where something can."""
    if session is None:
        return "The model is still loading."
    if not len(session.book):
        return "Click on an object first: there are no prompts yet."
    return "A propagation is running." if propagating else ""
