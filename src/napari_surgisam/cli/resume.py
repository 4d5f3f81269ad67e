"""`surgisam resume`: go on with a saved session from the shell."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_surgisam.cli.engine_options import Device, Precision, Quiet
from napari_surgisam.cli.reporting import follow, reported, say
from napari_surgisam.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_surgisam.engine.plan import Plan
    from napari_surgisam.engine.session import Session
    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.formats.session_state import SourceRecord


@reported
def resume(
    session: Annotated[Path, typer.Argument(metavar="FILE", help="A saved session, *.surgisam.")],
    source: Annotated[
        Path | None,
        typer.Option(help="Where the video or scan is now. Default: where it was, or beside it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Also write the labels: .tif, .zarr, .nii.gz, .nii, or a folder of PNGs; or an "
            "export, as `surgisam export`.",
        ),
    ] = None,
    by_class: Annotated[
        bool,
        typer.Option(
            "--by-class", help="Let values in --out be the labels of classes instead of objects."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace labels that exist.")
    ] = False,
    prompts_only: Annotated[
        bool,
        typer.Option(
            "--prompts-only",
            help="Take the prompts alone and make all masks anew, where the source is another or "
            "masks are damaged; with --save-as.",
        ),
    ] = False,
    save_as: Annotated[
        Path | None,
        typer.Option(
            metavar="NEW.surgisam", help="Leave the session as it is and save another one."
        ),
    ] = None,
    device: Device = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Compute the masks of a session that are missing or out of date, and print where it is."""
    from contextlib import ExitStack, closing
    from dataclasses import replace

    from napari_surgisam.engine.course import Update
    from napari_surgisam.engine.saved_sessions import (
        model_record,
        plan_of,
        restored_session,
        settings_of,
        with_annotation,
    )
    from napari_surgisam.formats.autosave import Autosaver
    from napari_surgisam.formats.label_files import check_existing, label_ending
    from napari_surgisam.formats.session_folder import SessionFolder
    from napari_surgisam.formats.session_sources import (
        describe_source,
        find_source,
        open_recorded,
    )

    if out is not None:
        check_existing(out, label_ending(out), overwrite)
    if save_as is not None:
        check_new_session(save_as, overwrite=overwrite)
    elif prompts_only:
        raise DataError(
            "--prompts-only begins a session of its own, so that no mask is lost: say where "
            "(--save-as NEW.surgisam)."
        )
    with ExitStack() as held:
        folder = held.enter_context(closing(SessionFolder(session)))
        if save_as is None and not folder.writable:
            raise DataError(f"{session} is read-only: save another one (--save-as).")
        state = folder.read(masks=not prompts_only)
        if prompts_only and source is not None:
            frames, path = open_recorded(state.source, source), source
            known = state.source
            state = replace(
                state,
                source=describe_source(
                    frames, path, window=known.window, channel=known.channel, at=known.at
                ),
            )
        else:
            frames, path = find_source(state.source, folder.path, source)
            state = replace(state, source=replace(state.source, path=str(path.absolute())))
        settings = settings_of(state.model, device, precision)
        settings.check()
        plan = plan_of(state, frames)
        made_by = model_record(settings, state.model.max_conditioning)
        if state.model.sha256 not in ("", made_by.sha256) and not prompts_only and save_as is None:
            raise DataError(
                f"The file of the model {made_by.name} is another than the one that made the masks "
                f"of {session}: get that one, or make all masks anew in another session "
                "(--save-as NEW.surgisam)."
            )
        tracker = replace(settings.tracker(), max_conditioning=state.model.max_conditioning)
        work = restored_session(state, frames, tracker, made_by.sha256)
        state = replace(state, model=made_by)
        count = work.count_outdated(plan)
        failed: list[Exception] = []
        target = folder
        if save_as is not None:
            target = held.enter_context(closing(SessionFolder(save_as, new=True)))
        saver = Autosaver(target, lambda: with_annotation(state, work), on_failed=failed.append)
        try:
            steps = work.propagate(plan, update=Update())
            for _ in follow(steps, "Propagating", quiet=quiet):
                saver.changed()
                if failed:
                    raise failed[0]
        finally:
            saver.changed()
            saver.close()
        if out is not None:
            names = {int(k): record.name for k, record in state.objects.items()}
            _write_labels(out, work, names, by_class=by_class, overwrite=overwrite)
    typer.echo(out or save_as or session)
    if not quiet:
        done = f"{count} masks were missing or out of date" if count else "nothing was missing"
        say(f"{session}: {done}.")


def _write_labels(
    out: Path, session: "Session", names: "Mapping[int, str]", *, by_class: bool, overwrite: bool
) -> None:
    from collections import deque

    from napari_surgisam.formats.labelled import Labelled
    from napari_surgisam.formats.labels import export_labels

    kinds = {int(k): known for k, known in session.annotation.catalogue.by_object().items()}
    highest = max(session.object_ids)
    labelled = Labelled(session.frames, session.labels, highest, names, kinds)
    labelled = labelled.by_class() if by_class else labelled
    deque(export_labels(out, labelled, overwrite), maxlen=0)


def check_new_session(path: Path, *, overwrite: bool) -> None:
    """Check that a session can be begun, before anything long starts.

    Raises
    ------
    DataError
        If the name has another ending, or there is something that may not be replaced.
    """
    from napari_surgisam.formats.session_folder import ENDING, is_session

    if path.suffix != ENDING:
        raise DataError(f"{path} is no name for a session: let it end with {ENDING}.")
    if path.exists() and not (overwrite and is_session(path)):
        raise DataError(
            f"{path} exists: choose another name, or replace a session with --overwrite."
        )
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: its folder does not exist. Create it first.")


def save_session(
    path: Path,
    session: "Session",
    source: "SourceRecord",
    settings: "EngineSettings",
    plan: "Plan",
    names: "Mapping[int, str]",
) -> None:
    """Save what a command made as a session of its own.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    from napari_surgisam.engine.saved_sessions import model_record, saved_state
    from napari_surgisam.formats.session_folder import SessionFolder

    folder = SessionFolder(path, new=True)
    try:
        model = model_record(settings, session.tracker.max_conditioning)
        folder.save(saved_state(session, source, model, plan, names))
    finally:
        folder.close()
