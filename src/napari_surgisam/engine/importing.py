"""Take up model files that a person has: which model each is, kept under its name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from napari_surgisam.engine.checkpoints import (
    Checkpoint,
    read_checkpoint,
    source_hash,
    write_checkpoint,
)
from napari_surgisam.engine.models import build_network
from napari_surgisam.engine.registry import (
    MODELS,
    ModelSpec,
    cache_folder,
    check_new_name,
    published_model,
    register,
    weights_path,
)
from napari_surgisam.errors import ModelError


def import_checkpoint(path: Path | str, name: str | None = None) -> ModelSpec:
    """Copy a model file into the cache, so that it can be used by name.

    Parameters
    ----------
    path : path-like
        A SAM 2 or 2.1 checkpoint of torch, or a ``.safetensors`` file of this package.
    name : str, optional
        Defaults to the file's own without ending. A file that equals an official one
        becomes that model, as if it had been downloaded; so does one that bears the name
        under which a model of the field is published, or is given that model's name, if its
        keys fit. Under another name such a file keeps the model's image size, policy and
        citation.

    Returns
    -------
    ModelSpec

    Raises
    ------
    ModelError
        If the file is not a model's, or not the model's it is said to be, or the name is
        taken.
    """
    import pooch

    path = Path(path)
    checkpoint = read_checkpoint(path)
    sha256 = pooch.file_hash(str(path))
    official = {spec.sha256: spec for spec in MODELS.values() if spec.url}.get(sha256)
    if official is not None and name in (None, official.name):
        _copy(path, cache_folder() / official.file)
        return official
    named = MODELS.get(name or "")
    published = published_model(path.name, checkpoint.config)
    if published is None and named is not None and named.page:
        published = named
    if published is not None:
        _check_architecture(path, checkpoint, published)
        if path.suffix != ".safetensors":  # which says itself what size it is for
            checkpoint = replace(checkpoint, image_size=published.image_size)
        if name in (None, published.name):
            _check_same(published, path, sha256)
            return _keep(published, checkpoint, path, sha256)
    name = name or path.stem
    check_new_name(name, sha256)
    spec = ModelSpec(
        name=name,
        architecture=checkpoint.architecture,
        config=checkpoint.config,
        image_size=checkpoint.image_size,
        file=f"imported/{name}.safetensors",
        nbytes=path.stat().st_size,
        sha256=sha256,
        note=f"imported from {path.name}",
    )
    if published is not None:
        spec = replace(
            spec,
            licence=published.licence,
            citation=published.citation,
            policy=published.policy,
            prompts=published.prompts,
        )
    _keep(spec, checkpoint, path, sha256)
    register(spec)
    return spec


def _check_architecture(path: Path, checkpoint: Checkpoint, spec: ModelSpec) -> None:
    if (checkpoint.architecture, checkpoint.config) != (spec.architecture, spec.config):
        is_one = checkpoint.config if checkpoint.architecture == "sam2" else "another architecture"
        raise ModelError(
            f"{path} is not {spec.name}: by its keys it is {is_one}, not {spec.config}. Choose "
            "another name with --as NAME."
        )


def _check_same(spec: ModelSpec, path: Path, sha256: str) -> None:
    """Refuse to replace one published file by another of the same model."""
    kept = weights_path(spec)
    if kept is not None and source_hash(kept) not in ("", sha256):
        raise ModelError(
            f"Another file is already there as {spec.name}. Import {path.name} under another name "
            f"with --as NAME, or delete {kept} first."
        )


def _keep(spec: ModelSpec, checkpoint: Checkpoint, path: Path, sha256: str) -> ModelSpec:
    """Write weights into the cache, once it is certain that every one of them fits."""
    build_network(checkpoint, checkpoint.image_size, "cpu", "float32", str(path))
    target = cache_folder() / spec.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(f"Cannot write {target.parent}: {error.strerror}.") from error
    facts = {"source_sha256": sha256, "licence": spec.licence, "citation": spec.citation}
    write_checkpoint(target, checkpoint, {key: value for key, value in facts.items() if value})
    return spec


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(f"{target.name}.copy")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part)
        part.replace(target)
    except OSError as error:
        raise ModelError(f"Cannot copy {source} to {target}: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
