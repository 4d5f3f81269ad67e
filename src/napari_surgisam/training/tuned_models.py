"""What a tuned model says about itself, and its place in the list of models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_surgisam.engine.checkpoints import Checkpoint, class_card, read_architecture
from napari_surgisam.engine.registry import (
    ModelSpec,
    available_models,
    check_new_name,
    register,
)
from napari_surgisam.errors import ModelError
from napari_surgisam.training.checkpoints import read_metadata

if TYPE_CHECKING:
    from napari_surgisam.training.finetuning import Finetuning


def model_card(
    job: Finetuning, checkpoint: Checkpoint, image_size: int, sha256: str
) -> dict[str, Any]:
    """Return what the file of a tuned model says: enough to load, judge and cite it.

    Parameters
    ----------
    job : Finetuning
    checkpoint : Checkpoint
        Of the base.
    image_size : int
        In pixels.
    sha256 : str
        Of the base's file.
    """
    compact = checkpoint.architecture == "compact"
    recipe = {field.name: getattr(job.recipe, field.name) for field in fields(job.recipe)}
    recipe |= {
        "trained": dict(job.recipe.trained),
        "strides": {str(k): v for k, v in job.recipe.strides.items()},
        "lesson": asdict(job.recipe.lesson),
        "losses": asdict(job.recipe.losses),
    }
    spec = available_models().get(job.options.base)
    return {
        "architecture": checkpoint.architecture,
        "config": json.loads(checkpoint.config) if compact else checkpoint.config,
        "image_size": image_size,
        "base": job.options.base if spec is not None else Path(job.options.base).name,
        "base_sha256": sha256,
        "recipe": recipe,
        "classes": job.facts["classes"],
        **class_card(checkpoint),
        "split": job.facts["split"],
        "samples_per_class": job.options.samples_per_class,
        "epochs": job.epochs,
        "seed": job.options.seed,
        "merged": job.options.merge,
        "licence": spec.licence if spec is not None else "",
        "citation": "; ".join(
            part for part in (spec.citation if spec is not None else "", job.recipe.source) if part
        ),
    }


def check_tuned_name(name: str, out: Path) -> None:
    """Check that a tuned model may have a name.

    Raises
    ------
    ModelError
        If it is not a name, or another model has it.
    """
    taken = available_models().get(name)
    mine = taken is not None and taken.file == str(out.resolve())
    check_new_name(name, taken.sha256 if taken is not None and mine else "not written yet")


def register_tuned(
    out: Path, name: str, base: str
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Enter a tuned model into the list of models, where it lies.

    Parameters
    ----------
    out : Path
        Its weights; they are not copied.
    name, base : str

    Returns
    -------
    tuple of mapping
        Its validation figures before and after, as far as there are any.

    Raises
    ------
    ModelError
        If the file is damaged, or the list cannot be written.
    """
    import pooch

    if not out.is_file():
        raise ModelError(f"{out} is gone, so it was not added to the list of models.")
    facts = read_metadata(out)
    before, after = facts.get("validation_before", {}), facts.get("validation", {})
    score = f", DSC {after['dsc']:.3f}" if "dsc" in after else ""
    parent = available_models().get(base)
    architecture = read_architecture(out)
    register(
        ModelSpec(
            name=name,
            architecture=architecture,
            config="" if architecture == "compact" else str(facts["config"]),
            image_size=int(facts["image_size"]),
            file=str(out.resolve()),
            nbytes=out.stat().st_size,
            sha256=str(pooch.file_hash(str(out))),
            licence=str(facts.get("licence", "")),
            citation=str(facts.get("citation", "")),
            note=f"tuned from {facts['base']} by {facts['recipe']['name']}{score}",
            policy=parent.policy if parent is not None else "sam2",
        )
    )
    return before, after
