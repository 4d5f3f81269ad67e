"""How to fine-tune, after whom: frozen data, and what they mean for a model's parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from torch import nn

from napari_surgisam.engine.checkpoints import CLASS_TOKENS, ENCODER
from napari_surgisam.errors import ModelError
from napari_surgisam.training.lessons import Lesson
from napari_surgisam.training.losses import LossWeights

Part = Literal["encoder", "prompts", "decoder", "memory", "adapters", "classes"]
Adapters = Literal["", "lora", "dilated"]

_BLOCK = re.compile(r"image_encoder\.trunk\.(?:blocks\.(\d+)|stages\.(\d+)\.(\d+))\.")
_ORIGINAL = ".parametrizations.weight.original"
_ADAPTER = ".parametrizations.weight.0."
_STATISTICS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


_LESSON = Lesson(objects=3, rounds=2, smallest=1, points=10)
_SAM2_LOSSES = LossWeights(
    entropy=0, focal=20, dice=1, iou=1, presence=1, absent=1, empty=0, others=0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is trained, on which clips, how fast, and for which loss.

    Parameters
    ----------
    name, summary : str
    source : str
        Whose recipe it is, as a citation.
    differs : str
        In what it differs from the source, and why.
    trained : mapping of Part to float
        Share of the learning rate for every part that moves; the others are frozen.
    adapters : {"", "lora", "dilated"}
        See `adapters`; they are merged into the weights in the end.
    learning_rate, weight_decay, clip_norm : float
    layer_decay : float
        By how much deeper layers of the encoder learn faster than those before.
    epochs, batch : int
        `batch` counts clips per step and process.
    frames : int
        Of a clip.
    image_share : float
        Share of the batches that are single frames.
    strides : mapping of int to float
        Chance that a clip takes every so many-th frame.
    far : int
        Frames of a clip that come from anywhere in the case, in half of the clips.
    lesson : Lesson
    losses : LossWeights
    cached : bool
        Whether frames are embedded once, and never augmented.
    by_class : bool
        Whether objects are asked for by their classes' names, without a click, on frames from
        anywhere in a case.
    """

    name: str
    summary: str
    source: str
    trained: Mapping[Part, float]
    differs: str = ""
    adapters: Adapters = ""
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    layer_decay: float = 1.0
    epochs: int = 20
    batch: int = 4
    frames: int = 4
    image_share: float = 0.25
    strides: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({1: 1.0}))
    far: int = 0
    lesson: Lesson = _LESSON
    losses: LossWeights = _SAM2_LOSSES
    cached: bool = False
    by_class: bool = False


