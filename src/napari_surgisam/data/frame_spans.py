"""Sets of frames as ascending pieces: what several have together, and what is left of one."""

from __future__ import annotations

from collections.abc import Iterable


def unite(parts: Iterable[range]) -> tuple[range, ...]:
    """Return the frames of all parts as few pieces, ascending."""
    united: list[range] = []
    for part in sorted((p for p in parts if p), key=lambda p: p.start):
        if united and part.start <= united[-1].stop:
            united[-1] = range(united[-1].start, max(united[-1].stop, part.stop))
        else:
            united.append(part)
    return tuple(united)


def without(parts: Iterable[range], *frames: range) -> tuple[range, ...]:
    """Return what is left of ascending parts without some frames."""
    left = tuple(parts)
    for gone in frames:
        left = tuple(piece for part in left for piece in _cut(part, gone))
    return left


def shared(parts: Iterable[range], frames: range) -> tuple[range, ...]:
    """Return the frames of ascending parts that are among others, too."""
    both = (range(max(p.start, frames.start), min(p.stop, frames.stop)) for p in parts)
    return tuple(piece for piece in both if piece)


def _cut(part: range, frames: range) -> tuple[range, ...]:
    if not frames:
        return (part,)
    before = range(part.start, min(part.stop, frames.start))
    after = range(max(part.start, frames.stop), part.stop)
    return tuple(piece for piece in (before, after) if piece)
