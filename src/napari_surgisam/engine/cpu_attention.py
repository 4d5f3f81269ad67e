"""Attention as two matrix products, where the CPU multiplies faster than torch's fused kernel.

On a CPU with AVX512-BF16 but without AMX, torch's fused attention computes in float32 what
oneDNN's matrix products compute in bfloat16: two to three times slower, and in SAM 2 it is more
than half of a frame's time. Both round to bfloat16: the products round the scores as well.
"""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCORES = 1 << 23
"""Scores that are held at a time, 16 MB of them; with fewer, a product is slower."""


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the softmax of scaled products as weights of values, in the query's precision.

    Parameters
    ----------
    query : (..., N, D) Tensor
    key : (..., M, D) Tensor
    value : (..., M, E) Tensor
        Of the query's leading dimensions.

    Returns
    -------
    (..., N, E) Tensor
    """
    with torch.autocast("cpu", enabled=False):
        # the scale first: divided by a power of two, nothing is rounded
        scaled = query * query.shape[-1] ** -0.5
        columns, values = key.to(query).transpose(-1, -2), value.to(query)
        heads = scaled.shape[:-2].numel()
        rows = max(1, SCORES // (heads * columns.shape[-1]))
        parts = [
            torch.matmul(torch.softmax(torch.matmul(part, columns), dim=-1), values)
            for part in scaled.split(rows, dim=-2)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def multiply_attention(model: nn.Module, *, learning: bool = False) -> None:
    """Let the attention layers of a model use `attention` wherever they compute in bfloat16.

    Each layer keeps the code that it has; only the function that it calls is another. Other
    models of the same classes are left alone, and so is this one while it is trained, unless
    `learning`: its gradients are rounded more, in a third of the time.
    """
    known: dict[FunctionType, FunctionType] = {}
    for module in model.modules():
        forward = type(module).forward
        if not isinstance(forward, FunctionType) or forward.__closure__ is not None:
            continue
        if "scaled_dot_product_attention" not in forward.__code__.co_names:
            continue
        if forward not in known:
            known[forward] = FunctionType(
                forward.__code__,
                {**forward.__globals__, "F": _Functional(learning)},
                forward.__name__,
                forward.__defaults__,
            )
            known[forward].__kwdefaults__ = forward.__kwdefaults__
        module.forward = MethodType(known[forward], module)


class _Functional:
    """torch.nn.functional with another attention."""

    def __init__(self, learning: bool) -> None:
        self.learning = learning

    def __getattr__(self, name: str) -> Any:
        return getattr(F, name)

    def scaled_dot_product_attention(
        self, query: Tensor, key: Tensor, value: Tensor, **options: Any
    ) -> Tensor:
        half = torch.is_autocast_enabled("cpu") and (
            torch.get_autocast_dtype("cpu") == torch.bfloat16
        )
        wanted = self.learning or not torch.is_grad_enabled()
        plain = half and query.device.type == "cpu" and wanted
        if plain and not any(options.values()):
            return attention(query.to(torch.bfloat16), key, value)
        return F.scaled_dot_product_attention(query, key, value, **options)
