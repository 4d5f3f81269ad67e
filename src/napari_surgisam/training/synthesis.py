"""Domain-randomised clips with known masks, made in batches on the training device.

A clip is a stack of moving, deforming objects over a background or a partition of the frame.
Nothing is read from disk but pictures that ship with scikit-image, which lend texture and
colour. `docs/synthesis.md` shows samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_surgisam.training.draws import Draws
from napari_surgisam.training.scenes import paint_scene
from napari_surgisam.training.textures import TexturePool


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticBatch:
    """A batch of clips and their objects.

    Parameters
    ----------
    images : (B, T, 3, S, S) uint8 Tensor
    labels : (B, T, S, S) uint8 Tensor
        0 is what cannot be segmented: the background.
    parents : (B, L + 1) long Tensor
        Label of the object that an object is a part of, or 0.
    """

    images: Tensor
    labels: Tensor
    parents: Tensor

    def mask(self, clip: int, label: int, *, whole: bool = False) -> Tensor:
        """Return the (T, S, S) bool mask of an object, with its parts if `whole`."""
        mask = self.labels[clip] == label
        if whole:
            for part in (self.parents[clip] == label).nonzero()[:, 0].tolist():
                mask = mask | (self.labels[clip] == part)
        return mask

    def varied(self, random: np.random.Generator) -> SyntheticBatch:
        """Return the same clips mirrored, turned, and with other colours."""
        axes = [axis for axis in (-1, -2) if random.random() < 0.5]
        images, labels = (part.flip(axes) for part in (self.images, self.labels))
        if random.random() < 0.5:
            images, labels = images.transpose(-1, -2), labels.transpose(-1, -2)
        images = images[:, :, random.permutation(3).tolist()].float() / 255
        gain, gamma = random.uniform(0.7, 1.2), np.exp(random.uniform(-0.4, 0.4))
        images = (images * gain).clamp(max=1) ** float(gamma)
        if random.random() < 0.1:
            images = 1 - images
        return SyntheticBatch((images * 255).round().byte(), labels, self.parents)


@dataclass(frozen=True, slots=True)
class SyntheticClips:
    """An endless, seeded stream of synthetic clips.

    Parameters
    ----------
    batch, frames, size : int
        Clips in a batch, frames in a clip, and side of a frame in pixels.
    difficulty : float
        From 0 (few, large, clear objects) to 1 (small and faint ones as well).
    layers : int
        Most objects in a clip, besides the regions of a partition.
    seed : int
    device : str
    """

    batch: int
    frames: int = 1
    size: int = 256
    difficulty: float = 1.0
    layers: int = 8
    seed: int = 0
    device: str = "cpu"

    def __iter__(self) -> Iterator[SyntheticBatch]:
        """Yield batches for ever."""
        random = torch.Generator(device=self.device).manual_seed(self.seed)
        pool = TexturePool(random, self.device)
        draws = Draws(self.batch, random)
        while True:
            images, labels, parents = paint_scene(
                draws,
                pool,
                frames=self.frames,
                size=self.size,
                layers=self.layers,
                difficulty=self.difficulty,
            )
            yield SyntheticBatch(images, labels, parents)
            pool.refresh()
