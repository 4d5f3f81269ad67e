"""Learned prompts of classes: what stands for a class's name where nobody clicks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.engine.checkpoints import CLASS_TOKENS, Checkpoint
from napari_surgisam.errors import ModelError, PromptError

TOKENS = 8
"""Sparse prompt embeddings of a class."""

_CLICK = "sam_prompt_encoder.point_embeddings.1.weight"


class ClassPrompts(nn.Module):
    """A few sparse prompt embeddings per class, in the place of those of clicks.

    Parameters
    ----------
    shape : tuple of int
        Classes, tokens of each, and the width of the prompt encoder.

    References
    ----------
    Yue et al., SurgicalSAM, arXiv:2308.08746: masks by the name of a class, from 8 sparse
    embeddings each. There they are computed from the image, here they are the parameters.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(tuple(shape)))

    def forward(self, numbers: Sequence[int]) -> Tensor:
        """Return the (K, N, C) prompts of classes, by their numbers."""
        return self.tokens[list(numbers)]


def add_class_prompts(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a model room for the prompts of classes, where its weights have some."""
    if CLASS_TOKENS in state:
        model.class_prompts = ClassPrompts(state[CLASS_TOKENS].shape)


def with_class_prompts(checkpoint: Checkpoint, classes: Mapping[str, int], seed: int) -> Checkpoint:
    """Return weights with prompts of classes, those that they have already as they are.

    New prompts scatter around the embedding of a click that says "here", but not where.

    Parameters
    ----------
    checkpoint : Checkpoint
    classes : mapping of str to int
        Labels by name; these classes are in the result, in this order, and no others.
    seed : int
    """
    click = checkpoint.state[_CLICK].float().cpu()
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(classes), TOKENS, click.shape[-1], generator=random)
    tokens = click + noise * click.std()
    known = list(checkpoint.classes)
    for number, name in enumerate(classes):
        if name in known:
            tokens[number] = checkpoint.state[CLASS_TOKENS][known.index(name)].float()
    state = {**checkpoint.state, CLASS_TOKENS: tokens}
    return replace(checkpoint, state=state, classes=dict(classes))


def class_objects(classes: Mapping[str, int], model: str) -> dict[ObjectId, str]:
    """Return the classes of a model as objects: by their labels.

    Parameters
    ----------
    classes : mapping of str to int
    model : str
        For the message.

    Raises
    ------
    ModelError
        If there are none.
    """
    if not classes:
        raise ModelError(
            f"The model {model} knows no classes by name. Give --prompts, or teach it classes: "
            f"surgisam finetune DATA --recipe classes --base {model} --out FILE.safetensors"
        )
    return {ObjectId(label): name for name, label in classes.items()}


def check_classes(wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise a `PromptError` unless a network has prompts of all wanted classes."""
    known = list(known)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise PromptError(
            f"The model knows no class {missing[0]!r}: it knows {', '.join(known) or 'none'}."
        )
