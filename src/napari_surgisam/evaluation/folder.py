"""The folder of an evaluation: results case by case, so that a stopped run goes on."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import Any

from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.jobs import CaseResult
from napari_surgisam.evaluation.rows import CaseScores, CurveRow, FrameRow, ScoreRow

ARGUMENTS, CASES = "arguments.json", "cases"
SCORES, FRAMES, CURVES = "scores.csv", "frames.csv", "curves.csv"
SUMMARY, REPORT = "summary.json", "report.html"

_KEYS = ("case", "object", "class")

Arguments = Mapping[str, Any]


class ReportFolder:
    """Where an evaluation keeps its results.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(
        self,
        arguments: Arguments,
        *,
        states: Mapping[str, str] | None = None,
        overwrite: bool = False,
    ) -> dict[str, CaseResult]:
        """Make the folder, or take up what an earlier run with the same arguments has left.

        Parameters
        ----------
        arguments : mapping
            All that decides the scores, as JSON takes it.
        states : mapping of str to str, optional
            State of the files of each case, by name: what was made from another state is not
            taken up. By default nobody asks.
        overwrite : bool
            Whether results of other arguments may be thrown away.

        Returns
        -------
        dict of str to CaseResult
            The cases that are done.

        Raises
        ------
        DataError
            If the folder holds another evaluation, or anything else, or cannot be written.
        """
        text = json.dumps(arguments, indent=1, sort_keys=True)
        known = self.path / ARGUMENTS
        try:
            if self.path.exists() and not known.exists() and any(self.path.iterdir()):
                raise DataError(
                    f"{self.path} holds other files than an evaluation: choose another folder."
                )
            if known.exists() and known.read_text(encoding="utf-8") != text:
                if not overwrite:
                    raise DataError(
                        f"{self.path} holds an evaluation with other arguments "
                        f"({_changes(known, arguments)}): choose another folder, or replace it "
                        "with --overwrite."
                    )
                for file in (self.path / CASES).glob("*"):
                    file.unlink()
            (self.path / CASES).mkdir(parents=True, exist_ok=True)
            _write(known, text.encode())
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error}.") from error
        return {
            result.case: result
            for result, state in self._results()
            if states is None or states.get(result.case) == state
        }

    def keep(self, result: CaseResult, state: str = "") -> None:
        """Keep the result of a case, whole or not at all, with the state of the case's files.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        facts = asdict(result) | {"state": state}
        del facts["picture"]
        stem = self.path / CASES / _file_name(result.case)
        try:
            _write(stem.with_suffix(".jpg"), result.picture)
            _write(stem.with_suffix(".json"), json.dumps(facts).encode())
        except OSError as error:
            raise DataError(f"{self.path} cannot be written: {error}.") from error

    def write_tables(self, results: Sequence[CaseResult]) -> None:
        """Write ``scores.csv``, ``frames.csv`` and, of interactive protocols, ``curves.csv``.

        Raises
        ------
        DataError
            If they cannot be written.
        """
        rows = [row for result in results for row in result.scores.rows]
        frames = [row for result in results for row in result.scores.frames]
        curve = [row for result in results for row in result.scores.curve]
        write_score_tables(self.path / SCORES, self.path / FRAMES, rows, frames)
        if curve:
            write_table(
                self.path / CURVES,
                (*_KEYS, "frame", "step", "iou"),
                (
                    (*_keys(row), "" if row.frame < 0 else row.frame, row.step, repr(row.iou))
                    for row in curve
                ),
            )

    def write(self, name: str, text: str) -> None:
        """Write another file of the report, whole or not at all.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        try:
            _write(self.path / name, text.encode())
        except OSError as error:
            raise DataError(f"{self.path / name} cannot be written: {error}.") from error

    def _results(self) -> Iterable[tuple[CaseResult, str]]:
        for file in sorted((self.path / CASES).glob("*.json")):
            try:
                facts = json.loads(file.read_text(encoding="utf-8"))
                state = str(facts.pop("state", ""))
                yield _result(facts, file.with_suffix(".jpg").read_bytes()), state
            except (OSError, ValueError, KeyError, TypeError):
                continue  # cut off when its run was: it is evaluated again


def read_report(path: Path) -> tuple[dict[str, Any], list[ScoreRow]]:
    """Read the summary and the scores of a finished evaluation.

    Raises
    ------
    DataError
        If the folder holds none.
    """
    try:
        summary = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
        with (path / SCORES).open(encoding="utf-8", newline="") as file:
            rows = [
                ScoreRow(
                    row.pop("case"),
                    int(row.pop("object") or 0),
                    row.pop("class"),
                    {name: float(value) for name, value in row.items() if value},
                )
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} is no finished evaluation: {SUMMARY} and {SCORES} are needed ({error})."
        ) from error
    return summary, rows


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.partial")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(header)
            table.writerows(rows)
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}.") from error
    finally:
        part.unlink(missing_ok=True)


def write_score_tables(
    scores: Path, frames: Path, rows: Sequence[ScoreRow], frame_rows: Sequence[FrameRow]
) -> None:
    """Write the figures of objects, classes and cases, and those of frames, as CSV.

    Raises
    ------
    DataError
        If a file cannot be written.
    """
    names = list(dict.fromkeys(n for row in rows for n in row.figures))
    write_table(
        scores, (*_KEYS, *names), ((*_keys(row), *_values(row.figures, names)) for row in rows)
    )
    names = list(dict.fromkeys(n for row in frame_rows for n in row.figures))
    write_table(
        frames,
        (*_KEYS, "frame", *names),
        ((*_keys(row), row.frame, *_values(row.figures, names)) for row in frame_rows),
    )


def _keys(row: ScoreRow | FrameRow | CurveRow) -> tuple[str, str, str]:
    return row.case, str(row.object_id or ""), row.class_name


def _values(figures: Mapping[str, float], names: Iterable[str]) -> list[str]:
    """Write numbers so that they can be read back to the last digit; empty where unknown."""
    values = [figures.get(name) for name in names]
    return [
        "" if v is None or isnan(v) else repr(int(v) if float(v).is_integer() else v)
        for v in values
    ]


def _result(facts: dict[str, Any], picture: bytes) -> CaseResult:
    scores = facts.pop("scores")
    return CaseResult(
        scores=CaseScores(
            tuple(ScoreRow(**row) for row in scores["rows"]),
            tuple(FrameRow(**row) for row in scores["frames"]),
            tuple(CurveRow(**row) for row in scores["curve"]),
        ),
        picture=picture,
        **facts,
    )


def _file_name(case: str) -> str:
    """Return a name that any file system takes, unlike that of any other case."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", case)[:60]
    return f"{safe}-{hashlib.sha256(case.encode()).hexdigest()[:8]}"


def _changes(known: Path, arguments: Arguments) -> str:
    try:
        before = json.loads(known.read_text(encoding="utf-8"))
    except ValueError:
        return "unreadable"
    names = [n for n in {**before, **arguments} if before.get(n) != arguments.get(n)]
    return ", ".join(f"{n}: {before.get(n)!r}, now {arguments.get(n)!r}" for n in sorted(names))


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.partial")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
