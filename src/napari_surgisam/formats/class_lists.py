"""Lists of classes in files, which are tables of classes (`class_tables`) with more columns."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_surgisam.data.classes import COLOURS, RGB, ClassList, ObjectClass
from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import ClassTable, read_class_table

COLUMNS = ("label", "class", "colour", "overlap", "priority")

_HEX = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")


def read_class_list(path: Path) -> ClassList:
    """Read classes with their colours and rules, as far as a file says them.

    Parameters
    ----------
    path : Path
        As for `read_class_table`. A CSV file may have the columns ``colour`` (#rrggbb),
        ``overlap`` (surest or first) and ``priority`` (a whole number), too, and so may the
        entries of a list ``classes`` in a JSON file. Of a class that has several labels, the
        first counts.

    Raises
    ------
    DataError
        If the file is missing or no such table, or a value is none.
    """
    table = read_class_table(path)
    details = _details_of_json(path) if path.suffix.lower() == ".json" else _details_of_csv(path)
    known = ClassList()
    for (_, label), name in table.entries.items():
        if label > 0 and name not in known:
            known = known.joined([_class_of(name, label, details.get(name, {}), path)])
    return known


def write_class_list(path: Path, classes: ClassList) -> None:
    """Write classes as CSV, or where the path ends with .json as nnU-Net names labels, and more.

    Raises
    ------
    DataError
        If the file has another ending or cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".json"):
        raise DataError(f"{path} is no name for a list of classes: let it end with .csv or .json.")
    try:
        if ending == ".json":
            labels = {"background": 0} | {known.name: known.label for known in classes}
            entries = [dict(zip(COLUMNS, _row(known), strict=True)) for known in classes]
            text = json.dumps({"labels": labels, "classes": entries}, indent=1, ensure_ascii=False)
            path.write_text(f"{text}\n", encoding="utf-8")
            return
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            rows.writerows(_row(known) for known in classes)
    except OSError as error:
        raise DataError(f"The list of classes {path} cannot be written: {error}.") from error


def classes_by_object(names: Mapping[int, str], known: ClassList) -> dict[int, ObjectClass]:
    """Return the classes of objects that are called by them; a class that is missing is made.

    Parameters
    ----------
    names : mapping of int to str
        The class of each object.
    known : ClassList
    """
    for label, name in names.items():
        if name not in known:
            free = all(label != other.label for other in known)
            made = ObjectClass(name, label, _colour_for(label)) if free else known.new(name)
            known = known.joined([made])
    found = {k: known.get(name) for k, name in names.items()}
    return {k: kind for k, kind in found.items() if kind is not None}


def classes_of_table(table: ClassTable) -> dict[int, str]:
    """Return the class of each label that a table names for every case, else for any."""
    entries = sorted(table.entries.items(), key=lambda entry: bool(entry[0][0]))
    named: dict[int, str] = {}
    for (_, label), name in entries:
        named.setdefault(label, name)
    return named


def hex_colour(colour: RGB) -> str:
    """Return a colour as #rrggbb."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _row(known: ObjectClass) -> tuple[Any, ...]:
    return known.label, known.name, hex_colour(known.colour), known.overlap, known.priority


def _class_of(name: str, label: int, details: Mapping[str, Any], path: Path) -> ObjectClass:
    colour, written = _colour_for(label), str(details.get("colour") or "")
    if written:
        match = _HEX.fullmatch(written.strip())
        if match is None:
            raise DataError(
                f"{path}: the colour {written!r} of the class {name} is none: write #rrggbb."
            )
        red, green, blue = (int(part, 16) for part in match.groups())
        colour = (red, green, blue)
    try:
        priority = int(details.get("priority") or 0)
    except (TypeError, ValueError):
        raise DataError(
            f"{path}: the priority {details['priority']!r} of the class {name} is not a whole "
            "number."
        ) from None
    try:
        return ObjectClass(name, label, colour, details.get("overlap") or "surest", priority)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _colour_for(label: int) -> RGB:
    return COLOURS[(label - 1) % len(COLOURS)]


def _details_of_csv(path: Path) -> dict[str, Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _by_name(csv.DictReader(file))


def _details_of_json(path: Path) -> dict[str, Mapping[str, Any]]:
    facts = json.loads(path.read_text(encoding="utf-8"))
    entries = facts.get("classes") if isinstance(facts, dict) else None
    listed = entries if isinstance(entries, list) else []
    return _by_name(entry for entry in listed if isinstance(entry, dict))


def _by_name(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    details: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        details.setdefault(str(row.get("class")), row)
    return details
