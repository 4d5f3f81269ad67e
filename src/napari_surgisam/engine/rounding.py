"""Weights kept in the precision that they are used in.

Under autocast, torch rounds every weight of a layer again for every frame: of SAM 2.1-T on a CPU
that is a tenth of a frame's time at 512 pixels, for the same numbers.
"""

from __future__ import annotations

import torch
from torch import nn

ROUNDED_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
"""Layers whose weights autocast rounds; all others use theirs as they are."""


def round_weights(model: nn.Module, precision: torch.dtype) -> None:
    """Round the weights of layers as autocast would; the answers stay the same to the bit.

    Parameters
    ----------
    model : Module
        Computes under autocast from now on, and is not trained: small steps would be lost.
    precision : torch.dtype
        Of the autocast; float32 changes nothing.
    """
    if precision == torch.float32:
        return
    for module in model.modules():
        if isinstance(module, ROUNDED_LAYERS):
            # channels last: of a trunk that begins with a convolution, as Hiera does, every
            # later map is laid out as attention and 1 x 1 convolutions read it
            module.to(dtype=precision).to(memory_format=torch.channels_last)
