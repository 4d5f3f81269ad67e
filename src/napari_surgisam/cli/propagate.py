"""`surgisam propagate`: masks through a whole video or scan, from clicks in a file or by class."""

from hashlib import blake2b
from pathlib import Path
from typing import Annotated, cast

import typer

from napari_surgisam.cli.engine_options import (
    At,
    Channel,
    Device,
    Focus,
    ImageSize,
    Names,
    Policy,
    Precision,
    Quiet,
    Window,
)
from napari_surgisam.cli.options import (
    check_new_file,
    check_no_input,
    open_cache,
    parse_at,
    parse_window,
)
from napari_surgisam.cli.reporting import reported, say
from napari_surgisam.cli.resume import check_new_session, save_session
from napari_surgisam.errors import DataError


@reported
def propagate(
    source: Annotated[
        Path,
        typer.Argument(
            help="Movie, folder of frames or of DICOM slices, DICOM, TIFF, NIfTI, NRRD, "
            "MetaImage, zarr, npy, or one picture."
        ),
    ],
    out: Annotated[
        list[Path],
        typer.Option(
            "--out",
            help="Labels: .tif, .zarr, .nii.gz, .nii, .nrrd, .mha, or a folder (PNG, VOS layout); "
            "or .json (COCO), .dcm (DICOM SEG), .mp4 (overlay), .csv (measurements). May be given "
            "several times.",
        ),
    ],
    prompts: Annotated[
        list[Path] | None,
        typer.Option(
            "--prompts",
            help="Points or rectangles as napari's CSV, with the columns object_id and "
            "polarity (positive or negative). May be given several times.",
        ),
    ] = None,
    classes: Annotated[
        bool,
        typer.Option(
            "--classes",
            help="In place of prompts: label the classes that the model was tuned to find by "
            "name, on every frame by itself.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run that was interrupted or killed; begin where there is none.",
        ),
    ] = False,
    model: Annotated[
        str, typer.Option(help="Name (see `surgisam models`) or model file.")
    ] = "embedded",
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="outward|first-n|forward|backward",
            help="Which way from the prompts. Default: first-n for movies, folders and what is "
            "known to be a time series, outward for volumes.",
        ),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Only frames A to B - 1, as in Python. Default: all."),
    ] = None,
    axis: Annotated[
        int, typer.Option(metavar="N", help="Axis of the (T or Z, Y, X) source to run along.")
    ] = 0,
    window: Window = "auto",
    channel: Channel = None,
    at: At = None,
    image_size: ImageSize = None,
    focus: Focus = "default",
    policy: Policy = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    cache_memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Memory for embeddings of frames. Default: 48MB."),
    ] = None,
    cache_disk: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Disk for them, such as 20GB: the next run on the same frames with the same "
            "image encoder reads them. Default: 0.",
        ),
    ] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where. Default: the folder for caches.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Also write frame,object_id,predicted_iou,presence,area per frame and object "
            "as CSV; presence is a logit."
        ),
    ] = None,
    names: Names = None,
    session_file: Annotated[
        Path | None,
        typer.Option(
            "--session",
            metavar="FILE.surgisam",
            help="Also save prompts and masks as a session, to be opened and corrected in napari.",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Carry prompts through a whole video or 3D scan, and print where the labels are."""
    shown, fixed = parse_window(window), parse_at(at or ())
    said = prompts or []
    _check_task(said, classes=classes, plan=plan)
    inputs = [source, *said]
    if scores is not None:
        check_no_input(scores, [*inputs, *out])
        check_new_file(scores, overwrite=overwrite or resume)
    if session_file is not None:
        check_new_session(session_file, overwrite=overwrite or resume)

    from napari_surgisam.cli.export import (
        check_outputs,
        check_paths,
        give_notice,
        object_names,
        write_exports,
    )
    from napari_surgisam.cli.run import (
        advise_on_prompts,
        check_plan,
        kept_on_failure,
        write_classes,
        write_masks,
        write_scores,
    )
    from napari_surgisam.data.catalogue import catalogue_by
    from napari_surgisam.data.classes import ClassList
    from napari_surgisam.data.prompts import PromptBook
    from napari_surgisam.engine.labelling import frames_of
    from napari_surgisam.engine.plan import Order, Plan, Span
    from napari_surgisam.formats.class_lists import classes_by_object
    from napari_surgisam.formats.label_files import first_of_arrays
    from napari_surgisam.formats.label_runs import begin_run
    from napari_surgisam.formats.labelled import Labelled
    from napari_surgisam.formats.session_sources import describe_source
    from napari_surgisam.formats.sources import open_source
    from napari_surgisam.formats.tables import read_prompts

    check_paths(out, inputs)
    main = first_of_arrays(out)
    others = [path for path in out if path is not main]
    reach = Span() if span is None else Span.parse(span)
    frames = open_source(source, axis=axis, window=shown, channel=channel, at=fixed)
    give_notice(frames, quiet=quiet)
    book = read_prompts(said, frames, at=fixed) if said else PromptBook()
    usual: Order = "first-n" if frames.temporal else "outward"
    way = Plan(usual if plan is None else cast("Order", plan), reach)
    if classes:
        frames_of(reach, len(frames))
    else:
        check_plan(frames, book, way)

    from napari_surgisam.engine.checkpoints import read_classes
    from napari_surgisam.engine.class_prompts import class_objects
    from napari_surgisam.engine.focus import choose_focus
    from napari_surgisam.engine.models import check_settings, load_network
    from napari_surgisam.engine.policies import choose_policy
    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.engine.tracker import Tracker

    weights = check_settings(model, device, precision, image_size)
    named = class_objects(read_classes(weights), model) if classes else {}
    view, memories = choose_focus(focus, model), choose_policy(policy, model)
    if not quiet:
        advise_on_prompts(model, book)
    table, kinds = object_names(names)
    found: dict[int, str] = {int(k): name for k, name in named.items()}
    called = found | table
    kinds = classes_by_object(found, ClassList(tuple(dict.fromkeys(kinds.values())))) | kinds
    catalogue = catalogue_by(kinds, named or book.object_ids)
    cache = open_cache(cache_memory, cache_disk, cache_dir)
    settings: dict[str, str] = {
        "source": frames.fingerprint,
        "prompts": blake2b(repr(sorted(book.entries.items())).encode(), digest_size=16).hexdigest(),
        "plan": f"{way.order} {reach.start}:{'' if reach.stop is None else reach.stop}",
        "model": model,
        "image size": str(image_size or "the model's own"),
        "focus": focus,
        "policy": policy,
    } | ({"classes": ", ".join(named.values())} if classes else {})
    if claims := catalogue.claims(catalogue.named):
        settings["overlaps"] = repr(sorted(claims.items()))
    highest = max(named or book.object_ids)
    replaced = overwrite or resume  # others are there when the first is not yet complete
    check_outputs(others, frames, highest, overwrite=replaced)
    run = begin_run(
        main,
        frames,
        highest,
        settings,
        overwrite=overwrite,
        resume=resume,
        names=called,
        classes=kinds,
    )
    if run is None:
        say(f"{main} is complete: there is nothing to resume.")
        typer.echo(main)
        return
    with kept_on_failure(run) as writer:
        network = load_network(model, device, precision, image_size)
        tracker = Tracker(network, memories, cache=cache, focus=view)
        session = (
            write_classes(frames, named, reach, tracker, writer, catalogue=catalogue, quiet=quiet)
            if classes
            else write_masks(frames, book, way, tracker, writer, catalogue=catalogue, quiet=quiet)
        )
        if scores is not None:
            write_scores(scores, session)
        labelled = Labelled(frames, writer.read, highest, called, kinds)
        write_exports(others, labelled, overwrite=replaced, quiet=quiet)
    cache.close()
    if session_file is not None:
        engine = EngineSettings(model, device, precision, image_size, policy, focus)
        record = describe_source(frames, source, window=shown, channel=channel, at=fixed)
        save_session(session_file, session, record, engine, way, called)
    typer.echo(main)
    damage = getattr(frames, "damage", "")
    if damage:
        raise DataError(f"{damage} Their labels are in {main}.")
    if not quiet:
        objects = ", ".join(map(str, book.object_ids))
        what = ", ".join(f"{label} {name}" for label, name in named.items())
        say(
            f"{len(frames)} frames, {f'classes {what}' if classes else f'objects {objects}'}: done."
        )


def _check_task(prompts: list[Path], *, classes: bool, plan: str | None) -> None:
    """Check that either prompts or classes are asked for."""
    if not prompts and not classes:
        raise DataError(
            "Nothing says what to segment: give --prompts FILE, or --classes with a model that was "
            "tuned to find classes by name."
        )
    if prompts and classes:
        raise DataError(
            "--classes labels every frame by itself, --prompts carries clicks from frame to frame: "
            "give one of them."
        )
    if classes and plan is not None:
        raise DataError(f"--classes follows no plan: leave out --plan {plan}; --span is heeded.")
