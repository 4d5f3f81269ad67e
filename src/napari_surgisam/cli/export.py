"""`surgisam export`: saved labels as another kind of file, or several."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_surgisam.cli.engine_options import At, Channel, Names, Quiet, Window
from napari_surgisam.cli.options import check_no_input, parse_at, parse_window
from napari_surgisam.cli.reporting import follow, reported, say
from napari_surgisam.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_surgisam.data.classes import ObjectClass
    from napari_surgisam.data.frames import FrameSource
    from napari_surgisam.formats.labelled import Labelled


@reported
def export(
    labels: Annotated[
        Path, typer.Argument(help="Labels: .tif, .zarr, .nii.gz, .nii, .nrrd, .mha, or a folder.")
    ],
    image: Annotated[
        Path, typer.Option("--image", help="What they were made on, as for `surgisam propagate`.")
    ],
    out: Annotated[
        list[Path],
        typer.Option(
            "--out",
            help="What to write, by ending: .json (COCO), .dcm (DICOM SEG), .mp4 (overlay), .csv "
            "(measurements), .tif, .zarr, .nii.gz, .nii, .nrrd, .mha, or a folder (PNG, VOS "
            "layout). May be given several times.",
        ),
    ],
    names: Names = None,
    axis: Annotated[int, typer.Option(metavar="N", help="As for `surgisam propagate`.")] = 0,
    window: Window = "auto",
    channel: Channel = None,
    at: At = None,
    by_class: Annotated[
        bool,
        typer.Option(
            "--by-class",
            help="Let values be the labels of classes, by --names, in place of objects.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write saved labels in other formats, and print where they are."""
    shown, fixed = parse_window(window), parse_at(at or ())
    check_paths(out, [labels, image])

    from napari_surgisam.formats.label_frames import open_labels
    from napari_surgisam.formats.sources import open_source

    called, kinds = object_names(names)
    frames = open_source(image, axis=axis, window=shown, channel=channel, at=fixed)
    give_notice(frames, quiet=quiet)
    labelled = open_labels(labels, frames, called, kinds)
    if by_class:
        labelled = labelled.by_class()
    check_outputs(out, frames, labelled.max_id, overwrite=overwrite)
    write_exports(out, labelled, overwrite=overwrite, quiet=quiet)


def object_names(table: Path | None) -> "tuple[dict[int, str], dict[int, ObjectClass]]":
    """Return what objects are called, and their classes, by a table of classes.

    Raises
    ------
    DataError
        If the table cannot be read.
    """
    if table is None:
        return {}, {}
    from napari_surgisam.formats.class_lists import (
        classes_by_object,
        classes_of_table,
        read_class_list,
    )
    from napari_surgisam.formats.class_tables import read_class_table

    names = classes_of_table(read_class_table(table))
    return names, classes_by_object(names, read_class_list(table))


def check_paths(outputs: "Sequence[Path]", inputs: "Sequence[Path]") -> None:
    """Raise a `DataError` if an output is an input, or is given twice."""
    places = [path.resolve() for path in outputs]
    for path in outputs:
        check_no_input(path, inputs)
        if places.count(path.resolve()) > 1:
            raise DataError(f"{path} is given twice: give each output its own path.")


def check_outputs(
    outputs: "Iterable[Path]", frames: "FrameSource", max_id: int, *, overwrite: bool
) -> None:
    """Refuse what cannot be written, before anything is.

    Raises
    ------
    DataError
        If an output exists, or cannot hold such labels.
    """
    from napari_surgisam.formats.labels import check_labels

    for path in outputs:
        check_labels(path, frames, max_id, overwrite)


def write_exports(
    outputs: "Iterable[Path]", labelled: "Labelled", *, overwrite: bool, quiet: bool
) -> None:
    """Write labels as each of some files, and print where.

    Raises
    ------
    DataError
        If a frame cannot be read, or a file cannot be written.
    """
    from napari_surgisam.formats.labels import export_labels

    for path in outputs:
        for _ in follow(export_labels(path, labelled, overwrite), path.name, quiet=quiet):
            pass
        typer.echo(path)


def give_notice(frames: "FrameSource", *, quiet: bool) -> None:
    """Say what a person should know of a source."""
    notice = getattr(frames, "notice", "")
    if notice and not quiet:
        say(f"Note: {notice}")
