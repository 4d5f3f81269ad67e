"""Prompts as the CSV files that napari writes for Points and Shapes layers.

Points: `index,axis-0,axis-1,axis-2` with the columns `object_id`, `polarity` (positive or
negative) and `mask_size` (auto, small, medium or large). Boxes:
`index,shape-type,vertex-index,axis-0,...` with `object_id` on each row. Each column may be
missing: the object is then 1, the polarity positive, the mask's size auto.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import (
    Box,
    ObjectId,
    Point,
    Prompt,
    PromptBook,
    check_prompt,
)
from napari_surgisam.errors import DataError, PromptError
from napari_surgisam.formats.csv_tables import Row, Table, read_table, write_table

_AXIS = re.compile(r"axis-(\d+)")
_MEANT = {
    "objectid": "object_id",
    "object": "object_id",
    "polarity": "polarity",
    "masksize": "mask_size",
}


def read_prompts(
    paths: Sequence[str | Path], frames: FrameSource, *, at: Mapping[int, int] | None = None
) -> PromptBook:
    """Read points and boxes from files, merged into one book.

    Parameters
    ----------
    paths : sequence of path
        Points and shapes CSV in any order; the header tells which is which. Points of one
        object on one frame go together, in the order of files and rows; the first one's mask
        size is the prompt's.
    frames : FrameSource
        What the prompts belong to. Its `axis` says which column is the frame; that column is
        rounded to the nearest whole number (halves upwards), because clicks belong to the
        frame that napari's slider showed.
    at : mapping of int to int, optional
        As for `open_source`: of a file with more than three axes, the rows at these indices.

    Returns
    -------
    PromptBook
        Never empty.

    Raises
    ------
    PromptError
        If there are no prompts, or one of them cannot be used; names file and row.
    DataError
        If a file is missing or no table of prompts.
    """
    book = PromptBook()
    for path in map(Path, paths):
        table = read_table(path)
        columns = _Columns.of(table, frames, dict(at or {}))
        if "shape-type" in table.header:
            for prompt in _boxes(table, columns, book, frames):
                book = book.with_prompt(prompt)
        else:
            for row in table.rows:
                book = _with_point(book, row, columns, frames)
    if not len(book):
        names = ", ".join(str(path) for path in paths) or "no file given"
        raise PromptError(
            f"There are no prompts ({names}): give at least one row with a point or a box"
            f"{f' at {dict(at)}' if at else ''}."
        )
    return book


def write_points(path: str | Path, book: PromptBook, *, axis: int = 0, ndim: int = 3) -> None:
    """Write all points of a book as napari's points CSV.

    Parameters
    ----------
    path : path
        Replaced if it exists. Boxes and masks are not written here. The column `mask_size` is
        there where a prompt has one.
    book : PromptBook
    axis, ndim : int
        Of the source: which column the frame goes to; 2 axes leave it out.
    """
    rows: list[list[object]] = []
    prompts = [prompt for prompt in book if isinstance(prompt, Prompt)]
    sized = any(prompt.points and prompt.mask_size != "auto" for prompt in prompts)
    for prompt in prompts:
        size = [prompt.mask_size] if sized else []
        for point in prompt.points:
            place = _place(prompt.frame, point.y, point.x, axis, ndim)
            polarity = "positive" if point.positive else "negative"
            rows.append([len(rows), *place, prompt.object_id, polarity, *size])
    header = ["index", *(f"axis-{k}" for k in range(ndim)), "object_id", "polarity"]
    write_table(Path(path), [*header, "mask_size"] if sized else header, rows)


def write_boxes(path: str | Path, book: PromptBook, *, axis: int = 0, ndim: int = 3) -> None:
    """Write all boxes of a book as napari's shapes CSV; see `write_points`."""
    rows: list[list[object]] = []
    boxes = [(p, p.box) for p in book if isinstance(p, Prompt) and p.box is not None]
    for index, (prompt, box) in enumerate(boxes):
        corners = ((box.y0, box.x0), (box.y0, box.x1), (box.y1, box.x1), (box.y1, box.x0))
        for vertex, (y, x) in enumerate(corners):
            place = _place(prompt.frame, y, x, axis, ndim)
            rows.append([index, "rectangle", vertex, *place, prompt.object_id])
    axes = [f"axis-{k}" for k in range(ndim)]
    write_table(Path(path), ["index", "shape-type", "vertex-index", *axes, "object_id"], rows)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns are the frame, y and x, and which rows belong to the source."""

    frame: str | None
    y: str
    x: str
    fixed: Mapping[str, int]

    @classmethod
    def of(cls, table: Table, frames: FrameSource, at: dict[int, int]) -> _Columns:
        names = sorted((c for c in table.header if _AXIS.fullmatch(c)), key=lambda c: int(c[5:]))
        if len(names) < 2 or names != [f"axis-{k}" for k in range(len(names))]:
            raise DataError(
                f"{table.path} is no table of prompts: its header is "
                f"{','.join(table.header)!r}, but napari's has index,axis-0,axis-1,axis-2 (points) "
                "or index,shape-type,vertex-index,axis-0,axis-1,axis-2 (shapes)."
            )
        for name in table.header:
            meant = _MEANT.get(re.sub("[^a-z]", "", name.lower()))
            if meant is not None and meant not in table.header:
                raise DataError(
                    f"{table.path} has a column {name!r}: call it {meant}, or its values would "
                    "not count."
                )
        # A table of the axes that `at` leaves needs no picking.
        picked = at if len(names) > frames.ndim else {}
        fixed = {f"axis-{axis}": index for axis, index in picked.items()}
        left = [name for name in names if name not in fixed]
        while len(left) > 3 and all(row.number(left[0]) == 0 for row in table.rows):
            left = left[1:]
        if len(left) > 3 or len(left) < 2:
            raise DataError(
                f"{table.path} has coordinates along {len(names)} axes, of which "
                f"{len(left)} are left: fix the others as for the image, for example --at 0=0."
            )
        if len(left) == 2:
            if len(frames) > 1:
                raise DataError(
                    f"{table.path} has only {' and '.join(left)}, but the source has "
                    f"{len(frames)} frames: add a column that says on which frame each prompt is."
                )
            return cls(None, left[0], left[1], fixed)
        frame = left[frames.axis]
        y, x = (name for name in left if name != frame)
        return cls(frame, y, x, fixed)

    def selects(self, row: Row) -> bool:
        return all(_whole(row.number(column)) == index for column, index in self.fixed.items())

    def place(self, row: Row) -> tuple[int, float, float]:
        frame = 0 if self.frame is None else _whole(row.number(self.frame))
        return frame, row.number(self.y), row.number(self.x)


def _with_point(book: PromptBook, row: Row, columns: _Columns, frames: FrameSource) -> PromptBook:
    if not columns.selects(row) or row.is_proposal():
        return book
    frame, y, x = columns.place(row)
    point, object_id = Point(y, x, row.positive()), row.object_id()
    try:
        single = Prompt(object_id, frame, (point,), mask_size=row.mask_size())
        _check(single, frames)
    except PromptError as error:
        raise PromptError(f"{row.where}: {error}") from error
    known = book.get(object_id, frame)
    if not isinstance(known, Prompt):
        return book.with_prompt(single)
    if not known.points:  # a box alone: its first point says which size
        known = replace(known, mask_size=single.mask_size)
    return book.with_prompt(known.with_point(point))


def _check(prompt: Prompt, frames: FrameSource) -> None:
    damage = getattr(frames, "damage", "")
    if damage and prompt.frame >= len(frames):
        raise PromptError(
            f"Object {prompt.object_id} has a prompt on frame {prompt.frame}, but {damage}"
        )
    check_prompt(prompt, len(frames), *frames.shape)


def _boxes(
    table: Table, columns: _Columns, book: PromptBook, frames: FrameSource
) -> Iterator[Prompt]:
    shapes: dict[str, list[Row]] = {}
    for row in table.rows:
        shapes.setdefault(row.values.get("index", ""), []).append(row)
    seen: dict[tuple[ObjectId, int], Row] = {}
    for rows in shapes.values():
        first = rows[0]
        kind = first.values["shape-type"]
        if kind != "rectangle":
            raise PromptError(
                f"{first.where}: a shape of type {kind!r} cannot be a prompt, only rectangles "
                "can. Delete it, or draw a rectangle around the object."
            )
        if not columns.selects(first):
            continue
        places = [columns.place(row) for row in rows]
        found = {frame for frame, _, _ in places}, {row.object_id() for row in rows}
        if len(found[0]) > 1 or len(found[1]) > 1:
            raise PromptError(
                f"{first.where}: the corners of one rectangle lie on the frames "
                f"{sorted(found[0])} and belong to the objects {sorted(found[1])}; they must "
                "share both."
            )
        (frame,), (object_id,) = found
        known = book.get(object_id, frame)
        key = (object_id, frame)
        if key in seen or (isinstance(known, Prompt) and known.box is not None):
            raise PromptError(
                f"{first.where}: object {object_id} has a second box on frame {frame}; keep one, "
                "or give the other another object_id."
            )
        seen[key] = first
        ys, xs = [y for _, y, _ in places], [x for _, _, x in places]
        box = Box(min(ys), min(xs), max(ys), max(xs))
        try:
            alone = Prompt(object_id, frame, box=box)
            _check(alone, frames)
        except PromptError as error:
            raise PromptError(f"{first.where}: {error}") from error
        yield replace(known, box=box) if isinstance(known, Prompt) else alone


def _place(frame: int, y: float, x: float, axis: int, ndim: int) -> list[float]:
    place = [y, x]
    if ndim == 3:
        place.insert(axis, float(frame))
    return place


def _whole(value: float) -> int:
    return floor(value + 0.5)
