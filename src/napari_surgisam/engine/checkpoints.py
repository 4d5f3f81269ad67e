"""Weights in files: read without running anything in them, and recognised by their keys."""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_surgisam.errors import ModelError

# (channels of the first stage, blocks) of Hiera's trunk, from sam2's configurations
HIERA_SIZES = {(96, 12): "t", (96, 16): "s", (112, 24): "b+", (144, 48): "l"}
CLASS_TOKENS = "class_prompts.tokens"
"""Name of the prompts of classes among the weights; SAM 2 itself has none."""
_CLASSES = "class_prompts"  # the same in what a file says about itself
_TRUNK = "image_encoder.trunk."
ENCODER = ("image_encoder.", "sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")
"""How the names of the weights begin that an embedding depends on: SAM 2 applies the decoder's
two while it embeds."""


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Weights and what they are for.

    Parameters
    ----------
    architecture : str
        ``sam2`` or ``compact``.
    config : str
        For ``sam2`` the name of a configuration that ships with sam2, for ``compact`` the
        network's sizes as JSON.
    image_size : int
        Side of the square that frames are resized to unless told, in pixels.
    state : dict of str to Tensor
    classes : mapping of str to int
        Labels of the classes whose prompts are among the weights, by name, in their order.
    """

    architecture: str
    config: str
    image_size: int
    state: dict[str, Tensor]
    classes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def encoder_fingerprint(self, *settings: object) -> str:
        """Return the identity of the image encoder's weights and of `settings`."""
        digest = hashlib.sha256(repr((self.architecture, self.config, *settings)).encode())
        for name in sorted(self.state):
            if name.startswith(ENCODER):
                tensor = self.state[name].contiguous()
                digest.update(name.encode())
                digest.update(tensor.flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a model file without running anything in it.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file that describes itself, or a SAM 2 checkpoint of torch.

    Raises
    ------
    ModelError
        If it is missing, damaged, holds more than tensors, or is of another model.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ModelError(f"The model file {path} {what}: give a .pt or .safetensors file.")
    if path.suffix == ".safetensors":
        state, metadata = _read_safetensors(path)
        if "config" in metadata:
            return _described(path, state, metadata)
    else:
        state = _read_torch(path)
    config = recognise(state)
    if config is None:
        raise ModelError(
            f"{path} is not a SAM 2 or 2.1 checkpoint (tiny, small, base-plus or large): "
            f"{_summary(state)}."
        )
    return Checkpoint("sam2", config, 1024, state)


def read_architecture(path: Path) -> str:
    """Return the architecture that a model file is for, without reading its weights.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    if path.suffix != ".safetensors":
        return "sam2"
    said = _read_about(path)
    return "sam2" if "config" not in said else str(said.get("architecture", "compact"))


def read_classes(path: Path) -> dict[str, int]:
    """Return the classes that a model file has prompts of, with their labels; mostly none.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    return {str(name): int(label) for name, label in _read_about(path).get(_CLASSES, {}).items()}


def write_checkpoint(
    path: Path, checkpoint: Checkpoint, card: Mapping[str, Any] | None = None
) -> None:
    """Write a self-describing ``.safetensors`` file, whole or not at all.

    Its metadata are JSON, value by value: ``architecture``, ``config``, ``image_size`` and
    what the card adds.

    Parameters
    ----------
    path : Path
    checkpoint : Checkpoint
    card : mapping, optional
        More to say about the model: licence, training data.
    """
    compact = checkpoint.architecture == "compact"
    facts = {
        **(card or {}),
        "architecture": checkpoint.architecture,
        "config": json.loads(checkpoint.config) if compact else checkpoint.config,
        "image_size": checkpoint.image_size,
        **class_card(checkpoint),
    }
    metadata = {key: json.dumps(value) for key, value in facts.items()}
    # safetensors refuses tensors that share storage
    state = {name: value.detach().clone().contiguous() for name, value in checkpoint.state.items()}
    part = path.with_name(f"{path.name}.part")
    try:
        save_file(state, part, metadata=metadata)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"Cannot write the model {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def class_card(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what a file says about the prompts of classes in it; nothing without any."""
    return {_CLASSES: dict(checkpoint.classes)} if checkpoint.classes else {}


def source_hash(path: Path) -> str:
    """Return the SHA-256 of the file that a kept model was imported from, empty if unknown.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return str(json.loads((file.metadata() or {}).get("source_sha256", '""')))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged ({_first_line(error)}): delete it.") from error


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """Return the name of the sam2 configuration that the weights belong to, or None.

    SAM 2 and 2.1 differ by two added weights, the sizes by their trunk.
    """
    patches = state.get(f"{_TRUNK}patch_embed.proj.weight")
    if patches is None:
        return None
    blocks = {name.split(".")[3] for name in state if name.startswith(f"{_TRUNK}blocks.")}
    size = HIERA_SIZES.get((patches.shape[0], len(blocks)))
    if size is None:
        return None
    added = ("no_obj_embed_spatial" in state, "obj_ptr_tpos_proj.weight" in state)
    if added == (True, True):
        return f"configs/sam2.1/sam2.1_hiera_{size}.yaml"
    return f"configs/sam2/sam2_hiera_{size}.yaml" if added == (False, False) else None


def _described(path: Path, state: dict[str, Tensor], metadata: Mapping[str, str]) -> Checkpoint:
    try:
        facts = {key: json.loads(value) for key, value in metadata.items()}
        architecture, config = facts.get("architecture", "compact"), facts["config"]
        if architecture == "compact":
            size = facts.get("image_size", config["image_size"])
            config = json.dumps(config)
        elif config == recognise(state):
            size = facts["image_size"]
        else:
            raise ValueError(f"its weights do not fit {config}")
        classes = {str(name): int(label) for name, label in facts.get(_CLASSES, {}).items()}
        if len(classes) != len(state.get(CLASS_TOKENS, ())):
            raise ValueError("its classes and their prompts differ in number")
        return Checkpoint(architecture, config, int(size), state, classes)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path} does not describe its network rightly ({error}). Was it made by another "
            "version of napari-surgisam?"
        ) from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
            return state, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_about(path: Path) -> dict[str, Any]:
    """Return what a safetensors file of ours says about itself; nothing where it is no such."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if "config" not in metadata:
            return {}
        return {key: json.loads(value) for key, value in metadata.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} is damaged or not a safetensors file ({_first_line(error)}): copy or download "
        "it again."
    )


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # about the pickle's dialect
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} was not opened: it is not a model file, or holds more than weights, and "
            "loading that could run foreign code. Ask its maker for a .safetensors file."
        ) from error
    except Exception as error:  # torch raises nearly anything on a damaged file
        raise ModelError(
            f"{path} is damaged or not a model file ({_first_line(error)}): copy or download it "
            "again."
        ) from error
    for entry in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(entry), dict):
            content = content[entry]
    if not isinstance(content, dict) or not content or not _all_tensors(content.items()):
        raise ModelError(f"{path} holds no table of weights, so it is not a model file.")
    return content


def _all_tensors(items: Iterable[tuple[Any, Any]]) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in items)


def _summary(state: Mapping[str, Tensor]) -> str:
    names = sorted(state)
    return f"it has {len(names)} weights, the first {names[0]!r}" if names else "it is empty"


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return line if len(line) <= 120 else f"{line[:120]}…"
