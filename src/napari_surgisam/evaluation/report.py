"""The report: one page that needs no other file, with tables, curves and pictures."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import inf, nan
from typing import Any

from napari_surgisam.evaluation.figures import (
    TITLES,
    distributions,
    frames_after_prompt,
    steps_curve,
)
from napari_surgisam.evaluation.jobs import CaseResult
from napari_surgisam.evaluation.rows import mean

_RANKED = ("j_and_f", "dsc", "iou")
_IN_STEPS = ("hd95", "hd95_px", "noc80", "noc85", "noc90", "clicks")
_CASE_COLUMNS = (
    "dsc",
    "iou",
    "nsd",
    "hd95",
    "hd95_px",
    "j",
    "f",
    "j_and_f",
    "clicks",
    "noc85",
)

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 1080px;
  margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.12rem; margin: 2rem 0 .5rem; }
p.lead { margin: 0 0 1rem; color: #444; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .8rem .28rem 0; text-align: right; border-bottom: 1px solid #e6e6e6;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
th { font-weight: 600; color: #444; }
td small { color: #767676; }
.wide { overflow-x: auto; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: 1.2rem; }
.figures svg { max-width: 100%; height: auto; }
.cases { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 1.2rem; }
figure { margin: 0; } figure img { width: 100%; border: 1px solid #ddd; }
figcaption { font-size: .87rem; color: #444; }
.failed { background: #fdf0ec; border-left: 4px solid #d55e00; padding: .5rem .9rem; }
details { margin-top: .6rem; } code { font-size: .87em; }
"""


