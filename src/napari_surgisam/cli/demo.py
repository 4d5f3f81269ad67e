"""`surgisam demo`: the embedded model on the sample clip, without internet."""

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from napari_surgisam.cli.engine_options import Quiet
from napari_surgisam.cli.reporting import reported, say
from napari_surgisam.errors import DataError

LABELS, OVERLAY = "surgisam_demo_labels.tif", "surgisam_demo_overlay.png"
_SHOWN = (0, 10, 20, 30, 38, 47)


@reported
def demo(
    out: Annotated[Path, typer.Option("--out", help=f"Folder for {LABELS} and {OVERLAY}.")] = Path(
        "surgisam-demo"
    ),
    quiet: Quiet = False,
) -> None:
    """Segment the sample clip with the embedded model and compare it with the truth.

    Prints `object N: DSC 0.xxx` per object: the Dice similarity coefficient of its masks on
    all frames together.
    """
    from napari_surgisam.cli.run import kept_on_failure, write_masks
    from napari_surgisam.engine.focus import choose_focus
    from napari_surgisam.engine.models import EMBEDDED, load_network
    from napari_surgisam.engine.plan import Plan
    from napari_surgisam.engine.tracker import Tracker
    from napari_surgisam.formats.labels import create_labels, read_labels
    from napari_surgisam.formats.sources import open_source
    from napari_surgisam.formats.tables import read_prompts
    from napari_surgisam.metrics.masks import dsc
    from napari_surgisam.resources import sample_data

    samples = sample_data()
    frames = open_source(samples / "clip.mp4")
    book = read_prompts([samples / "clip_prompts.csv"], frames)
    truth = read_labels(samples / "clip_labels.tif")
    started = perf_counter()
    tracker = Tracker(load_network(EMBEDDED), focus=choose_focus("default", EMBEDDED))
    _make_folder(out)
    labels_file = out / LABELS
    with kept_on_failure(create_labels(labels_file, frames, max(book.object_ids), True)) as writer:
        write_masks(frames, book, Plan("first-n"), tracker, writer, quiet=quiet)
    seconds = perf_counter() - started
    labels = read_labels(labels_file)
    for object_id in book.object_ids:
        agreement = dsc(labels == object_id, truth == object_id)
        typer.echo(f"object {object_id}: DSC {agreement:.3f}")

    from PIL import Image

    from napari_surgisam.cli.overlay import contact_sheet

    shown = [frame for frame in _SHOWN if frame < len(frames)]
    sheet = contact_sheet(frames, shown, labels[shown], book)
    try:
        Image.fromarray(sheet).save(out / OVERLAY)
    except OSError as error:
        raise DataError(f"{out / OVERLAY} cannot be written: {error.strerror}.") from error
    if not quiet:
        say(f"{len(frames)} frames in {seconds:.1f} s. Look at {out / OVERLAY}; try it with")
        say("your own clicks: napari -w napari-surgisam Segment, then press Sample clip.")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"The folder {out} cannot be made: {error.strerror}. Choose another with --out."
        ) from error
