"""`surgisam suggest`: objects on one frame that nobody clicked on."""

from pathlib import Path
from typing import Annotated

import typer

from napari_surgisam.cli.engine_options import (
    At,
    Channel,
    Device,
    Focus,
    ImageSize,
    Precision,
    Quiet,
    Window,
)
from napari_surgisam.cli.options import check_new_file, check_no_input, parse_at, parse_window
from napari_surgisam.cli.reporting import follow, reported, say


@reported
def suggest(
    source: Annotated[Path, typer.Argument(help="As for `surgisam propagate`, or one picture.")],
    out: Annotated[
        Path,
        typer.Option("--out", help="Labels of the frame: .tif, .zarr, .nii.gz, .nrrd, .mha, …"),
    ],
    frame: Annotated[int, typer.Option(metavar="N", help="Which frame or slice.")] = 0,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            help="Also write a click in each object as CSV, for `surgisam propagate --prompts`.",
        ),
    ] = None,
    points_per_side: Annotated[
        int, typer.Option(metavar="N", help="Clicks along the longer side.")
    ] = 32,
    min_iou: Annotated[
        float | None,
        typer.Option(metavar="0-1", help="Drop masks that the model trusts less: 0.35 or 0.7."),
    ] = None,
    min_stability: Annotated[
        float | None,
        typer.Option(
            metavar="0-1",
            help="Drop masks that change more with their threshold. Default: 0.6 for the embedded "
            "model and its like, 0.85 for SAM 2.",
        ),
    ] = None,
    overlap: Annotated[
        float, typer.Option(metavar="0-1", help="IoU above which two masks are one object.")
    ] = 0.7,
    model: Annotated[
        str, typer.Option(help="Name (see `surgisam models`) or model file.")
    ] = "embedded",
    axis: Annotated[int, typer.Option(metavar="N", help="As for `surgisam propagate`.")] = 0,
    window: Window = "auto",
    channel: Channel = None,
    at: At = None,
    image_size: ImageSize = None,
    focus: Focus = "default",
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Suggest objects on a frame, and print where their labels are."""
    shown, fixed = parse_window(window), parse_at(at or ())
    check_no_input(out, [source])
    if prompts is not None:
        check_no_input(prompts, [source, out])
        check_new_file(prompts, overwrite=overwrite)

    from napari_surgisam.cli.export import give_notice
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.data.frames import ArrayFrames, check_frame
    from napari_surgisam.data.prompts import MAX_OBJECT_ID
    from napari_surgisam.data.suggestions import paint_suggestions, with_suggestions
    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.engine.suggesting import (
        Suggested,
        Suggesting,
        suggest_objects,
        usual_suggesting,
    )
    from napari_surgisam.formats.labels import check_labels, create_labels
    from napari_surgisam.formats.sources import open_source
    from napari_surgisam.formats.tables import write_points

    usual = usual_suggesting(model)
    wanted = Suggesting(
        points_per_side,
        usual.min_iou if min_iou is None else min_iou,
        usual.min_stability if min_stability is None else min_stability,
        overlap,
    )
    engine = EngineSettings(model, device, precision, image_size, focus=focus)
    engine.check()
    frames = open_source(source, axis=axis, window=shown, channel=channel, at=fixed)
    give_notice(frames, quiet=quiet)
    check_frame(frame, len(frames), str(source))
    spacing = None if frames.spacing is None else frames.spacing[1:]
    picture = ArrayFrames(frames.read(frame), rgb=True, spacing=spacing)
    check_labels(out, picture, MAX_OBJECT_ID if out.suffix else 255, overwrite)
    job = suggest_objects(engine.tracker(), frames, frame, wanted)
    found = next(e for e in follow(job, "Suggesting", quiet=quiet) if isinstance(e, Suggested))
    suggestions = found.suggestions
    with create_labels(out, picture, max(len(suggestions), 1), overwrite) as writer:
        writer.write(0, paint_suggestions(suggestions, picture.shape))
    if prompts is not None:
        annotation, _ = with_suggestions(Annotation(), frame, suggestions)
        write_points(prompts, annotation.book, axis=frames.axis, ndim=frames.ndim)
    typer.echo(out)
    if not quiet:
        say(f"{len(suggestions)} objects on frame {frame} of {source.name}.")
