"""Tables of prompts as CSV: rows that know where they stand, read and written."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from napari_surgisam.data.prompts import MASK_SIZES, MAX_OBJECT_ID, MaskSize, ObjectId
from napari_surgisam.errors import DataError, PromptError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table of prompts, which knows where it stands."""

    path: Path
    line: int
    values: Mapping[str, str]

    @property
    def where(self) -> str:
        """File and row, for messages."""
        return f"{self.path}, row {self.line}"

    def number(self, column: str) -> float:
        """Return a finite number."""
        text = self.values[column]
        try:
            value = float(text)
        except ValueError:
            raise PromptError(f"{self.where}: {column} is {text!r}, not a number.") from None
        if not isfinite(value):
            raise PromptError(
                f"{self.where}: {column} is {text}; coordinates must be finite numbers. "
                "Delete or correct that row."
            )
        return value

    def object_id(self) -> ObjectId:
        """Return the object, 1 where the table has no such column."""
        text = self.values.get("object_id", "1")
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not isfinite(value) or value != int(value) or not 1 <= value <= MAX_OBJECT_ID:
            raise PromptError(
                f"{self.where}: object_id is {text!r}; it must be a whole number from 1 to "
                f"{MAX_OBJECT_ID} (0 is the background label)."
            )
        return ObjectId(int(value))

    def positive(self) -> bool:
        """Return the polarity, positive where the table has no such column."""
        text = self.values.get("polarity", "positive")
        if text.lower() not in ("positive", "negative"):
            raise PromptError(
                f"{self.where}: polarity is {text!r}; it must be positive or negative."
            )
        return text.lower() == "positive"

    def is_proposal(self) -> bool:
        """Whether a search of the widget proposed the point, and nobody confirmed it."""
        return self.values.get("polarity", "").lower() == "proposed"

    def mask_size(self) -> MaskSize:
        """Return which mask the point means where it is a single click."""
        text = self.values.get("mask_size", "") or "auto"
        for size in MASK_SIZES:
            if text.lower() == size:
                return size
        raise PromptError(
            f"{self.where}: mask_size is {text!r}; it must be one of {', '.join(MASK_SIZES)}."
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A header, and the rows below it."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path) -> Table:
    """Read a CSV file whose first line is its header; empty lines are left out.

    Raises
    ------
    DataError
        If it is missing, unreadable, or a row has another number of cells than the header.
    PromptError
        If it is empty.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = tuple(name.strip() for name in next(lines, ()))
            rows = []
            for cells in lines:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, row {lines.line_num}: {len(cells)} values, but the header "
                        f"has {len(header)} columns."
                    )
                values = {n: c.strip() for n, c in zip(header, cells, strict=True)}
                rows.append(Row(path, lines.line_num, values))
    except FileNotFoundError as error:
        raise DataError(f"The prompts {path} do not exist. Check the spelling.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}.") from error
    if not header:
        raise PromptError(f"There are no prompts in {path}: the file is empty.")
    return Table(path, header, tuple(rows))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file; a `DataError` says why that is impossible."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)
    except OSError as error:
        raise DataError(f"The prompts cannot be written to {path}: {error}.") from error
