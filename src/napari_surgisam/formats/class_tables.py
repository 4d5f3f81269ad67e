"""Which class each label of a dataset belongs to."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from napari_surgisam.errors import DataError

CLASS_TABLE = "classes.csv"
COLUMNS = ("case", "label", "class")

Entry = tuple[str, int]
"""A case, or "" for all of them, and a label in it."""


@dataclass(frozen=True, slots=True)
class ClassTable:
    """The class of each label; a value.

    Parameters
    ----------
    entries : mapping of (case, label) to str
        The case "" stands for every case that has no entry of its own.
    """

    entries: Mapping[Entry, str] = field(default_factory=lambda: MappingProxyType({}))

    def name(self, case: str, label: int) -> str:
        """Return the class of a label of a case; the number itself where none is given."""
        found = self.entries.get((case, label)) or self.entries.get(("", label))
        return found or str(label)

    def names(self, case: str, labels: Iterable[int]) -> list[str]:
        """Return the classes of some labels, each once: those of the table in its order."""
        present = {self.name(case, label): None for label in labels}
        known = [name for name in dict.fromkeys(self.entries.values()) if name in present]
        return [*known, *(name for name in present if name not in known)]


def read_class_table(path: Path) -> ClassTable:
    """Read a table of classes.

    Parameters
    ----------
    path : Path
        A CSV file with the columns ``label`` and ``class``, and perhaps ``case``; or
        nnU-Net's ``dataset.json``.

    Raises
    ------
    DataError
        If the file is missing or no such table.
    """
    try:
        if path.suffix.lower() == ".json":
            return _from_nnunet(json.loads(path.read_text(encoding="utf-8")), path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
            header = () if not rows else tuple(rows[0])
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"The table of classes {path} cannot be read: {error}.") from error
    if not {"label", "class"} <= set(header):
        raise DataError(
            f"{path} is no table of classes: the columns label and class are needed, and case "
            f"may be there; found are {', '.join(filter(None, header)) or 'none'}."
        )
    entries: dict[Entry, str] = {}
    for line, row in enumerate(rows, start=2):
        try:
            entries[row.get("case") or "", int(row["label"])] = str(row["class"])
        except (TypeError, ValueError):
            raise DataError(
                f"{path}, line {line}: the label {row['label']!r} is not a whole number."
            ) from None
    return ClassTable(MappingProxyType(entries))


def write_class_table(path: Path, table: ClassTable) -> None:
    """Write a table of classes as CSV; without the column ``case`` where all entries are general.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    columns = COLUMNS if any(case for case, _ in table.entries) else COLUMNS[1:]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(columns)
            for (case, label), name in table.entries.items():
                rows.writerow((case, label, name)[-len(columns) :])
    except OSError as error:
        raise DataError(f"The table of classes {path} cannot be written: {error}.") from error


def _from_nnunet(facts: Mapping[str, object], path: Path) -> ClassTable:
    """Read nnU-Net's labels: version 2 gives numbers by name, version 1 names by number."""
    labels = facts.get("labels")
    if not isinstance(labels, Mapping):
        raise DataError(f"{path} names no labels: nnU-Net's dataset.json has an entry 'labels'.")
    entries: dict[Entry, str] = {}
    for key, value in labels.items():
        numbers = value if isinstance(value, list) else [value]  # a region is a list of labels
        if all(isinstance(n, int) for n in numbers):
            if len(numbers) == 1 and numbers[0] > 0:
                entries["", numbers[0]] = str(key)
        elif str(key).isdigit() and int(key) > 0:
            entries["", int(key)] = str(value)
    return ClassTable(MappingProxyType(entries))
