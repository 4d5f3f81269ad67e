"""`surgisam pretrain`: train the compact network from scratch, on synthetic clips."""

import os
from pathlib import Path
from typing import Annotated

import typer

from napari_surgisam.cli.engine_options import Device, Precision, Quiet
from napari_surgisam.cli.options import check_new_file
from napari_surgisam.cli.reporting import follow, reported, say
from napari_surgisam.errors import DataError


@reported
def pretrain(
    out: Annotated[Path, typer.Option("--out", help="Weights, .safetensors; more lies beside.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from --out's state, or its weights alone.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Stop at this step, from the first.")] = 20_000,
    minutes: Annotated[float, typer.Option(help="Stop, saved, after this time.")] = float("inf"),
    image_size: Annotated[int, typer.Option(help="Side of a frame, pixels; 32 n.")] = 256,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 6e-4,
    average: Annotated[float, typer.Option(help="Decay of the weights' moving average.")] = 0.998,
    cooldown: Annotated[int, typer.Option(help="Last steps, with a falling rate.")] = 0,
    check_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 500,
    image_steps: Annotated[int, typer.Option(help="Steps before clips join in.")] = 1500,
    ramp: Annotated[
        int, typer.Option(help="Steps from clear and large to faint and small.")
    ] = 6000,
    images: Annotated[int, typer.Option(min=1, help="Images in an image batch.")] = 10,
    clips: Annotated[int, typer.Option(min=1, help="Clips in a clip batch.")] = 3,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a clip.")] = 5,
    clip_share: Annotated[float, typer.Option(min=0, max=1, help="Of clip batches.")] = 0.5,
    views: Annotated[int, typer.Option(min=1, help="How often a drawn batch is practised.")] = 2,
    volume_presence: Annotated[
        float, typer.Option(help="Presence logit below which an object has ended in a volume.")
    ] = 0.0,
    volume_likeness: Annotated[
        float,
        typer.Option(
            help="Cosine of the features inside a mask with those on prompted slices, below which "
            "an object has ended in a volume."
        ),
    ] = 0.0,
    carry_masks: Annotated[
        bool, typer.Option(help="Start a frame from the mask of the one before.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 is torch's choice.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    quiet: Quiet = False,
) -> None:
    """Train the embedded model's network on synthetic clips with simulated clicks.

    Beside the weights lie `.state.pt`, from which --resume goes on, and `.curves.csv`. Figures
    of a fixed validation set are printed to stdout at every checkpoint. Several GPUs: run it
    with `accelerate launch -m napari_surgisam pretrain …`.
    """
    if out.suffix != ".safetensors":
        raise DataError(f"{out} cannot hold the weights: give a path that ends in .safetensors.")
    if image_size % 32 or image_size < 64:
        raise DataError(f"An image size of {image_size} does not fit: use 64, 96, 128, …")
    check_new_file(out, overwrite=resume)

    import torch

    from napari_surgisam.engine.compact_network import CompactConfig
    from napari_surgisam.engine.devices import choose_device, choose_precision
    from napari_surgisam.training.pretraining import PretrainOptions, pretrain
    from napari_surgisam.training.trainer import FitOptions

    if threads:
        torch.set_num_threads(threads)
    chosen = choose_device(device)
    job = pretrain(
        out,
        FitOptions(
            steps=steps,
            minutes=minutes,
            learning_rate=learning_rate,
            cooldown=cooldown,
            average=average,
            check_every=check_every,
        ),
        PretrainOptions(
            image_steps=image_steps,
            ramp=ramp,
            images=images,
            clips=clips,
            frames=frames,
            clip_share=clip_share,
            views=views,
            seed=seed,
        ),
        config=CompactConfig(
            image_size=image_size,
            volume_presence=volume_presence,
            volume_likeness=volume_likeness,
            carries_masks=carry_masks,
        ),
        device=str(chosen),
        precision=choose_precision(precision, chosen),
        resume=resume,
    )
    first = os.environ.get("RANK", "0") == "0"  # of several processes, one speaks
    for event in follow(job, "training", quiet=quiet or not first):
        if event.validation is not None and first:
            figures = ", ".join(f"{name} {value:.3f}" for name, value in event.validation.items())
            typer.echo(f"step {event.done}, {event.prompts} prompts: {figures}")
        if event.message and not quiet and first:
            say(event.message)
