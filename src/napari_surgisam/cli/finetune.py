"""`surgisam finetune`: make a model better on one's own labels."""

import json
import math
import os
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_surgisam.cli.engine_options import Device, ImageSize, Precision, Quiet, Window
from napari_surgisam.cli.options import check_new_file, parse_window
from napari_surgisam.cli.reporting import follow, reported, say
from napari_surgisam.errors import DataError, SurgisamError

if TYPE_CHECKING:
    from napari_surgisam.jobs import Event

_RECIPES = "decoder-only|biosam2|surgisam2|surgsam2|tsms|sam2s|lora|dd-sam2|classes"


@reported
def finetune(
    data: Annotated[
        list[Path],
        typer.Argument(help="Folders of images with labels, as `surgisam evaluate` takes them."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The tuned weights, .safetensors.")],
    recipe: Annotated[
        str, typer.Option(metavar=_RECIPES, help="What is trained, and how; see the docs.")
    ] = "decoder-only",
    base: Annotated[str, typer.Option(help="Model to start from: name or file.")] = "embedded",
    samples_per_class: Annotated[
        str, typer.Option(metavar="N|all", help="Labelled frames of each class to learn from.")
    ] = "all",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How often each is seen. Default: the recipe's.")
    ] = None,
    val_fraction: Annotated[
        float,
        typer.Option(help="Share of the cases that examine; 0 trains all epochs, unexamined."),
    ] = 0.2,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many epochs without a better one; 0: never.")
    ] = 8,
    merge_labels: Annotated[
        bool, typer.Option("--merge-labels", help="Take all labels as one object.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    name: Annotated[
        str | None, typer.Option("--as", help="Name to use it by. Default: the file's.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="Default: the recipe's.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Clips per step and process. Default: the recipe's.")
    ] = None,
    window: Window = "auto",
    image_size: ImageSize = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 is torch's choice.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that ended.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would be trained, and what it takes.")
    ] = False,
    events: Annotated[
        str | None,
        typer.Option(metavar="-|FILE", help="A JSON object per event, for programs; - is stdout."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a model on labelled images, volumes and movies.

    Beside the weights lie `.state.pt`, from which --resume goes on, `.curves.csv`, and
    `.plan.json` with the split and all samples. The tuned model is at once in `surgisam
    models`. Several GPUs: run it with `accelerate launch -m napari_surgisam finetune …`.
    """
    stream = _Stream(events)
    with closing(stream):
        try:
            _finetune(
                stream,
                data=data,
                out=out,
                name=name or out.stem,
                window=window,
                threads=threads,
                resume=resume,
                overwrite=overwrite,
                check=check,
                quiet=quiet,
                options={
                    "recipe": recipe,
                    "base": base,
                    "samples_per_class": _count(samples_per_class),
                    "epochs": epochs,
                    "val_fraction": val_fraction,
                    "seed": seed,
                    "merge": merge_labels,
                    "patience": patience,
                    "learning_rate": learning_rate,
                    "batch": batch,
                    "image_size": image_size,
                    "device": device,
                    "precision": precision,
                },
            )
        except SurgisamError as error:
            stream.write({"event": "failed", "message": str(error)})
            raise


def _finetune(
    stream: "_Stream",
    *,
    data: list[Path],
    out: Path,
    name: str,
    window: str,
    threads: int,
    resume: bool,
    overwrite: bool,
    check: bool,
    quiet: bool,
    options: dict[str, Any],
) -> None:
    if out.suffix != ".safetensors":
        raise DataError(f"{out} cannot hold the weights: give a path that ends in .safetensors.")
    if not check:
        check_new_file(out, overwrite=resume or overwrite)
    shown = parse_window(window)

    from dataclasses import replace

    import torch

    from napari_surgisam.training.clips import find_labelled
    from napari_surgisam.training.finetuning import FinetuneOptions, Finetuning
    from napari_surgisam.training.tuned_models import check_tuned_name

    check_tuned_name(name, out)
    if threads:
        torch.set_num_threads(threads)
    cases = [replace(case, window=shown) for case in find_labelled(data)]
    job = Finetuning.prepare(cases, FinetuneOptions(**options))
    if check:
        facts = job.trial()
        stream.write({"event": "checked", "facts": facts})
        if not stream.to_stdout:
            _print_plan(facts)
        return
    first = os.environ.get("RANK", "0") == "0"  # of several processes, one speaks
    running: Generator[Event, None, None] = job.run(out, name, resume=resume)
    for event in follow(running, "fine-tuning", quiet=quiet or not first):
        if first:
            stream.write(as_record(event))
            if not stream.to_stdout:
                _print_event(event)
            if (message := getattr(event, "message", "")) and not quiet:
                say(message)


def as_record(event: "Event") -> dict[str, Any]:
    """Return an event as plain values, ``event`` being its kind."""
    kind = {"Planned": "planned", "StepTrained": "step", "Tuned": "finished"}
    values = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(event).items()
    }
    loss = values.get("loss")
    if isinstance(loss, float) and not math.isfinite(loss):
        values["loss"] = None  # JSON knows no NaN
    return {"event": kind.get(type(event).__name__, type(event).__name__), **values}


class _Stream:
    """JSON objects, a line each, to stdout or a file; nowhere if not asked for."""

    def __init__(self, where: str | None) -> None:
        self.to_stdout = where == "-"
        try:
            self._file = (
                None if where is None else sys.stdout if where == "-" else Path(where).open("a")
            )
        except OSError as error:
            raise DataError(f"Cannot write {where}: {error.strerror}.") from error

    def write(self, record: dict[str, Any]) -> None:
        """Write a line, at once."""
        if self._file is not None:
            self._file.write(f"{json.dumps(record, default=str)}\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None and not self.to_stdout:
            self._file.close()


def _count(text: str) -> int | None:
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise DataError(
            f"Cannot read --samples-per-class {text!r}: write a number, or all."
        ) from None


def _print_event(event: "Event") -> None:
    validation = getattr(event, "validation", None)
    if validation:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in validation.items())
        typer.echo(f"step {event.done}: {figures}")
    if name := getattr(event, "name", ""):
        typer.echo(name)


def _print_plan(facts: dict[str, Any]) -> None:
    """Say what would be trained, a `key: value` line each."""
    split = facts["split"]
    lines = {
        "recipe": f"{facts['recipe']} ({facts['source']})",
        "base": facts["base"],
        "parameters": f"{facts['trained_parameters']} of {facts['parameters']} are trained",
        "samples": ", ".join(f"{name} {count}" for name, count in facts["classes"].items()),
        "training cases": len(split["training"]),
        "validation cases": len(split["validation"]),
        "epochs": facts["epochs"],
        "time per epoch": f"{facts['seconds_per_epoch']:.0f} s, without validation",
        "memory": f"{facts['bytes'] / 1e9:.1f} GB",
    }
    for key, value in lines.items():
        typer.echo(f"{key}: {value}")
