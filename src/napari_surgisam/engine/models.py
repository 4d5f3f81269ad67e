"""Bring a model's weights to this machine, and load the network they belong to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_surgisam.engine.checkpoints import Checkpoint, read_checkpoint
from napari_surgisam.engine.devices import choose_device, choose_precision
from napari_surgisam.engine.registry import (
    EMBEDDED,
    MODELS,
    ModelSpec,
    available_models,
    cache_folder,
    model_spec,
    published_model,
    weights_path,
)
from napari_surgisam.errors import MissingWeightsError, ModelError
from napari_surgisam.jobs import Event, Job

if TYPE_CHECKING:
    from napari_surgisam.engine.network import Network

__all__ = [
    "EMBEDDED",
    "MODELS",
    "ModelSpec",
    "available_models",
    "cache_folder",
    "check_settings",
    "describe_model",
    "fetch_checkpoint",
    "fetch_job",
    "find_weights",
    "load_network",
    "model_spec",
    "weights_path",
]


def fetch_job(model: str | ModelSpec) -> Job:
    """Download a model into the cache, or continue to; the events count bytes.

    Raises
    ------
    ModelError
        If the model cannot be downloaded; see `engine.downloads.download`.
    """
    from napari_surgisam.engine.downloads import download

    spec = model_spec(model) if isinstance(model, str) else model
    if not spec.url:
        find_weights(spec.name)
        yield Event(done=1, total=1)
        return
    path = cache_folder() / spec.file
    yield from download(spec.url, path, sha256=spec.sha256, nbytes=spec.nbytes)


def fetch_checkpoint(
    model: str | ModelSpec, on_event: Callable[[Event], None] | None = None
) -> Path:
    """Download a model unless it is here, and return the path of its weights.

    Parameters
    ----------
    model : str or ModelSpec
    on_event : callable, optional
        Called with the bytes done and altogether.

    Raises
    ------
    ModelError
        As `fetch_job`.
    """
    spec = model_spec(model) if isinstance(model, str) else model
    for event in fetch_job(spec):
        if on_event is not None:
            on_event(event)
    return weights_path(spec) or cache_folder() / spec.file


def describe_model(model: str | Path) -> ModelSpec | None:
    """Return what is known of a model by its name, or of a file by its name and keys.

    A file that is no published model of the field has no description.

    Raises
    ------
    ModelError
        If there is no model of that name, or the file cannot be read.
    """
    if isinstance(model, str) and not _is_file(model):
        return model_spec(model)
    name = Path(model).name
    if not any(s.published_as and re.fullmatch(s.published_as, name) for s in MODELS.values()):
        return None
    return published_model(name, read_checkpoint(Path(model).expanduser()).config)


def load_network(
    model: str | Path,
    device: str = "auto",
    precision: str = "auto",
    image_size: int | None = None,
) -> Network:
    """Build a model's network with its weights, ready to segment.

    Parameters
    ----------
    model : str or Path
        Name of a model, or path of a model file.
    device : str
        ``auto`` (cuda, else mps, else cpu), or torch's name of a device.
    precision : str
        ``auto`` (bfloat16 where the hardware has it), ``float32`` or ``bfloat16``.
    image_size : int, optional
        Side of the square that frames are resized to, in pixels, a multiple of 32;
        defaults to the model's own.

    Raises
    ------
    ModelError
        If the model is unknown, not on this machine, damaged or does not fit, or the
        device, precision or image size is impossible.
    """
    path = check_settings(model, device, precision, image_size)
    checkpoint = read_checkpoint(path)
    published = published_model(path.name, checkpoint.config)
    own = checkpoint.image_size if published is None else published.image_size
    return build_network(checkpoint, image_size or own, device, precision, str(path))


def without_postprocessing(network: Network) -> Network:
    """Return a network that leaves prompted masks as soft as they are when it remembers them.

    SAM 2's published figures are made so: ``vos_inference.py`` has no post-processing, but
    ``SAM2VideoPredictor``, whose answers `load_network`'s networks give, makes these masks
    hard. The network itself is changed.
    """
    from napari_surgisam.engine.sam2_network import Sam2Network

    if isinstance(network, Sam2Network):
        network.keep_soft_prompts()
    return network


def check_settings(
    model: str | Path,
    device: str = "auto",
    precision: str = "auto",
    image_size: int | None = None,
) -> Path:
    """Check what `load_network` would be given, without reading the weights.

    Returns
    -------
    Path
        Of the weights.

    Raises
    ------
    ModelError
        If a setting is impossible, or the weights are not on this machine.
    """
    if image_size is not None and (image_size < 64 or image_size > 4096 or image_size % 32):
        raise ModelError(
            f"Image size {image_size} is impossible: it is the side of the network's square in "
            "pixels, a multiple of 32 from 64 to 4096."
        )
    choose_precision(precision, choose_device(device))
    return find_weights(model)


def find_weights(model: str | Path) -> Path:
    """Return the path of the weights that a name or path of a model stands for.

    Raises
    ------
    ModelError
        If there is no such model or file, or the weights are not on this machine.
    """
    if isinstance(model, Path) or _is_file(model):
        path = Path(model).expanduser()
        if not path.is_file():
            raise ModelError(f"The model file {path} does not exist.")
        return path
    spec = model_spec(model)
    found = weights_path(spec)
    if found is None and spec.page:
        raise MissingWeightsError(
            f"The weights of {spec.name} are not on this machine, and have no address to fetch "
            f"them from. Get them from {spec.page}, then run: surgisam models import FILE --as "
            f"{spec.name}",
            spec.name,
            fetchable=False,
        )
    if found is None and not spec.url:
        where = "install napari-surgisam" if spec.name == EMBEDDED else "import its file"
        text = f"The weights of {spec.name} are gone: {where} again."
        raise MissingWeightsError(text, spec.name, fetchable=False)
    if found is None:
        raise MissingWeightsError(
            f"The weights of {spec.name} are not on this machine. Run: surgisam models fetch "
            f"{spec.name} ({spec.nbytes / 1e6:.0f} MB), or import the file that you have.",
            spec.name,
            fetchable=True,
        )
    return found


def build_network(
    checkpoint: Checkpoint,
    image_size: int,
    device: str,
    precision: str,
    where: str,
    *,
    learning: bool = False,
) -> Network:
    """Build the network that weights belong to.

    Parameters
    ----------
    checkpoint : Checkpoint
    image_size : int
        Side of the square that frames are resized to, in pixels.
    device, precision : str
        As for `load_network`.
    where : str
        The weights' file, for messages.
    learning : bool
        Whether it will be trained: its weights stay in float32 then.

    Raises
    ------
    ModelError
        If the weights do not fit, or are for an unknown architecture.
    """
    on = choose_device(device)
    dtype = choose_precision(precision, on)
    fingerprint = checkpoint.encoder_fingerprint(image_size, dtype)
    from napari_surgisam.engine.rounding import round_weights

    # sam2 sets up Hydra for the whole process when it is imported
    try:
        if checkpoint.architecture == "compact":
            from napari_surgisam.engine.compact_network import CompactConfig, load_compact

            network = load_compact(
                CompactConfig.from_dict(json.loads(checkpoint.config)),
                checkpoint.state,
                image_size=image_size,
                device=str(on),
                precision=dtype,
                encoder_fingerprint=fingerprint,
                classes=checkpoint.classes,
            )
        elif checkpoint.architecture == "sam2":
            from napari_surgisam.engine.sam2_network import load_sam2

            network = load_sam2(
                checkpoint.config,
                checkpoint.state,
                image_size=image_size,
                device=str(on),
                precision=dtype,
                encoder_fingerprint=fingerprint,
                classes=checkpoint.classes,
            )
        else:
            raise ModelError(
                f"{where} is for the architecture {checkpoint.architecture!r}, which this version "
                "does not know. Is there a newer version of napari-surgisam?"
            )
    except RuntimeError as error:  # torch's word for weights that do not fit
        if "state_dict" not in str(error):
            raise ModelError(f"{where} cannot be loaded on {on}: {error}") from error
        reasons = [line.strip() for line in str(error).splitlines()[1:]]
        raise ModelError(
            f"The weights in {where} do not fit its network: {' '.join(reasons)[:300]}"
        ) from error
    if not learning:
        round_weights(network.model, dtype)
    return network


def _is_file(model: str) -> bool:
    """Whether a model is meant as the path of a file; a known name never is."""
    return model not in available_models() and _looks_like_path(model)


def _looks_like_path(model: str) -> bool:
    return Path(model).suffix in {".pt", ".pth", ".safetensors"} or Path(model).exists()
