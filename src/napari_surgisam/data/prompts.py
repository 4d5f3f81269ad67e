"""What the user said: points, boxes and masks for objects on frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from types import MappingProxyType
from typing import Literal, NewType, get_args

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.errors import PromptError

ObjectId = NewType("ObjectId", int)
"""The label value of an object, 1 to 65,535; it never changes."""

MAX_OBJECT_ID = 65_535

MaskSize = Literal["auto", "small", "medium", "large"]
"""Which of the masks that one click may mean: a part, the whole, all around it; or the best."""

MASK_SIZES: tuple[MaskSize, ...] = get_args(MaskSize)


@dataclass(frozen=True, slots=True)
class Point:
    """A click, in frame pixels; pixel centres lie on whole numbers.

    Parameters
    ----------
    y, x : float
    positive : bool
        Whether the object is here (True) or is not (False).
    """

    y: float
    x: float
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle around an object, in frame pixels, `y0 < y1`, `x0 < x1`."""

    y0: float
    x0: float
    y1: float
    x1: float


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the user said about one object on one frame with points and a box.

    Parameters
    ----------
    object_id : ObjectId
    frame : int
    points : tuple of Point
    box : Box, optional
    mask_size : {"auto", "small", "medium", "large"}
        Which mask a single click means; "auto" leaves it to the network. Where there are more
        points or a box it says nothing, and is kept.
    """

    object_id: ObjectId
    frame: int
    points: tuple[Point, ...] = ()
    box: Box | None = None
    mask_size: MaskSize = "auto"

    def __post_init__(self) -> None:
        _check_identity(self.object_id, self.frame)
        if self.mask_size not in MASK_SIZES:
            raise PromptError(
                f"The mask size of object {self.object_id} on frame {self.frame} is "
                f"{self.mask_size!r}: choose among {', '.join(MASK_SIZES)}."
            )
        if not self.points and self.box is None:
            raise PromptError(
                f"The prompt of object {self.object_id} on frame {self.frame} is empty: "
                "give at least one point or a box."
            )

    @property
    def takes_mask_size(self) -> bool:
        """Whether it is a single click on the object, of which several masks can be meant."""
        return self.box is None and len(self.points) == 1 and self.points[0].positive

    def with_point(self, point: Point) -> Prompt:
        """Return this prompt with one more point, the last."""
        return replace(self, points=(*self.points, point))


@dataclass(frozen=True, slots=True, eq=False)
class MaskPrompt:
    """A whole mask as prompt: "this is the object on this frame".

    Parameters
    ----------
    mask : (H, W) bool array
        An empty mask says that the object is absent on this frame.
    """

    object_id: ObjectId
    frame: int
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _check_identity(self.object_id, self.frame)


AnyPrompt = Prompt | MaskPrompt


@dataclass(frozen=True, slots=True)
class PromptBook:
    """All prompts of a session, at most one per object and frame; a value.

    Editing returns a new book, so that undo keeps books and not differences.
    """

    entries: Mapping[tuple[ObjectId, int], AnyPrompt] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[AnyPrompt]:
        """Iterate over the prompts by object, then frame."""
        return (self.entries[key] for key in sorted(self.entries))

    @property
    def object_ids(self) -> tuple[ObjectId, ...]:
        """Objects with at least one prompt, ascending."""
        return tuple(sorted({object_id for object_id, _ in self.entries}))

    def get(self, object_id: ObjectId, frame: int) -> AnyPrompt | None:
        """Return the prompt of an object on a frame, or None."""
        return self.entries.get((object_id, frame))

    def frames(self, object_id: ObjectId) -> tuple[int, ...]:
        """Frames on which the object is prompted, ascending."""
        return tuple(sorted(f for o, f in self.entries if o == object_id))

    def with_prompt(self, prompt: AnyPrompt) -> PromptBook:
        """Return a book in which `prompt` replaces what its object had on its frame."""
        entries = {**self.entries, (prompt.object_id, prompt.frame): prompt}
        return PromptBook(MappingProxyType(entries))

    def without(self, object_id: ObjectId, frame: int | None = None) -> PromptBook:
        """Return a book without an object's prompt on a frame, or without the object."""
        return PromptBook(
            MappingProxyType(
                {
                    (o, f): prompt
                    for (o, f), prompt in self.entries.items()
                    if o != object_id or (frame is not None and f != frame)
                }
            )
        )


def check_prompt(prompt: AnyPrompt, frames: int, height: int, width: int) -> None:
    """Check that a prompt lies inside its source.

    Parameters
    ----------
    prompt : Prompt or MaskPrompt
    frames, height, width : int
        Length of the source and size of its frames, in pixels.

    Raises
    ------
    PromptError
        If a coordinate is not finite or outside the frame, the frame does not exist, a box
        is degenerate, or a mask has another shape.
    """
    who = f"object {prompt.object_id}"
    if not 0 <= prompt.frame < frames:
        raise PromptError(
            f"A prompt of {who} is on frame {prompt.frame}, but the source has frames 0 to "
            f"{frames - 1}. Does the prompt belong to another file?"
        )
    where = f"frame {prompt.frame} ({height} x {width} pixels)"
    if isinstance(prompt, MaskPrompt):
        if prompt.mask.shape != (height, width):
            raise PromptError(
                f"The mask prompt of {who} is {prompt.mask.shape[0]} x {prompt.mask.shape[1]} "
                f"pixels, but {where}: give the mask on the image's own grid."
            )
        return
    for point in prompt.points:
        if not (isfinite(point.y) and isfinite(point.x)):
            raise PromptError(
                f"A point of {who} on {where} has coordinates (y={point.y}, x={point.x}): "
                "they must be finite numbers. Delete or correct that point."
            )
        if not (-0.5 <= point.y <= height - 0.5 and -0.5 <= point.x <= width - 0.5):
            raise PromptError(
                f"Point (y={point.y:.1f}, x={point.x:.1f}) of {who} lies outside {where}. "
                "Does the Points layer share the image's scale?"
            )
    if prompt.box is not None:
        _check_box(prompt.box, who, where, height, width)


def _check_box(box: Box, who: str, where: str, height: int, width: int) -> None:
    values = (box.y0, box.x0, box.y1, box.x1)
    if not all(isfinite(value) for value in values):
        raise PromptError(
            f"The box of {who} on {where} has a coordinate that is not finite: {values}."
        )
    if box.y0 >= box.y1 or box.x0 >= box.x1:
        raise PromptError(
            f"The box of {who} on {where} has no area (y {box.y0:.1f} to {box.y1:.1f}, "
            f"x {box.x0:.1f} to {box.x1:.1f}): draw it from corner to corner."
        )
    if box.y1 < 0 or box.x1 < 0 or box.y0 > height - 1 or box.x0 > width - 1:
        raise PromptError(
            f"The box of {who} (y {box.y0:.1f} to {box.y1:.1f}, x {box.x0:.1f} to "
            f"{box.x1:.1f}) lies outside {where}. Does the Shapes layer share the image's scale?"
        )


def _check_identity(object_id: int, frame: int) -> None:
    if object_id < 1:
        raise PromptError(
            f"Object ids start at 1, got {object_id} on frame {frame}: 0 is the background label."
        )
    if object_id > MAX_OBJECT_ID:
        raise PromptError(
            f"Object id {object_id} on frame {frame} is over {MAX_OBJECT_ID}, the largest label "
            "that the labels files hold. Renumber the objects."
        )
    if frame < 0:
        raise PromptError(f"Object {object_id} has a prompt on frame {frame}: frames start at 0.")
