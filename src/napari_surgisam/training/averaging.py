"""A running average of the weights: what is validated and written, while others are trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@torch.no_grad()
def average_in(averaged: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Move an average towards a model's weights of this moment.

    Parameters
    ----------
    averaged : dict of str to Tensor
        Changed in place; float32 where the weights are floating, else equal to the model's.
    model : Module
    decay : float
        Share of the average that stays, in [0, 1].
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            averaged[name].lerp_(value.float(), 1 - decay)
        else:
            averaged[name].copy_(value)


@contextmanager
def averages_in_place(model: nn.Module, averaged: Mapping[str, Tensor]) -> Iterator[None]:
    """Put averaged weights into a model for a while, in evaluation mode; its own come back."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(dict(averaged))
    model.eval()
    try:
        yield
    finally:
        model.load_state_dict(kept)
