"""`surgisam models`: which models exist, how to bring them here, and how to hand them on."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_surgisam.cli.options import check_new_file
from napari_surgisam.cli.reporting import follow, reported, say

if TYPE_CHECKING:
    from napari_surgisam.engine.registry import ModelSpec

app = typer.Typer(help="List, fetch, import and export models.", invoke_without_command=True)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors.")]


@app.callback()
@reported
def models(context: typer.Context) -> None:
    """List, fetch, import and export models."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
@reported
def list_models() -> None:
    """List the models by name, and whether their weights are on this machine."""
    from napari_surgisam.engine.registry import available_models, weights_path

    header = ("name", "here", "megabytes", "pixels", "policy", "licence", "note")
    rows = [
        (
            spec.name,
            "yes" if weights_path(spec) else "no",
            f"{_nbytes(spec) / 1e6:.0f}" if _nbytes(spec) else "-",
            str(spec.image_size),
            spec.policy,
            spec.licence or "-",
            spec.note,
        )
        for spec in available_models().values()
    ]
    if not sys.stdout.isatty():
        for row in (header, *rows):
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)


@app.command()
@reported
def info(name: Annotated[str, typer.Argument(help="Name of a model.")]) -> None:
    """Say all that is known about a model, a `key: value` line each."""
    from napari_surgisam.engine.registry import MODELS, model_spec, weights_path

    spec = model_spec(name)
    path = weights_path(spec)
    classes = {} if path is None or spec.name in MODELS else _classes(path)
    facts = {
        "name": spec.name,
        "architecture": spec.architecture,
        "configuration": spec.config,
        "image size": f"{spec.image_size} pixels",
        "policy": spec.policy,
        "trained prompts": spec.prompts,
        "classes": ", ".join(f"{label} {name}" for name, label in classes.items()),
        "file size": f"{_nbytes(spec)} bytes" if _nbytes(spec) else "",
        "licence": spec.licence,
        "citation": spec.citation,
        "note": spec.note,
        "address": spec.url,
        "published at": spec.page,
        "sha256": spec.sha256,
        "here": str(path) if path else "no",
    }
    for key, value in facts.items():
        if value:
            typer.echo(f"{key}: {value}")


@app.command()
@reported
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a model, from `surgisam models list`.")],
    quiet: Quiet = False,
) -> None:
    """Download a model, or continue to, and print where it is."""
    from napari_surgisam.engine.models import fetch_job, find_weights

    for _ in follow(fetch_job(name), name, quiet=quiet, in_bytes=True):
        pass
    typer.echo(find_weights(name))


@app.command("import")
@reported
def import_model(
    file: Annotated[Path, typer.Argument(help="A SAM 2 checkpoint, or a .safetensors file.")],
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Name to use it by; default: the file's. A name of `surgisam models list` says "
            "that it is that model.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Copy a model file into the cache, and print the name to use it by."""
    from napari_surgisam.engine.importing import import_checkpoint

    spec = import_checkpoint(file, name)
    typer.echo(spec.name)
    if not quiet:
        say(f"Use it with: surgisam propagate --model {spec.name} ...")


@app.command("export")
@reported
def export_model(
    model: Annotated[str, typer.Argument(help="Name or file of a SAM 2 model, tuned or not.")],
    out: Annotated[Path, typer.Option("--out", help="The official format: FILE.pt.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a model as an official checkpoint, and print the configuration it is for."""
    from napari_surgisam.engine.exporting import export_checkpoint
    from napari_surgisam.engine.models import find_weights

    check_new_file(out, overwrite=overwrite)
    config = export_checkpoint(model, out)
    typer.echo(config)
    if not quiet:
        classes = ", ".join(_classes(find_weights(model)))
        if classes:
            say(f"Left out: the prompts of classes ({classes}), which sam2 itself does not know.")
        say(f'Load it with: sam2.build_sam.build_sam2("{config}", "{out}")')


def _classes(path: Path) -> dict[str, int]:
    """Return the classes that a model finds by name; reads the head of its file alone."""
    from napari_surgisam.engine.checkpoints import read_classes

    return read_classes(path)


def _nbytes(spec: "ModelSpec") -> int:
    from napari_surgisam.engine.registry import weights_path

    path = weights_path(spec)
    return path.stat().st_size if path else spec.nbytes
