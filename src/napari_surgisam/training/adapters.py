"""Small changes of large weights: trained in their place, merged into them in the end.

An adapter here is a parametrisation of a weight: weight + change. That keeps the network's
own code, leaves the weight itself untouched while training, and makes merging exact: what
is written in the end are plain weights, which any SAM 2 loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from napari_surgisam.errors import ModelError
from napari_surgisam.training.recipes import Adapters, part_of, plain_name

if TYPE_CHECKING:
    from collections.abc import Mapping

LORA_RANK = 8
_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj", "attn.qkv", "attn.proj")


class LowRank(nn.Module):
    """LoRA: adds a product of two thin matrices, the second of them zero at first.

    Parameters
    ----------
    weight : (O, I) Tensor
    rank : int
    random : torch.Generator

    References
    ----------
    Hu et al., LoRA, arXiv:2106.09685; the scale is alpha / rank with alpha = 2 rank.
    """

    scale = 2.0

    def __init__(self, weight: Tensor, rank: int, random: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        down = torch.randn(rank, inputs, generator=random) / inputs**0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed (O, I) weight."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight + self.scale * (self.up @ self.down)


class DilatedKernel(nn.Module):
    """DD-SAM2's branch as a change of a kernel: 1 x 1, depthwise at two dilations, 1 x 1.

    The kernel of the linear branch is added to the convolution's own, padded with zeros; the
    dilation of 3 takes part where the kernel has 7 x 7 places for it. The last 1 x 1
    convolution is zero at first.

    Parameters
    ----------
    weight : (O, I, k, k) Tensor
        Of a convolution with an odd k of at least 3.
    random : torch.Generator

    References
    ----------
    DD-SAM2, arXiv:2507.14613, where a GELU follows each convolution and the branch stands
    beside a whole block: that cannot be written as plain weights.
    """

    def __init__(self, weight: Tensor, random: torch.Generator) -> None:
        super().__init__()
        outputs, inputs, side, _ = weight.shape
        middle = max(outputs // 2, 1)
        branches = 2 if side >= 7 else 1
        taps = torch.randn(branches, middle, 3, 3, generator=random) / 3
        self.taps = nn.Parameter(taps.to(weight))
        down = torch.randn(middle, inputs, generator=random) / inputs**0.5
        self.down = nn.Parameter(down.to(weight))
        self.up = nn.Parameter(weight.new_zeros(outputs, middle))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed (O, I, k, k) weight."""
        side = weight.shape[-1]
        centre = side // 2
        with torch.autocast(weight.device.type, enabled=False):
            kernels = weight.new_zeros(self.taps.shape[1], side, side)
            for taps, dilation in zip(self.taps, (1, 3), strict=False):
                rows = slice(centre - dilation, centre + dilation + 1, dilation)
                kernels[:, rows, rows] = kernels[:, rows, rows] + taps
            return weight + torch.einsum("om,mi,mhw->oihw", self.up, self.down, kernels)


def insert_adapters(model: nn.Module, kind: Adapters, seed: int = 0) -> int:
    """Put adapters on the weights that they suit; the model answers as before.

    Parameters
    ----------
    model : Module
    kind : {"", "lora", "dilated"}
        Low-rank changes on every attention of image encoder and mask decoder, or dilated
        kernels on the image encoder's convolutions. Memory is left alone: short clips would
        teach it to forget long ones.
    seed : int

    Returns
    -------
    int
        How many were inserted.

    Raises
    ------
    ModelError
        If the model has no weight of that kind.
    """
    if not kind:
        return 0
    random = torch.Generator().manual_seed(seed)
    chosen = [
        (name, module) for name, module in model.named_modules() if _suits(name, module, kind)
    ]
    for _, module in chosen:
        weight = module.weight.detach()
        change: nn.Module = (
            LowRank(weight, min(LORA_RANK, *weight.shape), random)
            if kind == "lora"
            else DilatedKernel(weight, random)
        )
        parametrize.register_parametrization(module, "weight", change)
    if not chosen:
        raise ModelError(f"The model has no weight that takes {kind} adapters: use another recipe.")
    return len(chosen)


def merged_state(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return plain weights in which adapters are merged.

    Parameters
    ----------
    model : Module
        With its adapters; it stays as it is.
    state : mapping of str to Tensor
        The weights to merge, by the names of the model's own.
    """
    merged = {plain_name(n): value for n, value in state.items() if part_of(n) != "adapters"}
    for prefix, module in model.named_modules():
        if parametrize.is_parametrized(module):
            change = module.parametrizations.weight[0]
            trained = {
                name: state[f"{prefix}.parametrizations.weight.0.{name}"]
                for name, _ in change.named_parameters()
            }
            name = f"{prefix}.weight"
            with torch.no_grad():
                merged[name] = torch.func.functional_call(change, trained, (merged[name],))
    return merged


def adapted_names(model: nn.Module) -> set[str]:
    """Return the plain names of the weights that adapters change."""
    return {plain_name(name) for name in model.state_dict() if plain_name(name) != name}


def _suits(name: str, module: nn.Module, kind: Adapters) -> bool:
    if kind == "lora":
        return (
            isinstance(module, nn.Linear)
            and name.startswith(("image_encoder.", "sam_mask_decoder."))
            and name.endswith(_ATTENTION)
        )
    return (
        isinstance(module, nn.Conv2d)
        and name.startswith("image_encoder.")
        and module.kernel_size[0] >= 3
        and module.kernel_size[0] % 2 == 1
        and module.groups == 1
    )
