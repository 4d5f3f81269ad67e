"""Options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

Window = Annotated[
    str,
    typer.Option(
        metavar="auto|LO:HI",
        help="Values shown to the model as black and white. auto: DICOM's own window, uint8 "
        "unchanged, else the 0.5 to 99.5 percentile.",
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=INDEX",
        help="Fix an axis of a source with more than three. May be given several times.",
    ),
]
Names = Annotated[
    Path | None,
    typer.Option(
        "--names",
        metavar="FILE",
        help="What objects are called, for exports that say it: CSV with the columns label and "
        "class, or nnU-Net's dataset.json.",
    ),
]
Channel = Annotated[int | None, typer.Option(metavar="N", help="Channel of multichannel images.")]
ImageSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Side of the square that the model sees, a multiple of 32. Default: its own.",
    ),
]
Focus = Annotated[
    str,
    typer.Option(
        metavar="auto|off",
        help="auto: the model sees a window around each object that follows it, which helps with "
        "small ones. off: the whole frame. Default: auto for the embedded model, off for SAM 2.",
    ),
]
Policy = Annotated[
    str,
    typer.Option(
        metavar="auto|NAME[:setting=value,…]",
        help="Which earlier frames the model attends to: sam2, efficient-pruning, split-pruning, "
        "diverse, confident, occlusion-resilient, distractor-aware or motion-aware; "
        "docs/policies.md says what they do. Default: auto, the model's own.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only errors.")]
