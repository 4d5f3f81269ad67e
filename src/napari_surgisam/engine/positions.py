"""Position encodings that sam2 computes anew for every frame: kept, or left out."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor, nn

_METHOD = "_get_pos_embed"  # of sam2 1.1.0: interpolates its parameters anew for every frame


def keep_positions(trunk: nn.Module) -> None:
    """Let an image encoder's trunk keep its encodings while its parameters stay as they are.

    Parameters
    ----------
    trunk : Module
        A trunk of another kind is left alone. With gradients nothing is kept.
    """
    compute: Callable[[tuple[int, int]], Tensor] | None = getattr(trunk, _METHOD, None)
    if compute is None:
        return
    kept: dict[Hashable, Tensor] = {}

    def positions(size: tuple[int, int]) -> Tensor:
        if torch.is_grad_enabled():
            return compute(size)
        sources = [p for n, p in trunk.named_parameters(recurse=False) if "pos_embed" in n]
        state = tuple((id(s), getattr(s, "_version", 0), s.device) for s in sources)
        key = (tuple(size), state)
        if key not in kept:
            kept.clear()
            kept[key] = compute(size)
        return kept[key]

    setattr(trunk, _METHOD, positions)


def skip_positions(encoding: nn.Module) -> None:
    """Let an image encoder's neck not encode positions: SAM 2 does for every frame and level.

    Parameters
    ----------
    encoding : Module
        The neck's; `positions_of` still asks it.
    """

    def nothing(x: Tensor) -> Tensor:
        return x.new_zeros(()).expand_as(x)

    encoding.forward = nothing


def positions_of(encoding: nn.Module, x: Tensor) -> Tensor:
    """Return the encodings of a map, also where `skip_positions` was called."""
    positions: Tensor = type(encoding).forward(encoding, x)
    return positions
