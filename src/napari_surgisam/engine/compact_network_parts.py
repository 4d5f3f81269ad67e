"""The compact network's own modules: trunk, prompt encoder, and the decoder's first aim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import Tensor, nn

from napari_surgisam.errors import ModelError

if TYPE_CHECKING:
    from sam2.modeling.sam.transformer import TwoWayTransformer


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


class ConvTrunk(nn.Module):
    """Convolutional features at strides 4, 8, 16 and 32."""

    def __init__(self, channels: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        self.channel_list = list(channels[::-1])  # sam2's order: coarsest first
        self.stem = _downsample(3, channels[0] // 2)
        before = channels[0] // 2
        self.stages = nn.ModuleList()
        for width, count in zip(channels, blocks, strict=True):
            self.stages.append(
                nn.Sequential(
                    _downsample(before, width), *(ResidualBlock(width) for _ in range(count))
                )
            )
            before = width

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) images to four maps, finest first."""
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class DrawnPromptEncoder(PromptEncoder):
    """SAM's prompt encoder, with the prompts also drawn into the dense prompt.

    The dense prompt has four channels at the mask's resolution: logits of the mask to
    refine, discs at positive and at negative points, and the box.
    """

    radius = 0.02  # of a disc, as a share of the image's side

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        width = self.embed_dim
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(4, 16, kernel_size=2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, 64, kernel_size=2, stride=2),
            LayerNorm2d(64),
            nn.GELU(),
            nn.Conv2d(64, width, kernel_size=1),
        )

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Embed prompts as `PromptEncoder.forward` does; boxes come as points 2 and 3."""
        if points is None:
            raise ModelError("The compact network takes points, if only the padding point.")
        sparse, _ = super().forward(points, boxes, None)
        drawn = self.draw(*points)
        logits = torch.zeros_like(drawn[:, :1]) if masks is None else masks / 8.0
        dense = self.mask_downscaling(torch.cat([logits, drawn], dim=1))
        if masks is None:
            dense = dense + self.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return sparse, dense

    def draw(self, points: Tensor, labels: Tensor) -> Tensor:
        """Draw (B, N, 2) points (x, y) with labels as (B, 3, h, w) maps in [0, 1]."""
        dy, dx = self._offsets(points)
        spread = self.radius * self.mask_input_size[1]
        discs = torch.exp(
            -(dy.square()[..., :, None] + dx.square()[..., None, :]) / (2 * spread**2)
        )
        positive, negative = (
            (discs * (labels == label)[..., None, None]).amax(dim=1) for label in (1, 0)
        )
        boxes = torch.zeros_like(positive)
        if labels.shape[1] > 1:
            first, second = labels[:, 0] == 2, labels[:, 1] == 3
            inside = (dy[:, 0] >= 0)[:, :, None] & (dx[:, 0] >= 0)[:, None, :]
            inside &= (dy[:, 1] <= 0)[:, :, None] & (dx[:, 1] <= 0)[:, None, :]
            boxes = (inside & (first & second)[:, None, None]).to(dy.dtype)
        return torch.stack([positive, negative, boxes], dim=1)

    def _offsets(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far rows (B, N, h) and columns (B, N, w) of the mask lie from points."""
        height, width = self.mask_input_size
        scale = points.new_tensor([width, height]) / points.new_tensor(self.input_image_size[::-1])
        xy = (points + 0.5) * scale - 0.5
        rows = torch.arange(height, device=points.device, dtype=xy.dtype)
        columns = torch.arange(width, device=points.device, dtype=xy.dtype)
        return rows[None, None] - xy[..., 1:], columns[None, None] - xy[..., :1]


class KeptOutput(nn.Sequential):
    """Layers whose last output can be taken away, once."""

    latest: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Run the layers."""
        for layer in self:
            x = layer(x)
        self.latest = None if self.training else x
        return x


class AgreeingDecoder(MaskDecoder):
    """SAM's mask decoder, that lends what its masks were read from; see `click_agreement`.

    The last of `output_upscaling` must be a `KeptOutput`.
    """

    def take_embedding(self) -> Tensor | None:
        """Return the (B, C, h, w) embedding that the last masks were read from, the first time."""
        kept: Any = self.output_upscaling[-1]
        embedding: Tensor | None = kept.latest
        kept.latest = None
        return embedding


@torch.no_grad()
def look_at_prompts(transformer: TwoWayTransformer, gain: float = 2.0) -> None:
    """Start q and k of prompt-to-image attention as one selection of position encodings.

    The encoding is (sin, cos) over random frequencies, so that equal selections for queries
    and keys make each prompt attend to its own place from the first step.
    """
    attentions = [layer.cross_attn_token_to_image for layer in transformer.layers]
    for attention in [*attentions, transformer.final_attn_token_to_image]:
        internal, width = attention.q_proj.weight.shape
        chosen = torch.randperm(width // 2)[: internal // 2]
        selection = torch.zeros(internal, width)
        # rows alternate sin and cos, so that a head holds whole pairs
        selection[torch.arange(0, internal, 2), chosen] = gain
        selection[torch.arange(1, internal, 2), chosen + width // 2] = gain
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight.mul_(0.2).add_(selection)


def _downsample(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
