"""Frames on the network's square grid."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def resize_images(images: Tensor, size: int) -> Tensor:
    """Resize (B, 3, H, W) uint8 images to squares, as SAM 2's own loader does.

    On the CPU this is Pillow's bicubic filter, to the bit; elsewhere its float counterpart,
    rounded, which differs by at most a grey level in a pixel of a thousand.
    """
    if images.shape[-2:] == (size, size):
        return images
    if images.device.type == "cpu":
        resized = [
            np.asarray(Image.fromarray(image).resize((size, size)))
            for image in images.permute(0, 2, 3, 1).contiguous().numpy()
        ]
        return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)
    enlarged = F.interpolate(
        images.float(), size=(size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return enlarged.round().clamp(0, 255).to(torch.uint8)
