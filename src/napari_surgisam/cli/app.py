"""The commands, and what `surgisam` says without one."""

from typing import Annotated

import typer

from napari_surgisam.cli import (
    batch,
    bench,
    convert,
    demo,
    evaluate,
    export,
    finetune,
    infer_vos,
    models,
    pretrain,
    propagate,
    resume,
    suggest,
)

app = typer.Typer(
    name="surgisam",
    help="Turn a few clicks into masks of every object through a video or a 3D scan.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(propagate.propagate)
app.command()(resume.resume)
app.command()(suggest.suggest)
app.command()(batch.batch)
app.command()(export.export)
app.command()(evaluate.evaluate)
app.command()(bench.bench)
app.command()(evaluate.compare)
app.command()(convert.convert)
app.command("infer-vos")(infer_vos.infer_vos)
app.command()(finetune.finetune)
app.command()(pretrain.pretrain)
app.add_typer(models.app, name="models")

WELCOME = """\
Turn a few clicks into masks of every object through a video or a 3D scan.

  surgisam demo                                               see it work, in seconds
  surgisam propagate VIDEO --prompts CLICKS.csv --out M.tif   masks from your clicks
  surgisam finetune DATA --out MINE.safetensors               a better one, from your labels
  surgisam models fetch sam2.1_hiera_tiny                     download a stronger one
  napari -w napari-surgisam Segment                           click by hand, in a window

Each takes --help."""


@app.callback(invoke_without_command=True)
def surgisam(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Turn a few clicks into masks of every object through a video or a 3D scan."""
    if version:
        from napari_surgisam import __version__

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(WELCOME)


def main() -> None:
    """Run the command line."""
    app(prog_name="surgisam")
