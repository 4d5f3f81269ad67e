"""`surgisam batch`: many videos and volumes, here or on a cluster."""

from pathlib import Path
from typing import Annotated

import typer

from napari_surgisam.cli.engine_options import (
    At,
    Device,
    Focus,
    ImageSize,
    Policy,
    Precision,
    Quiet,
    Window,
)
from napari_surgisam.cli.options import parse_at, parse_window
from napari_surgisam.cli.reporting import follow, reported, say
from napari_surgisam.errors import JobError


@reported
def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            help="CSV with the columns source, prompts (files separated by ;) and out, relative "
            "to its folder."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="Name (see `surgisam models`) or model file.")
    ] = "embedded",
    policy: Policy = "auto",
    focus: Focus = "default",
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="outward|first-n|forward|backward", help="As for `surgisam propagate`."
        ),
    ] = None,
    window: Window = "auto",
    at: At = None,
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
            help="Work on a Dask cluster, or in N processes of this machine.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Carry prompts through many videos and scans, and print where the labels are.

    Outputs that exist are left as they are, so an interrupted batch goes on where it was.
    """
    shown, fixed = parse_window(window), parse_at(at or ())

    from napari_surgisam.batch import TaskDone, run_tasks
    from napari_surgisam.engine.plan import Plan
    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.manifests import read_manifest, segment_row, tasks_of

    rows = read_manifest(manifest)
    if plan is not None:
        Plan(plan)  # type: ignore[arg-type]  # it refuses what it does not know
    settings = EngineSettings(model, device, precision, image_size, policy, focus, threads)
    settings.check()
    tasks = tasks_of(
        rows,
        settings.with_threads(),
        order=plan,
        window=shown,
        at=fixed,
        overwrite=overwrite,
    )
    if len(tasks) < len(rows) and not quiet:
        say(f"{len(rows) - len(tasks)} of {len(rows)} outputs exist and are left as they are.")
    failed = 0
    for event in follow(run_tasks(segment_row, tasks, scheduler), "Segmenting", quiet=quiet):
        if isinstance(event, TaskDone):
            typer.echo(event.result)
        else:
            failed += 1
            say(f"{event.name} was not written: {event.reason}")
    if failed:
        raise JobError(
            f"{failed} of {len(tasks)} outputs were not written, for the reasons above. Run the "
            "same command again to try these again."
        )