def report_html(summary: Mapping[str, Any], results: Sequence[CaseResult]) -> str:
    """Write an evaluation as one self-contained page.

    Parameters
    ----------
    summary : mapping
        As in ``summary.json``.
    results : sequence of CaseResult

    Returns
    -------
    str
        HTML without scripts and without addresses.
    """
    arguments = summary["arguments"]
    step = "Clicks" if arguments["protocol"] == "image-interactive" else "Rounds of correction"
    plots = [distributions(results), steps_curve(results, step), frames_after_prompt(results)]
    parts = [
        f"<h1>{_text(arguments['model'])} · {_text(arguments['protocol'])}</h1>",
        f'<p class="lead">{_lead(summary)}</p>',
        _failures(summary["failures"]),
        "<h2>Figures</h2>",
        _estimates(summary["figures"]),
        f'<div class="figures">{"".join(filter(None, plots))}</div>',
        _classes(summary),
        _pictures(results),
        "<h2>Cases</h2>",
        _cases(results),
        "<h2>How it was measured</h2>",
        _notes(summary),
    ]
    body = "\n".join(filter(None, parts))
    title = _text(f"{arguments['model']}, {arguments['protocol']}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def case_quality(result: CaseResult) -> float:
    """Return what ranks a case: the mean J&F of its objects, or else DSC, or IoU."""
    rows = [row for row in result.scores.rows if row.object_id]
    for name in _RANKED:
        values = [row.figures[name] for row in rows if name in row.figures]
        if values:
            return mean(values)
    return nan


def _lead(summary: Mapping[str, Any]) -> str:
    arguments = summary["arguments"]
    words = [f"{summary['cases']} cases", f"{summary['objects']} objects"]
    kind = arguments.get("prompt", "points")
    if arguments["protocol"] == "image-interactive":
        words.append(f"up to {arguments['max_clicks']} clicks, one at a time")
    elif kind == "points":
        words.append(f"{arguments['clicks']} {arguments['click_mode']} clicks")
    else:
        words.append(f"prompt: {kind}")
    if arguments["protocol"] == "video":
        words.append(f"{arguments['prompted_frames']} prompted frames")
    if arguments["protocol"] == "correction":
        words.append(f"up to {arguments['rounds']} rounds")
    words += [f"memory: {arguments['policy_used']}", f"seed {arguments['seed']}"]
    return _text(" · ".join(words))


def _estimates(figures: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, estimate in figures.items():
        infinite = estimate["infinite"]
        rows.append(
            (
                _text(TITLES.get(name, name)),
                _number(name, estimate["mean"]),
                _interval(name, estimate),
                str(estimate["count"]) + (f" <small>+ {infinite} ∞</small>" if infinite else ""),
                str(estimate["cases"]),
            )
        )
    return _table(("", "mean", "95 % interval", "values", "cases"), rows)


def _classes(summary: Mapping[str, Any]) -> str:
    classes = summary["classes"]
    if not summary["arguments"].get("classes"):  # labels without names are no classes
        return ""
    names = list(
        dict.fromkeys(
            n
            for entry in classes.values()
            for n in entry["figures"]
            if n in (*_CASE_COLUMNS, "class_iou")
        )
    )
    rows = [
        (
            _text(name),
            str(entry["objects"]),
            str(entry["masks"]),
            _number("dsc", entry["mask_dsc"]),
            *(
                f"{_number(n, entry['figures'][n]['mean'])}" if n in entry["figures"] else ""
                for n in names
            ),
        )
        for name, entry in classes.items()
    ]
    header = ("class", "objects", "masks", "DSC of masks", *(TITLES.get(n, n) for n in names))
    wmdc = (
        f"<p>WMDC {_number('dsc', summary['wmdc'])}: the mean Dice per class, weighted by its "
        f"number of masks, {summary['masks']} in all.</p>"
    )
    return f"<h2>Classes</h2>{_table(header, rows)}{wmdc}"


def _pictures(results: Sequence[CaseResult]) -> str:
    ranked = sorted((r for r in results if case_quality(r) == case_quality(r)), key=case_quality)
    if not ranked:
        return ""
    chosen: dict[str, CaseResult] = {}
    for title, result in (
        ("Best", ranked[-1]),
        ("Median", ranked[len(ranked) // 2]),
        ("Worst", ranked[0]),
    ):
        if result not in chosen.values():
            chosen[title] = result
    figures = [
        f'<figure><img alt="{_text(result.case)}" src="data:image/jpeg;base64,'
        f'{base64.b64encode(result.picture).decode()}"><figcaption><b>{title}</b>: '
        f"{_text(result.case)}, {case_quality(result):.3f}</figcaption></figure>"
        for title, result in chosen.items()
    ]
    return (
        "<h2>Best, median and worst case</h2><p>Left the truth, right the prediction; above the "
        "middling frame, below the worst.</p>"
        f'<div class="cases">{"".join(figures)}</div>'
    )


def _cases(results: Sequence[CaseResult]) -> str:
    names = [
        n
        for n in _CASE_COLUMNS
        if any(n in row.figures for result in results for row in result.scores.rows)
    ]
    rows = []
    for result in sorted(results, key=case_quality):
        objects = [row for row in result.scores.rows if row.object_id]
        values = [mean([row.figures.get(n, nan) for row in objects]) for n in names]
        rows.append(
            (
                _text(result.case),
                str(len(objects)),
                *(_number(n, value) for n, value in zip(names, values, strict=True)),
                f"{result.segmenting_seconds:.1f}",
            )
        )
    header = ("case (worst first)", "objects", *(TITLES.get(n, n) for n in names), "seconds")
    return f'<div class="wide">{_table(header, rows)}</div>'


def _notes(summary: Mapping[str, Any]) -> str:
    arguments, times = summary["arguments"], summary["times"]
    in_mm, in_px = (summary["cases_by_unit"][unit] for unit in ("mm", "px"))
    unit = "mm" if in_mm else "pixels"
    if in_mm and in_px:
        unit = (
            f"mm in the {in_mm} cases that know their voxels' size, in pixels in the other "
            f"{in_px}, and its mean mixes the two"
        )
    notes = (
        f"NSD's tolerance is {arguments['tolerance']:g}, in {unit}. Intervals are bootstrapped "
        f"over whole cases, {summary['bootstrap']['resamples']} times. "
        "J&amp;F leaves out the first and the last labelled frame, as DAVIS does; "
        "where an object is neither true nor predicted, DSC, IoU, NSD, J and F are "
        f"{_text(str(arguments['empty']))}. ∞ marks values that are infinite and in no mean."
    )
    facts: dict[str, Any] = {
        **arguments,
        "segmenting": f"{times['segmenting_seconds']:.1f} s",
        "scoring": f"{times['scoring_seconds']:.1f} s",
        "peak memory": f"{summary['peak_bytes'] / 1e9:.2f} GB",
        "machine": summary["machine"],
        "computed on": ", ".join(f"{k} ({n} cases)" for k, n in summary["computed_on"].items()),
        **{f"version of {name}": v for name, v in summary["versions"].items() if v},
    }
    rows = [(_text(str(k)), f"<code>{_text(str(v))}</code>") for k, v in facts.items()]
    table = _table(("", ""), [(k, v) for k, v in rows])
    return f"<p>{notes}</p><details><summary>Arguments, versions, times</summary>{table}</details>"


def _failures(failures: Mapping[str, str]) -> str:
    if not failures:
        return ""
    items = "".join(f"<li><b>{_text(k)}</b>: {_text(v)}</li>" for k, v in failures.items())
    return f'<div class="failed">Not evaluated: <ul>{items}</ul></div>'


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _interval(name: str, estimate: Mapping[str, Any]) -> str:
    if estimate["low"] is None:
        return "<small>one case</small>" if estimate["count"] else ""
    return f"{_number(name, estimate['low'])} to {_number(name, estimate['high'])}"


def _number(name: str, value: float | None) -> str:
    if value is None or value != value:
        return "–"
    if value == inf:
        return "∞"
    return f"{value:.1f}" if name in _IN_STEPS else f"{value:.3f}"


def _text(text: str) -> str:
    return escape(text)
