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


Pass = tuple[ObjectId, Direction]
"""One object's way through the frames in one direction."""


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

    def without(self, object_id: ObjectId, direction: Direction, frames: range) -> Steps:
        """Return what is left when an object needs no visit on ascending `frames`."""
        left = []
        for run in self.runs:
            if run.direction != direction or object_id not in run.object_ids:
                left.append(run)
                continue
            others = tuple(k for k in run.object_ids if k != object_id)
            ascending = run.frames[::direction]
            start = min(max(frames.start, ascending.start), ascending.stop)
            stop = max(min(frames.stop, ascending.stop), start)
            pieces = [
                Run(range(a, b)[::direction], direction, object_ids)
                for a, b, object_ids in (
                    (ascending.start, start, run.object_ids),
                    (start, stop, others),
                    (stop, ascending.stop, run.object_ids),
                )
                if a < b and object_ids
            ]
            left += pieces[::direction]
        return Steps(tuple(left))

    def until_jump(
        self, latest: Mapping[Pass, int], prompted: Mapping[ObjectId, Sequence[int]]
    ) -> tuple[Steps, frozenset[Pass]]:
        """Return the first steps, up to where an object skips frames that are not prompted.

        Parameters
        ----------
        latest : mapping of (ObjectId, Direction) to int
            The frame that each pass visited last, where it has visited any.
        prompted : mapping of ObjectId to sequence of int

        Returns
        -------
        steps : Steps
        jumped : frozenset of (ObjectId, Direction)
            Passes that skip frames before the first of these steps.
        """
        seen, jumped = dict(latest), frozenset[Pass]()
        for number, run in enumerate(self.runs):
            passes = [(k, run.direction) for k in run.object_ids]
            skipping = frozenset(
                (k, way)
                for k, way in passes
                if (k, way) in seen
                and any(f not in prompted[k] for f in range(seen[k, way] + way, run.frames[0], way))
            )
            if skipping and number:
                return Steps(self.runs[:number]), jumped
            jumped = jumped | skipping
            seen.update(dict.fromkeys(passes, run.frames[-1]))
        return self, jumped

    def __iter__(self) -> Iterator[Step]:
        for run in self.runs:
            for frame in run.frames:
                yield Step(frame, run.direction, run.object_ids)


def plan_propagation(
    plan: Plan,
    prompted: Mapping[ObjectId, Sequence[int]],
    length: int,
    within: Mapping[ObjectId, Sequence[range]] | None = None,
) -> Steps:
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
    within : mapping of ObjectId to sequence of range, optional
        The only frames that are visited for each object, ascending; all by default.

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
            wanted = [span] if within is None else [_both(span, r) for r in within[object_id]]
            visits[direction][object_id] = list(_overlaps(sorted(gaps), wanted))
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


def _both(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))


def _overlaps(
    gaps: Sequence[tuple[int, int]], wanted: Sequence[range]
) -> Iterator[tuple[int, int]]:
    """Yield what half-open gaps share with wanted frames; both ascend."""
    number = 0
    for start, stop in gaps:
        while number < len(wanted) and wanted[number].stop <= start:
            number += 1
        for part in wanted[number:]:
            if part.start >= stop:
                break
            if shared := _both(range(start, stop), part):
                yield shared.start, shared.stop


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
