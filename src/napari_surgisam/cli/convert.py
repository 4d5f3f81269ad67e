"""`surgisam convert`: public datasets in the VOS layout."""

from pathlib import Path
from typing import Annotated

import typer

from napari_surgisam.cli.engine_options import Quiet
from napari_surgisam.cli.reporting import follow, reported


@reported
def convert(
    dataset: Annotated[
        str, typer.Argument(metavar="endovis17|endovis18|cholecseg8k|echonet", help="Its name.")
    ],
    source: Annotated[Path, typer.Argument(help="The folder that it was unpacked to.")],
    target: Annotated[Path, typer.Argument(metavar="DEST", help="A folder that is new.")],
    quiet: Quiet = False,
) -> None:
    """Write a dataset as JPEGImages/, Annotations/ and classes.csv, and print where."""
    from napari_surgisam.formats.conversions import convert

    for _ in follow(convert(dataset, source, target), "Converting", quiet=quiet):
        pass
    typer.echo(target)
