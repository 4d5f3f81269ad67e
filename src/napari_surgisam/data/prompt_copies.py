"""What was said about an object on one frame, said on another."""

from __future__ import annotations

from dataclasses import replace

from napari_surgisam.data.prompts import AnyPrompt, Box, MaskPrompt, ObjectId, PromptBook


def copied(prompt: AnyPrompt, frame: int, shape: tuple[int, int]) -> AnyPrompt | None:
    """Return a prompt as one on another frame, or None where nothing of it lies there.

    Points outside the frame are left out, and a box is cut to it; a mask is taken as it is.

    Parameters
    ----------
    prompt : Prompt or MaskPrompt
    frame : int
    shape : tuple of int
        Height and width of the frame, in pixels.
    """
    if isinstance(prompt, MaskPrompt):
        return replace(prompt, frame=frame)
    height, width = shape
    points = tuple(
        p for p in prompt.points if -0.5 <= p.y <= height - 0.5 and -0.5 <= p.x <= width - 0.5
    )
    box = None if prompt.box is None else _clipped(prompt.box, height, width)
    if not points and box is None:
        return None
    return replace(prompt, frame=frame, points=points, box=box)


def nearest_prompted(book: PromptBook, object_id: ObjectId, frame: int) -> int | None:
    """Return the nearest other frame on which an object is prompted; of two, the earlier."""
    others = [f for f in book.frames(object_id) if f != frame]
    return min(others, key=lambda f: (abs(f - frame), f), default=None)


def _clipped(box: Box, height: int, width: int) -> Box | None:
    y0, x0 = max(box.y0, -0.5), max(box.x0, -0.5)
    y1, x1 = min(box.y1, height - 0.5), min(box.x1, width - 0.5)
    return Box(y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None
