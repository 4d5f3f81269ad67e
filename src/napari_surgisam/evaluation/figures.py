"""Curves and distributions as SVG, ready to stand in a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import numpy as np

from napari_surgisam.evaluation.jobs import CaseResult
from napari_surgisam.evaluation.rows import CurveRow

BLUE, GREY, ORANGE = "#0072b2", "#8a8a8a", "#d55e00"
_SHARES = ("dsc", "nsd", "iou", "j", "f", "j_and_f")
"""Figures in [0, 1] that are shown side by side."""
TITLES = {
    "dsc": "DSC",
    "iou": "IoU",
    "nsd": "NSD",
    "hd95": "HD95 (mm)",
    "hd95_px": "HD95 (px)",
    "j": "J",
    "f": "F",
    "j_and_f": "J&F",
    "f1": "F1 (IoU 0.5)",
    "miou": "mIoU",
    "class_iou": "IoU",
    "challenge_iou": "challenge IoU",
    "mciou": "mcIoU",
    "vc8": "VC8",
    "vc16": "VC16",
    "noc80": "NoC@80",
    "noc85": "NoC@85",
    "noc90": "NoC@90",
    "clicks": "clicks",
    "prompted": "prompted",
}


def distributions(results: Sequence[CaseResult]) -> str:
    """Show the scores of all objects: a dot each, a line at the median; empty without any."""
    rows = [row for result in results for row in result.scores.rows if row.object_id]
    columns = {
        name: values
        for name in _SHARES
        if (values := [v for row in rows if (v := row.figures.get(name, np.nan)) == v])
    }
    if not columns:
        return ""
    figure, axes = _axes(1.0 + 0.7 * len(columns))
    rng = np.random.default_rng(0)  # where a dot lies sideways means nothing
    for place, values in enumerate(columns.values()):
        spread = rng.uniform(-0.28, 0.28, len(values))
        faint = min(0.45, max(0.08, 60 / len(values)))
        axes.plot(place + spread, values, "o", color=BLUE, alpha=faint, markersize=4, mew=0)
        axes.hlines(np.median(values), place - 0.36, place + 0.36, color=ORANGE, lw=2)
    axes.set_xticks(range(len(columns)), [TITLES.get(name, name) for name in columns])
    axes.set_xlim(-0.6, len(columns) - 0.4)
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("Every object (line: median)", fontsize=10, loc="left")
    return _svg(figure)


def frames_after_prompt(results: Sequence[CaseResult]) -> str:
    """Show how the IoU falls with the distance from the nearest prompted frame."""
    by_distance: dict[int, list[float]] = {}
    for result in results:
        prompted: dict[int, list[int]] = {}
        for row in result.scores.frames:
            if row.figures.get("prompted"):
                prompted.setdefault(row.object_id, []).append(row.frame)
        for row in result.scores.frames:
            if not row.figures.get("true_area") or row.object_id not in prompted:
                continue
            distance = min(abs(row.frame - frame) for frame in prompted[row.object_id])
            by_distance.setdefault(distance, []).append(row.figures["iou"])
    if len(by_distance) < 3:
        return ""
    return _curve(by_distance, "Frames from the nearest prompt", "IoU of an object on a frame")


def steps_curve(results: Sequence[CaseResult], step: str) -> str:
    """Show the IoU against the number of clicks or rounds; empty without a curve."""
    points: list[CurveRow] = [row for result in results for row in result.scores.curve]
    by_step: dict[int, list[float]] = {}
    for point in points:
        by_step.setdefault(point.step, []).append(point.iou)
    return _curve(by_step, step, "IoU") if by_step else ""


def _curve(values: Mapping[int, Sequence[float]], x_label: str, y_label: str) -> str:
    figure, axes = _axes(5.2)
    steps = sorted(values)
    low, middle, high = (
        [float(np.quantile(values[step], q)) for step in steps] for q in (0.25, 0.5, 0.75)
    )
    axes.fill_between(steps, low, high, color=BLUE, alpha=0.18, lw=0)
    axes.plot(steps, middle, color=BLUE, marker="o" if len(steps) <= 25 else "", markersize=3)
    means = [float(np.mean(values[step])) for step in steps]
    axes.plot(steps, means, color=ORANGE, lw=1, ls="--")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title("median, quartiles; dashed: mean", fontsize=9, loc="left", color=GREY)
    return _svg(figure)


def _axes(width: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 3.1), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e4e4e4", lw=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    text = StringIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "surgisam"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
