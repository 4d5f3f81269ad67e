"""A pool of texture patterns: filtered noise, stripes, spots, and photographs."""

from __future__ import annotations

from math import pi

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data
from skimage.transform import resize
from torch import Tensor

# pictures bundled with scikit-image, less those that the sample clip is made of
PICTURES = (
    "astronaut", "brick", "camera", "cell", "clock", "coins", "gravel", "hubble_deep_field",
    "immunohistochemistry", "microaneurysms", "moon", "page", "rocket", "text",
)  # fmt: skip


class TexturePool:
    """Patterns with zero mean and unit variance, (3, 256, 256), renewed bit by bit.

    Parameters
    ----------
    random : torch.Generator
    device : str
    count : int
        Patterns held at a time.
    """

    side = 256

    def __init__(self, random: torch.Generator, device: str, count: int = 192) -> None:
        self.random, self.device = random, device
        self.pictures = [_picture(name).to(device) for name in PICTURES]
        self.patterns = torch.stack([self._pattern() for _ in range(count)])
        self.next = 0

    def draw(self, count: int) -> Tensor:
        """Return (count, 3, 256, 256) patterns, flipped and turned at random."""
        picks = torch.randint(
            len(self.patterns), (count,), generator=self.random, device=self.device
        )
        patterns = self.patterns[picks]
        flips = torch.randint(2, (3,), generator=self.random, device=self.device).tolist()
        axes = [axis for axis, flip in zip((-1, -2), flips, strict=False) if flip]
        patterns = patterns.flip(axes) if axes else patterns
        return patterns.transpose(-1, -2) if flips[2] else patterns

    def colours(self, count: int) -> Tensor:
        """Return (count, 3) colours in [0, 1] that occur in the pictures."""
        draws = torch.rand(count, 3, generator=self.random, device=self.device).tolist()
        chosen = []
        for which, down, across in draws:
            picture = self.pictures[int(which * len(self.pictures))]
            row, column = (
                int(share * (n - 8))
                for share, n in zip((down, across), picture.shape[1:], strict=True)
            )
            chosen.append(picture[:, row : row + 8, column : column + 8].mean((1, 2)))
        return torch.stack(chosen)

    def refresh(self, count: int = 1) -> None:
        """Replace the oldest patterns."""
        for _ in range(count):
            self.patterns[self.next] = self._pattern()
            self.next = (self.next + 1) % len(self.patterns)

    def _uniform(self, low: float, high: float) -> float:
        draw = torch.rand(1, generator=self.random, device=self.device)
        return float(draw) * (high - low) + low

    def _noise(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random, device=self.device)

    def _pattern(self) -> Tensor:
        kind = self._uniform(0, 1)
        if kind < 0.45:
            pattern = self._photograph()
        elif kind < 0.68:
            pattern = self._filtered_noise()
        elif kind < 0.8:
            pattern = self._stripes()
        elif kind < 0.87:
            pattern = self._vessels()
        elif kind < 0.95:
            pattern = self._spots()
        else:
            pattern = self._noise(3, self.side, self.side)
        pattern = pattern - pattern.mean()
        return (pattern / pattern.std().clamp(min=1e-4)).clamp(-3, 3)

    def _photograph(self) -> Tensor:
        picture = self.pictures[int(self._uniform(0, len(self.pictures) - 1e-6))]
        crop = int(self._uniform(64, min(picture.shape[-2:])))
        top = int(self._uniform(0, picture.shape[-2] - crop))
        left = int(self._uniform(0, picture.shape[-1] - crop))
        patch = picture[:, top : top + crop, left : left + crop]
        return F.interpolate(patch[None], size=self.side, mode="bilinear")[0]

    def _filtered_noise(self) -> Tensor:
        """Noise whose spectrum falls as a power of the frequency, coloured a little."""
        power = self._uniform(0.3, 2.0)
        total = torch.zeros(3, self.side, self.side, device=self.device)
        colour = self._uniform(0, 0.6)
        for octave in range(2, 8):
            cells = 2**octave
            layer = self._noise(1, 1, cells, cells) + colour * self._noise(1, 3, cells, cells)
            total += F.interpolate(layer, size=self.side, mode="bicubic")[0] * cells**-power
        return total

    def _stripes(self) -> Tensor:
        axis = torch.linspace(0, 1, self.side, device=self.device)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        angle, pitch = self._uniform(0, pi), self._uniform(4, 40)
        bend = F.interpolate(self._noise(1, 1, 6, 6), size=self.side, mode="bicubic")[0]
        phase = x * np.cos(angle) + y * np.sin(angle) + bend * self._uniform(0, 0.1)
        wave = torch.sin(2 * pi * pitch * phase)
        return wave.expand(3, -1, -1) + 0.3 * self._filtered_noise()

    def _vessels(self) -> Tensor:
        """Branching lines: where smooth noise passes through zero, coarse ones and fine ones."""
        total = 0.3 * self._filtered_noise()
        for cells in (int(self._uniform(3, 8)), int(self._uniform(8, 24))):
            noise = self._noise(1, 1, cells, cells)
            field = F.interpolate(noise, size=self.side, mode="bicubic")[0]
            total = total - torch.exp(-((field * self._uniform(6, 20)) ** 2))
        return total

    def _spots(self) -> Tensor:
        cells = int(self._uniform(12, 64))
        field = F.interpolate(self._noise(1, 1, cells, cells), size=self.side, mode="bicubic")[0]
        spots = (field - self._uniform(0.2, 1.2)).clamp(min=0)
        return spots.expand(3, -1, -1) + 0.1 * self._noise(3, self.side, self.side)


def _picture(name: str) -> Tensor:
    pixels = np.asarray(getattr(data, name)())
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    scale = min(1.0, 640 / max(pixels.shape[:2]))
    shape = (int(pixels.shape[0] * scale), int(pixels.shape[1] * scale), 3)
    small = resize(pixels[..., :3], shape, anti_aliasing=True)
    return torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1)
