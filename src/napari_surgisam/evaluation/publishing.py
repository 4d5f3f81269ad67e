"""The end of an evaluation: tables, a summary for machines, a report for people."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from napari_surgisam.evaluation.folder import REPORT, SUMMARY, Arguments, ReportFolder
from napari_surgisam.evaluation.jobs import CaseResult
from napari_surgisam.evaluation.report import report_html
from napari_surgisam.evaluation.summary import (
    LEVEL,
    RESAMPLES,
    dice_of_masks,
    plain,
    summarise,
    summarise_classes,
)
from napari_surgisam.metrics.classes import weighted_mean_dice

PACKAGES = (
    "napari-surgisam",
    "torch",
    "sam2",
    "numpy",
    "scipy",
    "scikit-image",
    "surface-distance",
)


def publish(
    folder: ReportFolder,
    arguments: Arguments,
    results: Sequence[CaseResult],
    failures: Mapping[str, str],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Write the tables, ``summary.json`` and ``report.html``.

    Parameters
    ----------
    folder : ReportFolder
    arguments : mapping
        With which the evaluation was run.
    results : sequence of CaseResult
        In any order: they are written by name, so that files of equal runs are equal.
    failures : mapping of str to str
        Why a case could not be evaluated.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    DataError
        If a file cannot be written.
    """
    results = sorted(results, key=lambda result: result.case)
    folder.write_tables(results)
    rows = [row for result in results for row in result.scores.rows]
    frames = [row for result in results for row in result.scores.frames]
    objects = [row for row in rows if row.object_id]
    whole = [row for row in rows if not row.object_id and not row.class_name]
    weighted = weighted_mean_dice(dice_of_masks(frames))
    summary: dict[str, Any] = plain(
        {
            "arguments": dict(arguments),
            "cases": len(results),
            "objects": len(objects),
            "failures": dict(failures),
            "figures": {**summarise(objects, seed=seed), **summarise(whole, seed=seed)},
            "bootstrap": {"over": "cases", "resamples": RESAMPLES, "level": LEVEL, "seed": seed},
            "cases_by_unit": {
                unit: sum(any(name in r.figures for r in result.scores.rows) for result in results)
                for unit, name in (("mm", "hd95"), ("px", "hd95_px"))
            },
            "wmdc": weighted.wmdc,
            "masks": sum(weighted.class_counts.values()),
            "classes": summarise_classes(rows, frames, seed=seed),
            "times": {
                "segmenting_seconds": sum(result.segmenting_seconds for result in results),
                "scoring_seconds": sum(result.scoring_seconds for result in results),
                "by_case": {
                    result.case: {
                        "segmenting_seconds": round(result.segmenting_seconds, 3),
                        "scoring_seconds": round(result.scoring_seconds, 3),
                    }
                    for result in results
                },
            },
            "peak_bytes": max((result.peak_bytes for result in results), default=0),
            "computed_on": dict(Counter(result.computed_on for result in results)),
            "versions": {name: _version(name) for name in PACKAGES},
            "machine": describe_machine(),
        }
    )
    folder.write(SUMMARY, json.dumps(summary, indent=1, allow_nan=False))
    folder.write(REPORT, report_html(summary, results))
    return summary


def describe_machine() -> str:
    """Return system, processor and GPU in a line."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs{gpu}, "
        f"Python {platform.python_version()}"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
