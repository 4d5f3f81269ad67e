"""`surgisam bench`: how fast and how frugal the engine is here, beside the official predictor."""

from pathlib import Path
from typing import Annotated

import typer

from napari_surgisam.cli.engine_options import Device
from napari_surgisam.cli.options import check_new_file
from napari_surgisam.cli.reporting import reported, say
from napari_surgisam.errors import DataError


@reported
def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW",
            help="first-pass, embedded, correction, objects, memory, outside, prompts, gpu, click "
            "or length. May be given several times. Default: all, which takes hours.",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; the median counts.")] = 3,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="That the row length may take, of 100,000 frames.")
    ] = 60.0,
    size: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Sides of the network's images. Default: 512 and 1024."),
    ] = None,
    frames: Annotated[int, typer.Option(min=4, help="Of a first pass.")] = 24,
    device: Device = "auto",
    tiny: Annotated[
        bool, typer.Option("--tiny", help="A few small frames: whether it runs, not how fast.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write the table to this file, as Markdown.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a table that exists.")
    ] = False,
) -> None:
    """Measure speed and memory, with SAM 2's own video predictor on the same frames.

    Weights are random, the same on both sides. Leave the machine alone meanwhile. The official
    predictor reads JPEG files, which it loads beforehand; this package reads an h264 movie.
    """
    if out is not None:
        check_new_file(out, overwrite=overwrite)

    import tempfile
    from dataclasses import replace

    from napari_surgisam.benchmark.figures import describe_machine, header
    from napari_surgisam.benchmark.rows import ROWS, Settings

    chosen = list(only or ROWS)
    unknown = [name for name in chosen if name not in ROWS]
    if unknown:
        raise DataError(f"There is no row {unknown[0]!r}: choose among {', '.join(ROWS)}.")
    with tempfile.TemporaryDirectory(prefix="surgisam-bench-") as folder:
        settings = Settings(Path(folder), repeats, device, minutes, frames=frames)
        if tiny:
            settings = replace(
                settings,
                sizes=(128,),
                frames=4,
                corrected=12,
                lengths=(4, 8),
                objects=(1, 2),
                longest=400,
                growth_size=128,
                shape=(64, 96),
            )
        if size:
            settings = replace(settings, sizes=tuple(size))
        lines = [header()]
        typer.echo(lines[0])
        for name in chosen:
            say(f"{name}: {ROWS[name].__doc__}")
            for figure in ROWS[name](settings):
                lines.append(figure.line())
                typer.echo(lines[-1])
        half = str(settings.precision).removeprefix("torch.")
        lines.append(f"\n{repeats} rounds in turns; ours in {half}; {describe_machine()}")
        typer.echo(lines[-1])
    if out is not None:
        out.write_text("\n".join([*lines, ""]), encoding="utf-8")
