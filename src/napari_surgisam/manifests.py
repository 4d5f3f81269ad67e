"""Many videos and volumes with prompts in files: a table of what to segment, and how."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from types import MappingProxyType

from napari_surgisam.data.windows import Window
from napari_surgisam.engine.settings import EngineSettings, loaded_tracker
from napari_surgisam.errors import DataError
from napari_surgisam.formats.label_files import remove

COLUMNS = ("source", "prompts", "out")
SEPARATOR = ";"


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A source, the files of its prompts, and where its labels go."""

    source: Path
    prompts: tuple[Path, ...]
    out: Path


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """A row with all that its masks depend on; it can be sent to another process.

    Parameters
    ----------
    row : ManifestRow
    settings : EngineSettings
    order : str, optional
        Of the plan; by default ``first-n`` for movies and ``outward`` for volumes.
    window : "auto" or (low, high)
    at : mapping of int to int
    overwrite : bool
    """

    row: ManifestRow
    settings: EngineSettings
    order: str | None = None
    window: Window = "auto"
    at: Mapping[int, int] = field(default_factory=dict)
    overwrite: bool = False


def read_manifest(path: Path) -> dict[str, ManifestRow]:
    """Read a table of what to segment.

    Parameters
    ----------
    path : Path
        CSV with the columns ``source``, ``prompts`` (several files are separated by ``;``)
        and ``out``. Paths are relative to the table's own folder.

    Returns
    -------
    dict of str to ManifestRow
        By output, as it is written in the table.

    Raises
    ------
    DataError
        If the table cannot be read, a cell is empty, or two rows have the same output.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            header, lines = tuple(table.fieldnames or ()), list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The manifest {path} cannot be read: {error}.") from error
    if not set(COLUMNS) <= set(header):
        raise DataError(
            f"{path} is no manifest: it needs the columns {', '.join(COLUMNS)}; found are "
            f"{', '.join(header) or 'none'}."
        )
    rows: dict[str, ManifestRow] = {}
    places: dict[Path, int] = {}
    for number, line in enumerate(lines, start=2):
        cells = {name: (line[name] or "").strip() for name in COLUMNS}
        if missing := [name for name, cell in cells.items() if not cell]:
            raise DataError(f"{path}, line {number}: {' and '.join(missing)} is missing.")
        out = path.parent / cells["out"]
        if out.resolve() in places:
            raise DataError(
                f"{path}, line {number}: line {places[out.resolve()]} writes to {out} too: give "
                "each its own output."
            )
        places[out.resolve()] = number
        prompts = [cell.strip() for cell in cells["prompts"].split(SEPARATOR) if cell.strip()]
        rows[cells["out"]] = ManifestRow(
            path.parent / cells["source"], tuple(path.parent / p for p in prompts), out
        )
    if not rows:
        raise DataError(f"The manifest {path} has no rows.")
    return rows


def segment_row(task: SegmentTask) -> Path:
    """Carry a row's prompts through its source and write the labels, whole or not at all.

    The folder of the labels is made where there is none.

    Returns
    -------
    Path
        Of the labels.

    Raises
    ------
    SurgisamError
        If anything cannot be read, computed or written.
    """
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.engine.plan import ORDERS, Order, Plan
    from napari_surgisam.engine.session import Session
    from napari_surgisam.formats.labels import create_labels
    from napari_surgisam.formats.sources import open_source
    from napari_surgisam.formats.tables import read_prompts

    row, at = task.row, dict(task.at)
    frames = open_source(row.source, window=task.window, at=at)
    book = read_prompts(row.prompts, frames, at=at)
    usual: Order = "first-n" if frames.temporal else "outward"
    order = next((known for known in ORDERS if known == task.order), usual)
    tracker = loaded_tracker(task.settings.of_worker())
    session = Session(frames, tracker, Annotation(book))
    row.out.parent.mkdir(parents=True, exist_ok=True)  # a manifest may name a folder per case
    with create_labels(row.out, frames, max(book.object_ids), task.overwrite) as writer:
        for event in session.propagate(Plan(order)):
            writer.write(event.frame, session.labels(event.frame))
    _remove_leftovers(row.out)
    damage = getattr(frames, "damage", "")
    if damage:
        raise DataError(f"{damage} Their labels are in {row.out}.")
    return row.out


def _remove_leftovers(out: Path) -> None:
    """Remove what killed processes left of an output that is complete by now."""
    for ending in ("partial", "tmp"):
        for path in out.parent.glob(f".{escape(out.name)}.{'[0-9a-f]' * 8}.{ending}"):
            if path.is_dir():
                remove(path)
            else:
                path.unlink(missing_ok=True)


def tasks_of(
    rows: Mapping[str, ManifestRow],
    settings: EngineSettings,
    *,
    order: str | None = None,
    window: Window = "auto",
    at: Mapping[int, int] = MappingProxyType({}),
    overwrite: bool = False,
) -> dict[str, SegmentTask]:
    """Return a task for each row whose output does not exist yet, or for all to overwrite.

    An output is moved into place when it is complete, so what exists is done.
    """
    return {
        name: SegmentTask(row, settings, order, window, dict(at), overwrite)
        for name, row in rows.items()
        if overwrite or not row.out.exists()
    }
