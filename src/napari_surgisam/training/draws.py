"""Random numbers for a batch of clips, all from one generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Draws one number per clip, unless a shape is given.

    Parameters
    ----------
    batch : int
    random : torch.Generator
        Its device is the numbers' device.
    """

    batch: int
    random: torch.Generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return float32 numbers in [low, high)."""
        shape = shape or (self.batch,)
        unit = torch.rand(shape, generator=self.random, device=self.random.device)
        return unit * (high - low) + low

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return numbers whose logarithm is uniform: as many small as large ones."""
        return (self.uniform(0, 1, *shape) * torch.log(torch.tensor(high / low))).exp() * low

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        shape = shape or (self.batch,)
        return torch.randn(shape, generator=self.random, device=self.random.device)

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """Return True with a probability, which may differ between clips."""
        return self.uniform(0, 1, *shape) < probability

    def choose(self, weights: Sequence[float], *shape: int) -> Tensor:
        """Return indices into `weights`, in proportion to them."""
        total = torch.tensor(weights, device=self.random.device).cumsum(0)
        draw = self.uniform(0, float(total[-1]), *shape)
        return torch.bucketize(draw, total, right=True).clamp(max=len(weights) - 1)


def over_frames(value: Tensor) -> Tensor:
    """Shape one value a clip, (B,), to combine with (B, T, S, S)."""
    return value[:, None, None, None]


def over_images(value: Tensor) -> Tensor:
    """Shape one value a clip, (B,), to combine with (B, T, 3, S, S)."""
    return value[:, None, None, None, None]
