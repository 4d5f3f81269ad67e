"""Carry prompts through a source and write the labels: what `propagate` and `demo` share."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_surgisam.cli.reporting import follow, say
from napari_surgisam.errors import DataError

if TYPE_CHECKING:
    from napari_surgisam.data.catalogue import Catalogue
    from napari_surgisam.data.frames import FrameSource
    from napari_surgisam.data.prompts import ObjectId, PromptBook
    from napari_surgisam.engine.plan import Plan, Span
    from napari_surgisam.engine.session import Session
    from napari_surgisam.engine.tracker import Tracker
    from napari_surgisam.formats.label_runs import LabelRun
    from napari_surgisam.formats.label_writer import LabelWriter
W = TypeVar("W", bound="LabelWriter | LabelRun")

SCORE_COLUMNS = ("frame", "object_id", "predicted_iou", "presence", "area")


def check_plan(frames: "FrameSource", book: "PromptBook", plan: "Plan") -> None:
    """Check that a plan has something to do, before a model is loaded for it.

    Raises
    ------
    PromptError
        If the span is empty, or an object has nothing to start from.
    """
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.engine.plan import plan_propagation

    annotation = Annotation(book)
    prompted = {object_id: annotation.sources(object_id) for object_id in book.object_ids}
    plan_propagation(plan, prompted, len(frames))


def advise_on_prompts(model: str, book: "PromptBook") -> None:
    """Say where a model was trained with boxes alone, and prompts have none.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    from napari_surgisam.data.prompts import Prompt
    from napari_surgisam.engine.models import describe_model

    spec = describe_model(model)
    if spec is None or spec.prompts != "box":
        return
    boxless = {
        prompt.object_id
        for prompt in book.entries.values()
        if isinstance(prompt, Prompt) and prompt.box is None
    }
    if boxless:
        names = ", ".join(map(str, sorted(boxless)))
        say(f"{spec.name} was trained with boxes: points alone may mislead it (objects {names}).")


def write_masks(
    frames: "FrameSource",
    book: "PromptBook",
    plan: "Plan",
    tracker: "Tracker",
    writer: "LabelWriter | LabelRun",
    *,
    catalogue: "Catalogue | None" = None,
    quiet: bool = False,
) -> "Session":
    """Propagate, and write each frame's labels as they come.

    A run that was interrupted goes on where it was, and notes what it does.

    Raises
    ------
    SurgisamError
        If a frame cannot be read, or the labels cannot be written.
    """
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.data.catalogue import Catalogue
    from napari_surgisam.engine.session import Session
    from napari_surgisam.engine.written import propagate_to_disk

    session = Session(frames, tracker, Annotation(book, catalogue=catalogue or Catalogue()))
    for _ in follow(propagate_to_disk(session, plan, writer), "Propagating", quiet=quiet):
        pass
    return session


def write_classes(
    frames: "FrameSource",
    objects: "Mapping[ObjectId, str]",
    span: "Span",
    tracker: "Tracker",
    writer: "LabelWriter | LabelRun",
    *,
    catalogue: "Catalogue | None" = None,
    quiet: bool = False,
) -> "Session":
    """Find objects by the names of their classes, and write each frame's labels as they come.

    Raises
    ------
    SurgisamError
        If a frame cannot be read, the labels cannot be written, or the span is empty.
    """
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.data.catalogue import Catalogue
    from napari_surgisam.engine.session import Session
    from napari_surgisam.engine.written import label_to_disk

    session = Session(frames, tracker, Annotation(catalogue=catalogue or Catalogue()))
    for _ in follow(label_to_disk(session, objects, span, writer), "Labelling", quiet=quiet):
        pass
    return session


@contextmanager
def kept_on_failure(writer: W) -> Iterator[W]:
    """Finish the labels, or after an error or Ctrl+C keep the frames beside the output."""
    from napari_surgisam.formats.label_runs import LabelRun

    try:
        yield writer
    except BaseException:
        kept = writer.abort(keep=True)
        if kept is not None:
            onward = " Go on with --resume." if isinstance(writer, LabelRun) else ""
            say(
                f"{writer.path} was not written; the frames that were done are kept in "
                f"{kept}.{onward}"
            )
        raise
    writer.close()


def write_scores(path: Path, session: "Session") -> None:
    """Write a row per frame and object, whole or not at all.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    part = path.with_name(f".{path.name}.partial")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(SCORE_COLUMNS)
            for s in session.scores():
                figures = (f"{s.predicted_iou:.4f}", f"{s.presence:.4f}")
                rows.writerow((s.frame, s.object_id, *figures, s.area))
        part.replace(path)
    except OSError as error:
        raise DataError(f"The scores {path} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