# unweighted Dice and cross-entropy; with one mask asked for, every candidate is taught it
_BIOSAM2_LOSSES = LossWeights(entropy=1, dice=1, iou=1, presence=1, absent=1, empty=0, others=1)
_BIOSAM2 = "Yan et al., BioSAM-2, arXiv:2408.03286"
_EVERYTHING: Mapping[Part, float] = MappingProxyType(
    {"encoder": 1.0, "prompts": 1.0, "decoder": 1.0, "memory": 1.0}
)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            Recipe(
                name="decoder-only",
                summary="frames are embedded once, the mask decoder is trained: for a laptop",
                source=_BIOSAM2 + ": its losses",
                differs="all is frozen that an embedding depends on; so is memory, because short "
                "clips taught it to forget long ones",
                trained=MappingProxyType({"decoder": 1.0}),
                learning_rate=4e-4,
                losses=_BIOSAM2_LOSSES,
                cached=True,
            ),
            Recipe(
                name="biosam2",
                summary="image encoder with layer decay and mask decoder",
                source=_BIOSAM2,
                differs="20 epochs of 4 clips in place of 200 of 8 images; single masks by "
                "teaching each candidate the same; clips as well as images",
                trained=MappingProxyType({"encoder": 1.0, "decoder": 1.0}),
                layer_decay=0.9,
                losses=_BIOSAM2_LOSSES,
                image_share=0.5,
            ),
            Recipe(
                name="surgisam2",
                summary="encoder and mask decoder on single frames, few samples per class",
                source="Kamtam et al., SurgiSAM2, arXiv:2503.03942",
                differs="the decoder alone beside the encoder; 2 correction clicks in place of 7",
                trained=MappingProxyType({"encoder": 0.6, "decoder": 1.0}),
                learning_rate=5e-6,
                weight_decay=0.1,
                clip_norm=0.1,
                layer_decay=0.9,
                epochs=30,
                batch=1,
                frames=1,
                image_share=1.0,
                lesson=Lesson(objects=3, rounds=3, box=0.5, smallest=1, points=10),
            ),
            Recipe(
                name="surgsam2",
                summary="encoder, decoder and memory on clips of 8 frames",
                source="Liu et al., Surgical SAM 2, arXiv:2408.07931",
                differs="memories are not pruned while training",
                trained=MappingProxyType({"encoder": 0.6, "decoder": 1.0, "memory": 1.0}),
                learning_rate=5e-5,
                weight_decay=0.1,
                clip_norm=0.1,
                layer_decay=0.9,
                epochs=30,
                frames=8,
                image_share=0.0,
            ),
            Recipe(
                name="tsms",
                summary="as surgsam2, a tenth of the clips at twice the speed",
                source="TSMS-SAM2, arXiv:2508.05829",
                differs="memories are not pruned while training",
                trained=_EVERYTHING,
                learning_rate=5e-5,
                weight_decay=0.1,
                clip_norm=0.1,
                layer_decay=0.9,
                epochs=30,
                batch=2,
                frames=8,
                image_share=0.0,
                strides=MappingProxyType({1: 0.9, 2: 0.1}),
            ),
            Recipe(
                name="sam2s",
                summary="frames from near and far in a clip, softened labels",
                source="Liu et al., SAM2S, arXiv:2511.16618",
                differs="without its long-term memory encoding and its text loss, which change "
                "the network",
                trained=_EVERYTHING,
                learning_rate=1e-5,
                weight_decay=0.1,
                clip_norm=0.1,
                epochs=30,
                frames=8,
                image_share=0.2,
                far=2,
                losses=LossWeights(
                    entropy=0,
                    focal=20,
                    dice=1,
                    iou=1,
                    presence=1,
                    absent=1,
                    empty=0,
                    others=0,
                    soften=1,
                ),
            ),
            Recipe(
                name="lora",
                summary="low-rank changes of encoder's and decoder's attention, merged in the end",
                source="Hu et al., LoRA, arXiv:2106.09685",
                trained=MappingProxyType({"adapters": 1.0}),
                adapters="lora",
                learning_rate=1e-3,
                weight_decay=0.0,
                losses=_BIOSAM2_LOSSES,
            ),
            Recipe(
                name="dd-sam2",
                summary="depthwise-dilated changes of the encoder's convolutions, and the decoder",
                source="DD-SAM2, arXiv:2507.14613",
                differs="the adapter changes a convolution's kernel without a non-linearity, "
                "so that it can be merged into plain weights, and starts at zero",
                trained=MappingProxyType({"adapters": 1.0, "decoder": 0.1}),
                adapters="dilated",
                losses=_BIOSAM2_LOSSES,
            ),
            Recipe(
                name="classes",
                summary="a prompt per class and the mask decoder: labels frames without a click",
                source="Yan et al., BioSAM-2, arXiv:2408.03286 (without prompts); Yue et al., "
                "SurgicalSAM, arXiv:2308.08746 (by class)",
                differs="a class's prompts are parameters, and not computed from the image; frames "
                "are embedded once, so the image encoder is frozen, too",
                trained=MappingProxyType({"classes": 10.0, "decoder": 1.0}),
                learning_rate=4e-4,
                losses=_BIOSAM2_LOSSES,
                image_share=0.0,
                cached=True,
                by_class=True,
            ),
        )
    }
)
"""The recipes by name."""


def choose_recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises
    ------
    ModelError
        If there is none.
    """
    if name not in RECIPES:
        raise ModelError(f"There is no recipe {name!r}. Known: {', '.join(RECIPES)}.")
    return RECIPES[name]


def part_of(name: str) -> Part:
    """Return the part of SAM 2 or the compact network that a parameter or buffer belongs to."""
    if _ADAPTER in name:
        return "adapters"
    if name.startswith(ENCODER):
        return "encoder"
    if name == CLASS_TOKENS:
        return "classes"
    if name.startswith("sam_prompt_encoder."):
        return "prompts"
    return "decoder" if name.startswith("sam_mask_decoder.") else "memory"


def plain_name(name: str) -> str:
    """Return the name that a parameter has once adapters are merged."""
    return name.replace(_ORIGINAL, ".weight")


def freeze(model: nn.Module, recipe: Recipe) -> None:
    """Let only those parameters have gradients that a recipe trains."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(part_of(name) in recipe.trained)


def resting_modules(model: nn.Module) -> list[nn.Module]:
    """Return what must stay as it is in use: frozen modules, and all batch statistics.

    A handful of clips is no measure of how a trunk's features are spread.
    """
    resting = []
    for module in model.modules():
        moving = [parameter.requires_grad for parameter in module.parameters()]
        if isinstance(module, _STATISTICS) or (moving and not any(moving)):
            resting.append(module)
    return resting


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the trained parameters, grouped by their share of the learning rate.

    Returns
    -------
    list of dict
        For an optimiser; ``scale`` is the share.
    """
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    blocks = sorted({block for name, _ in model.named_parameters() if (block := _block(name))})
    groups: dict[float, dict[str, Any]] = {}
    parameters = dict(model.named_parameters())
    for name in names:
        scale = recipe.trained[part_of(name)]
        if name.startswith("image_encoder.trunk."):
            block = _block(name)
            depth = blocks.index(block) if block else -1
            scale *= recipe.layer_decay ** (len(blocks) - depth)
        group = groups.setdefault(scale, {"params": [], "scale": scale})
        group["params"].append(parameters[name])
    return list(groups.values())


def _block(name: str) -> tuple[int, ...]:
    """Return where a layer of the trunk stands; () for what comes before all of them."""
    found = _BLOCK.match(name)
    return tuple(int(n) for n in found.groups() if n is not None) if found else ()
