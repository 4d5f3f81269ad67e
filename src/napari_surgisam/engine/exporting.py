"""Write a model as a file of the official format, for programs that know SAM 2 alone."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_surgisam.engine.checkpoints import CLASS_TOKENS, read_checkpoint
from napari_surgisam.engine.models import find_weights
from napari_surgisam.errors import ModelError


def export_checkpoint(model: str | Path, out: Path) -> str:
    """Write a SAM 2 or 2.1 model as ``{"model": weights}``, as its makers publish theirs.

    Parameters
    ----------
    model : str or Path
        Name or file.
    out : Path
        Ends in ``.pt``; written whole or not at all, with weights in float32. Prompts of
        classes are left out: sam2 refuses weights that it does not know.

    Returns
    -------
    str
        Name of the sam2 configuration that the file is for.

    Raises
    ------
    ModelError
        If the model is unknown or no SAM 2, or the file cannot be written.
    """
    if out.suffix != ".pt":
        raise ModelError(f"{out} cannot hold an official checkpoint: give a path that ends in .pt.")
    checkpoint = read_checkpoint(find_weights(model))
    if checkpoint.architecture != "sam2":
        raise ModelError(
            f"{model} has the architecture {checkpoint.architecture!r}, which sam2 itself does not "
            "know: no program but this one could load the file. Fine-tune a SAM 2 model "
            "(--base sam2.1_hiera_tiny) to have one."
        )
    state = {
        name: (value.float() if value.is_floating_point() else value).contiguous()
        for name, value in checkpoint.state.items()
        if name != CLASS_TOKENS
    }
    part = out.with_name(f"{out.name}.part")
    try:
        torch.save({"model": state}, part)
        part.replace(out)
    except (OSError, RuntimeError) as error:  # torch's word for a full disk is the second
        raise ModelError(f"Cannot write {out}: {str(error).splitlines()[0]}.") from error
    finally:
        part.unlink(missing_ok=True)
    return checkpoint.config
