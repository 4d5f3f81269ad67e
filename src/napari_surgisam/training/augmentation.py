"""Random changes of a clip, the same on each of its frames."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly a clip may be changed.

    Parameters
    ----------
    flip : float
        Chance to be mirrored, along each axis.
    degrees, shift, shear : float
        Most rotation and shear in degrees, most shift as a share of the side.
    zoom : float
        Most enlargement or reduction, as a factor.
    brightness, contrast : float
        Most change, as a factor.
    gamma : float
        Most change of the grey curve, as an exponent.
    blur : float
        Chance of a Gaussian blur.
    """

    flip: float = 0.5
    degrees: float = 15.0
    shift: float = 0.06
    shear: float = 5.0
    zoom: float = 1.2
    brightness: float = 1.2
    contrast: float = 1.25
    gamma: float = 1.3
    blur: float = 0.15

    def __call__(
        self, images: Tensor, labels: Tensor, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Change a clip and its labels alike.

        Parameters
        ----------
        images : (T, 3, S, S) uint8 Tensor
        labels : (T, S, S) uint8 Tensor
        random : torch.Generator
            On the CPU; all that the change depends on.
        """
        draws: list[float] = torch.rand(12, generator=random).tolist()

        def between(k: int, most: float) -> float:
            return (2 * draws[k] - 1) * most

        def factor(k: int, most: float) -> float:
            return math.exp((2 * draws[k] - 1) * math.log(most))

        masks = labels[:, None]
        if draws[0] < self.flip:
            images, masks = F.horizontal_flip(images), F.horizontal_flip(masks)
        if draws[1] < self.flip:
            images, masks = F.vertical_flip(images), F.vertical_flip(masks)
        side = images.shape[-1]
        angle, scale = between(2, self.degrees), factor(3, self.zoom)
        moved = [round(between(k, self.shift) * side) for k in (4, 5)]
        shear = [between(6, self.shear), 0.0]
        images = F.affine(
            images, angle, moved, scale, shear, interpolation=InterpolationMode.BILINEAR
        )
        masks = F.affine(masks, angle, moved, scale, shear, interpolation=InterpolationMode.NEAREST)
        images = F.adjust_brightness(images, factor(7, self.brightness))
        images = F.adjust_contrast(images, factor(8, self.contrast))
        images = F.adjust_gamma(images, factor(9, self.gamma))
        if draws[10] < self.blur:
            images = F.gaussian_blur(images, [5, 5], [0.3 + 1.2 * draws[11]])
        return images, masks[:, 0]
