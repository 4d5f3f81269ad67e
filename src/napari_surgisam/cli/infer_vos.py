"""`surgisam infer-vos`: SAM 2's and SurgSAM-2's inference on folders, with their flags."""

import re
from pathlib import Path
from typing import Annotated

import typer

from napari_surgisam.cli.engine_options import Policy, Precision, Quiet
from napari_surgisam.cli.reporting import follow, reported, say
from napari_surgisam.errors import DataError, SurgisamError

_SIZE = re.compile(r"^\s*image_size:\s*(\d+)", re.MULTILINE)
_NAMED_SIZE = re.compile(r"_(\d{3,4})(?:\.ya?ml)?$")
FIGURES = ("j", "f", "j_and_f", "dsc")


@reported
def infer_vos(
    base_video_dir: Annotated[
        Path, typer.Option("--base_video_dir", help="Folder with a folder of JPEGs per video.")
    ],
    input_mask_dir: Annotated[
        Path, typer.Option("--input_mask_dir", help="Folder with a folder of PNGs per video.")
    ],
    output_mask_dir: Annotated[
        Path, typer.Option("--output_mask_dir", help="Where palette PNGs of every frame go.")
    ],
    sam2_checkpoint: Annotated[
        str, typer.Option("--sam2_checkpoint", help="Checkpoint, or name of a model.")
    ] = "embedded",
    sam2_cfg: Annotated[
        str,
        typer.Option(
            "--sam2_cfg",
            help="SAM 2's configuration. Only its image_size is read: the network is recognised "
            "by its weights.",
        ),
    ] = "",
    gt_root: Annotated[
        Path | None, typer.Option("--gt_root", help="Truth to score against: J, F, J&F and DSC.")
    ] = None,
    gpu_id: Annotated[
        int | None, typer.Option("--gpu_id", help="Number of the GPU. Without one: the CPU.")
    ] = None,
    video_list_file: Annotated[
        Path | None, typer.Option("--video_list_file", help="Names of videos, one per line.")
    ] = None,
    score_thresh: Annotated[
        float, typer.Option("--score_thresh", help="Logit from which a pixel is in the mask.")
    ] = 0.0,
    use_all_masks: Annotated[
        bool,
        typer.Option("--use_all_masks", help="All masks prompt, not each object's first one."),
    ] = False,
    per_obj_png_file: Annotated[
        bool, typer.Option("--per_obj_png_file", help="A folder per object, as in SA-V.")
    ] = False,
    apply_postprocessing: Annotated[
        bool,
        typer.Option(
            "--apply_postprocessing",
            help="Remember prompted masks with hard edges, as in interactive use. Holes are not "
            "filled.",
        ),
    ] = False,
    track_object_appearing_later_in_video: Annotated[
        bool,
        typer.Option(
            "--track_object_appearing_later_in_video",
            help="Accepted; objects that appear later are always tracked.",
        ),
    ] = False,
    policy: Policy = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Track objects from masks through folders of frames, and score them.

    With --gt_root prints video, object, J, F, J&F and DSC with tabs, and their means.
    """
    from dataclasses import replace

    videos = _videos(base_video_dir, video_list_file)

    from napari_surgisam.engine.models import without_postprocessing
    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.evaluation.vos import VosOptions, score_video, segment_video

    settings = EngineSettings(
        sam2_checkpoint,
        _device(gpu_id),
        precision,
        _image_size(sam2_cfg),
        policy,
        focus="off",
    )
    settings.check()
    options = VosOptions(
        input_mask_dir, output_mask_dir, use_all_masks, per_obj_png_file, score_thresh
    )
    tracker = replace(settings.tracker(), max_conditioning=None)
    if not apply_postprocessing:
        tracker = replace(tracker, network=without_postprocessing(tracker.network))
    for number, video in enumerate(videos, start=1):
        what = f"{number}/{len(videos)} {video.name}"
        for _ in follow(segment_video(video, options, tracker), what, quiet=quiet):
            pass
    if gt_root is None:
        typer.echo(output_mask_dir)
        return
    typer.echo("\t".join(("video", "object", *FIGURES)))
    values: list[list[float]] = []
    problem: SurgisamError | None = None
    for video in videos:
        try:
            rows = score_video(video, options, gt_root).rows
        except SurgisamError as error:
            say(str(error))
            problem = error
            continue
        for row in rows:
            values.append([row.figures[name] for name in FIGURES])
            figures = [f"{value:.4f}" for value in values[-1]]
            typer.echo("\t".join([video.name, str(row.object_id), *figures]))
    if values:
        means = [f"{sum(column) / len(column):.4f}" for column in zip(*values, strict=True)]
        typer.echo("\t".join(["mean", str(len(values)), *means]))
    if problem is not None:
        raise problem


def _videos(base: Path, listed: Path | None) -> list[Path]:
    if not base.is_dir():
        raise DataError(f"The folder of videos {base} does not exist.")
    if listed is None:
        names = sorted(p.name for p in base.iterdir() if p.is_dir() and p.name[0] != ".")
    else:
        try:
            lines = listed.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"The list of videos {listed} cannot be read: {error}.") from error
        names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(
            f"{listed or base} names no video: one folder of JPEGs per video is needed."
        )
    if missing := [name for name in names if not (base / name).is_dir()]:
        raise DataError(f"{base} has no folder for {', '.join(missing[:5])}.")
    return [base / name for name in names]


def _image_size(config: str) -> int | None:
    """Return the image size of a configuration that lies here, or that its name tells."""
    path = Path(config)
    if config and path.is_file():
        match = _SIZE.search(path.read_text(encoding="utf-8", errors="replace"))
    else:
        match = _NAMED_SIZE.search(config)
    return int(match[1]) if match else None


def _device(gpu_id: int | None) -> str:
    import torch

    if gpu_id is None:
        return "auto"
    if not torch.cuda.is_available():
        say(f"There is no GPU {gpu_id} here, so the CPU computes.")
        return "cpu"
    return f"cuda:{gpu_id}"
