"""In which order frames are visited: decided before anything runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from itertools import pairwise
from typing import Literal, get_args

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.errors import PromptError

Order = Literal["outward", "first-n", "forward", "backward"]
ORDERS: tuple[Order, ...] = get_args(Order)


class Direction(IntEnum):
    """Which way a pass runs along the frames."""

    FORWARD = 1
    BACKWARD = -1


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a source, half-open like a Python slice: `Span(10, 20)` is frames 10 to 19.

    Parameters
    ----------
    start : int
        First frame; negative numbers count from the end.
    stop : int or None
        First frame after the span; None means the end of the source.
    """

    start: int = 0
    stop: int | None = None

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read a span written as ``A:B``, where either number may be left out.

        Raises
        ------
        PromptError
            If the text is anything else.
        """
        first, colon, last = text.partition(":")
        try:
            if not colon:
                raise ValueError
            return cls(int(first or 0), int(last) if last.strip() else None)
        except ValueError:
            raise PromptError(
                f"Cannot read the span {text!r}: write first:stop like a Python slice, for "
                "example 10:20 for frames 10 to 19, or 10: for all from frame 10."
            ) from None

    def frames(self, length: int) -> range:
        """Return the frames of a source of `length` frames that lie in the span; maybe none."""
        return range(*slice(self.start, self.stop).indices(length))


@dataclass(frozen=True, slots=True)
class Plan:
    """How the prompts are carried to the other frames.

    Parameters
    ----------
    order : {"outward", "first-n", "forward", "backward"}
        ``outward`` goes both ways from every prompted frame, and between two of them each
        frame is reached from the nearer one. ``forward`` and ``first-n`` make one pass from
        each object's first prompt to the end, ``backward`` one from its last prompt to the
        beginning; prompts on the way are conditioning frames.
    span : Span
        Frames that may be visited; prompts outside it still condition.

    References
    ----------
    ``outward`` and ``first-n`` are the 3D and the video pipeline of Yan et al., BioSAM-2,
    arXiv:2408.03286.
    """

    order: Order = "outward"
    span: Span = field(default_factory=Span)

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise PromptError(
                f"There is no plan {self.order!r}: choose one of {', '.join(ORDERS)}."
            )


@dataclass(frozen=True, slots=True)
class Step:
    """Objects to segment on one frame, in passes of one direction: they run as one batch."""

    frame: int
    direction: Direction
    object_ids: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive steps with the same objects; `frames` is in the order of the visit."""

    frames: range
    direction: Direction
    object_ids: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a propagation in order, made one by one: a long video costs no memory."""

    runs: tuple[Run, ...] = ()

    def __len__(self) -> int:
        return sum(len(run.frames) for run in self.runs)

    def after(self, count: int) -> Steps:
        """Return what is left when the first `count` steps are done."""
        left = []
        for run in self.runs:
            if count < len(run.frames):
                left.append(replace(run, frames=run.frames[max(count, 0) :]))
            count -= len(run.frames)
        return Steps(tuple(left))

    def __iter__(self) -> Iterator[Step]:
        for run in self.runs:
            for frame in run.frames:
                yield Step(frame, run.direction, run.object_ids)


def plan_propagation(plan: Plan, prompted: Mapping[ObjectId, Sequence[int]], length: int) -> Steps:
    """Decide which frames are visited, for which objects, in which direction and order.

    Prompted frames are not visited: their masks are the prompts' own. All forward steps come
    first, by ascending frame, then all backward ones, descending; objects that meet on a
    frame in the same direction share a step. Halfway between two prompted frames the
    earlier one wins.

    Parameters
    ----------
    plan : Plan
    prompted : mapping of ObjectId to sequence of int
        Frames that condition each object, in any order.
    length : int
        Number of frames in the source.

    Returns
    -------
    Steps
        Empty where every frame of the span is prompted.

    Raises
    ------
    PromptError
        If the span holds no frame, or an object has no prompted frame.
    """
    span = plan.span.frames(length)
    if not span:
        raise PromptError(
            f"The span {plan.span.start}:{'' if plan.span.stop is None else plan.span.stop} holds "
            f"no frame of the source, which has frames 0 to {length - 1}. Widen the span."
        )
    visits: dict[Direction, dict[ObjectId, list[tuple[int, int]]]] = defaultdict(dict)
    for object_id, frames in sorted(prompted.items()):
        if not frames:
            raise PromptError(
                f"Object {object_id} has no prompt to start from: click on it, or draw a box."
            )
        for direction, gaps in _gaps(plan.order, sorted(set(frames)), length).items():
            clipped = [(max(a, span.start), min(b, span.stop)) for a, b in gaps]
            visits[direction][object_id] = [(a, b) for a, b in clipped if a < b]
    forward = _merge(visits[Direction.FORWARD], Direction.FORWARD)
    backward = _merge(visits[Direction.BACKWARD], Direction.BACKWARD)
    return Steps((*forward, *backward))


def _gaps(
    order: Order, prompted: list[int], length: int
) -> dict[Direction, Iterable[tuple[int, int]]]:
    """Return the half-open gaps that each direction covers, ascending."""
    after = [(a + 1, b) for a, b in pairwise([*prompted, length])]
    before = [(a + 1, b) for a, b in pairwise([-1, *prompted])]
    if order == "backward":
        return {Direction.BACKWARD: before}
    if order != "outward":
        return {Direction.FORWARD: after}
    middles = [(a + b) // 2 + 1 for a, b in pairwise(prompted)]
    return {
        Direction.FORWARD: [(a, b) for (a, _), b in zip(after, [*middles, length], strict=True)],
        Direction.BACKWARD: [(a, b) for a, (_, b) in zip([0, *middles], before, strict=True)],
    }


def _merge(visits: Mapping[ObjectId, Iterable[tuple[int, int]]], direction: Direction) -> list[Run]:
    """Cut the objects' gaps where the set of objects changes, in the order of the visit."""
    entering: dict[int, set[ObjectId]] = defaultdict(set)
    leaving: dict[int, set[ObjectId]] = defaultdict(set)
    for object_id, gaps in visits.items():
        for start, stop in gaps:
            entering[start].add(object_id)
            leaving[stop].add(object_id)
    present: set[ObjectId] = set()
    runs = []
    for start, stop in pairwise(sorted({*entering, *leaving})):
        present = (present - leaving[start]) | entering[start]
        if present:
            runs.append(Run(range(start, stop)[::direction], direction, tuple(sorted(present))))
    return runs[::direction]
