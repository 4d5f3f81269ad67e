"""How a command speaks: results on stdout, progress and errors on stderr, and exit codes."""

import sys
from collections.abc import Callable, Generator
from contextlib import closing
from functools import wraps
from time import monotonic
from typing import ParamSpec, TypeVar

import typer

from napari_surgisam.errors import JobError, SurgisamError
from napari_surgisam.jobs import Event

WRONG_INPUT = 2
STOPPED = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells count

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Event)


def say(message: str) -> None:
    """Write a line for a person to stderr."""
    typer.echo(message, err=True)


def reported(command: Callable[P, T]) -> Callable[P, T]:
    """Turn the errors of a command into a message and an exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except SurgisamError as error:
            say(f"surgisam: {error}")
            code = STOPPED if isinstance(error, JobError) else WRONG_INPUT
            raise typer.Exit(code) from error
        except KeyboardInterrupt as error:
            say("surgisam: interrupted.")
            raise typer.Exit(INTERRUPTED) from error

    return run


def follow(
    job: Generator[E, None, None], what: str, *, quiet: bool = False, in_bytes: bool = False
) -> Generator[E, None, None]:
    """Pass on the events of a job while a progress bar on stderr follows them.

    The job is closed when the loop over its events ends, however it ends.
    """
    with closing(job):
        if quiet:
            yield from job
            return
        from rich import progress
        from rich.console import Console

        counts: list[progress.ProgressColumn] = (
            [progress.DownloadColumn(), progress.TransferSpeedColumn()]
            if in_bytes
            else [progress.MofNCompleteColumn(), progress.TextColumn("{task.fields[rate]}")]
        )
        columns = [progress.TextColumn("{task.description}"), progress.BarColumn(), *counts]
        # rich would print to stderr what a loop body writes to a piped stdout
        with progress.Progress(
            *columns,
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=sys.stdout.isatty(),
        ) as bar:
            task = bar.add_task(what, total=None, rate="")
            started = monotonic()
            for event in job:
                rate = f"{event.done / max(monotonic() - started, 1e-9):.1f}/s"
                bar.update(task, total=event.total, completed=event.done, rate=rate)
                yield event
