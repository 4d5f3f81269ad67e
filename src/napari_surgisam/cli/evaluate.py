"""`surgisam evaluate` and `compare`: how good a model is on someone's data."""

import re
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from napari_surgisam.cli.engine_options import (
    Channel,
    Device,
    Focus,
    ImageSize,
    Policy,
    Precision,
    Quiet,
    Window,
)
from napari_surgisam.cli.options import parse_window
from napari_surgisam.cli.reporting import follow, reported, say
from napari_surgisam.errors import DataError, JobError

if TYPE_CHECKING:
    from napari_surgisam.evaluation.answers import EvaluationProtocol, Prompting

_TOLERANCE = re.compile(r"(\d+(?:\.\d+)?)\s*(mm|px)?")
_PROTOCOLS = "image|image-interactive|volume|video|video-semantic|correction|classes"


@reported
def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            help="Folder with images and labels (VOS, nnU-Net, or pairs by name), or one image "
            "with --labels."
        ),
    ],
    protocol: Annotated[str, typer.Option(metavar=_PROTOCOLS, help="How the cases are prompted.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder of the report; an interrupted evaluation goes on in it."
        ),
    ],
    labels: Annotated[Path | None, typer.Option(help="Labels of the one image.")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="CSV with the columns label, class, and perhaps case. Default: "
            "classes.csv in the folder."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--cases", metavar="GLOB", help="Only cases of such names. Repeatable."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name (see `surgisam models`) or model file.")
    ] = "embedded",
    policy: Policy = "auto",
    focus: Focus = "default",
    prompt: Annotated[
        str, typer.Option(metavar="points|box|mask", help="What each prompt is.")
    ] = "points",
    clicks: Annotated[int, typer.Option(help="Points of a prompt, 1 to 10.")] = 3,
    click_mode: Annotated[
        str | None,
        typer.Option(
            metavar="random|center",
            help="Any pixel, or the centre (of the error). Default: random, but center for "
            "image-interactive and correction.",
        ),
    ] = None,
    prompted_frames: Annotated[
        int, typer.Option(help="video: prompts on so many first frames of each object.")
    ] = 1,
    rounds: Annotated[int, typer.Option(help="correction: at most so many rounds.")] = 3,
    max_clicks: Annotated[int, typer.Option(help="image-interactive: where NoC gives up.")] = 20,
    max_frames: Annotated[
        int | None,
        typer.Option(help="image and image-interactive: at most so many frames of a case."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the clicks and the bootstrap.")] = 0,
    tolerance: Annotated[
        str,
        typer.Option(
            metavar="N[mm|px]",
            help="Of NSD. Without a unit: mm where the image knows its voxels' size, else px.",
        ),
    ] = "2",
    empty: Annotated[
        float,
        typer.Option(
            help="Score of a frame on which an object is neither true nor predicted: "
            "1 (DAVIS, U-Mamba), 0, or nan to leave it out."
        ),
    ] = 1.0,
    window: Window = "auto",
    channel: Channel = None,
    image_size: ImageSize = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each process. Default: PyTorch's.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local[:N]",
            help="Evaluate on a Dask cluster, or on N processes of this machine.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a report made with other arguments.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Prompt, segment and score labelled cases, and write a report.

    Prints each figure with its mean, 95 % interval, and how many values and cases it is of.
    """
    shown, distance = parse_window(window), _tolerance(tolerance)

    from napari_surgisam.evaluation.rows import Scoring
    from napari_surgisam.formats.datasets import find_cases

    scoring = Scoring(*distance, empty)
    dataset = find_cases(data, labels=labels, classes=classes)
    chosen = [c for c in dataset.cases if any(fnmatch(c.name, glob) for glob in only or ["*"])]
    if not chosen:
        names = ", ".join(case.name for case in dataset.cases[:8])
        raise DataError(f"No case of {data} has such a name; the first are {names}.")
    mode = click_mode or ("center" if protocol in ("image-interactive", "correction") else "random")

    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.evaluation.cases import FileCase
    from napari_surgisam.evaluation.folder import REPORT, ReportFolder
    from napari_surgisam.evaluation.jobs import (
        CaseFailed,
        CaseScored,
        Questions,
        evaluate,
        evaluate_on,
    )
    from napari_surgisam.evaluation.publishing import publish

    asked = _protocol(
        protocol,
        _prompting(prompt, clicks, mode),
        prompted_frames=prompted_frames,
        rounds=rounds,
        max_clicks=max_clicks,
        max_frames=max_frames,
    )
    settings = EngineSettings(model, device, precision, image_size, policy, focus, threads)
    settings.check()
    settings = settings.with_threads()
    arguments: dict[str, Any] = {
        "data": data.resolve().name,
        "cases": only,
        "protocol": protocol,
        "model": model,
        "model_sha256": settings.model_sha256(),
        "policy": policy,
        "policy_used": repr(settings.memory_policy()),
        "focus": focus,
        "prompt": prompt,
        "clicks": clicks,
        "click_mode": mode,
        "prompted_frames": prompted_frames,
        "rounds": rounds,
        "max_clicks": max_clicks,
        "max_frames": max_frames,
        "seed": seed,
        "tolerance": scoring.tolerance,
        "unit": scoring.unit,
        "empty": str(empty),
        "window": window,
        "channel": channel,
        "image_size": image_size,
        "device": device,
        "precision": precision,
        "threads": settings.threads,
        "classes": [[*entry, name] for entry, name in dataset.classes.entries.items()],
    }
    folder = ReportFolder(out)
    states = {files.name: files.state() for files in chosen}
    known = folder.begin(arguments, states=states, overwrite=overwrite)
    cases = [FileCase(files, dataset.classes, shown, channel) for files in chosen]
    left = [case for case in cases if case.name not in known]
    if not quiet:
        done = f", {len(cases) - len(left)} of them done before" if len(left) < len(cases) else ""
        say(f"{data}: {dataset.layout}, {len(cases)} cases{done}.")
    results = [known[case.name] for case in cases if case.name in known]
    failures: dict[str, str] = {}
    questions = Questions(asked, scoring, seed)
    if left:
        job = (
            evaluate(left, questions, settings.tracker)
            if scheduler is None
            else evaluate_on(scheduler, left, questions, settings)
        )
        for event in follow(job, "Evaluating", quiet=quiet):
            if isinstance(event, CaseScored):
                folder.keep(event.result, states[event.result.case])
                results.append(event.result)
            elif isinstance(event, CaseFailed):
                failures[event.case] = event.reason
                say(f"{event.case} was not evaluated: {event.reason}")
    summary = publish(folder, arguments, results, failures, seed=seed)
    typer.echo("figure\tmean\tlow\thigh\tvalues\tcases")
    for name, estimate in summary["figures"].items():
        figures = [_written(estimate[key]) for key in ("mean", "low", "high")]
        typer.echo("\t".join([name, *figures, str(estimate["count"]), str(estimate["cases"])]))
    if not quiet:
        say(f"The report is {out / REPORT}.")
    if failures:
        raise JobError(
            f"{len(failures)} of {len(cases)} cases were not evaluated; the report tells why. "
            "Run the same command again to try these again."
        )


@reported
def compare(
    reports: Annotated[
        list[Path], typer.Argument(help="Folders of reports; the first is what others differ from.")
    ],
    figure: Annotated[
        list[str] | None, typer.Option("--figure", help="Only this figure. May be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Lay evaluations side by side, with paired differences and their 95 % intervals.

    Prints a table with tabs. An asterisk marks a difference whose interval leaves out 0.
    """
    from napari_surgisam.evaluation.folder import read_report
    from napari_surgisam.evaluation.summary import compare as differences_of
    from napari_surgisam.evaluation.summary import summarise

    if len(reports) < 2:
        raise DataError("Comparing takes two reports or more: give their folders.")
    read = [read_report(path) for path in reports]
    first_summary, first = read[0]
    for path, (summary, _) in zip(reports[1:], read[1:], strict=True):
        changed = _unlike(first_summary["arguments"], summary["arguments"])
        say(f"{path} differs from {reports[0]} in {changed or 'nothing it was told'}.")
    columns = ["difference", "low", "high", "pairs", "clear"]
    typer.echo("\t".join(["figure", "report", "mean", *columns]))
    others = [
        (
            path,
            summarise(rows, seed=seed),
            {d.figure: d for d in differences_of(first, rows, seed=seed)},
        )
        for path, (_, rows) in zip(reports[1:], read[1:], strict=True)
    ]
    for name, estimate in summarise(first, seed=seed).items():
        if figure and name not in figure:
            continue
        typer.echo("\t".join([name, str(reports[0]), _written(estimate.mean), *[""] * 5]))
        for path, estimates, differences in others:
            own, found = estimates.get(name), differences.get(name)
            if own is None or found is None:
                continue
            d = found.difference
            cells = [_written(own.mean), *map(_written, (d.mean, d.low, d.high)), str(d.count)]
            typer.echo("\t".join([name, str(path), *cells, "*" if found.is_clear else ""]))


def _prompting(kind: str, clicks: int, mode: str) -> "Prompting":
    from napari_surgisam.data.clicks import ClickMode, PromptKind
    from napari_surgisam.evaluation.answers import Prompting

    if kind not in get_args(PromptKind):
        raise DataError(f"There is no prompt {kind!r}: choose points, box or mask.")
    if mode not in get_args(ClickMode):
        raise DataError(f"There is no way to click {mode!r}: choose random or center.")
    return Prompting(cast("PromptKind", kind), clicks, cast("ClickMode", mode))


def _protocol(name: str, prompting: "Prompting", **options: Any) -> "EvaluationProtocol":
    """Return a protocol with those options that it has."""
    from napari_surgisam.evaluation.protocols import PROTOCOLS

    if name not in PROTOCOLS:
        raise DataError(f"There is no protocol {name!r}: choose one of {', '.join(PROTOCOLS)}.")
    chosen = PROTOCOLS[name]
    for option in ("prompted_frames", "max_clicks", "max_frames"):
        if options[option] is not None and options[option] < 1:
            raise DataError(f"--{option.replace('_', '-')} is {options[option]}: at least 1.")
    if options["rounds"] < 0:
        raise DataError(f"--rounds is {options['rounds']}: at least 0.")
    has = {field.name for field in fields(cast("Any", chosen))}
    own = {k: v for k, v in {"prompting": prompting, **options}.items() if k in has}
    return chosen(**own)


def _tolerance(text: str) -> tuple[float, str]:
    match = _TOLERANCE.fullmatch(text.strip())
    if match is None:
        raise DataError(
            f"Cannot read the tolerance {text!r}: write a distance, for example 2, 2mm or 2px."
        )
    return float(match[1]), match[2] or "auto"


def _unlike(first: dict[str, Any], other: dict[str, Any]) -> str:
    names = [n for n in {**first, **other} if first.get(n) != other.get(n)]
    return ", ".join(f"{n} ({first.get(n)} → {other.get(n)})" for n in names if n != "classes")


def _written(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.6g}"
