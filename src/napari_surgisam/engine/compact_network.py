"""The embedded model's network: SAM 2's parts around a small convolutional trunk.

What differs from SAM 2.1, and why (each was compared at equal training time, see
`docs/models.md`): a convolutional trunk and a full top-down neck, because a Hiera of this
size learns very slowly from scratch; prompts are also drawn into the dense prompt; the mask
decoder's attention from prompts to the image starts out looking at the prompt's own place;
and a few convolutions refine the upscaled embedding before masks are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.prompt_encoder import PromptEncoder
from sam2.modeling.sam.transformer import RoPEAttention, TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import MLP, LayerNorm2d
from torch import Tensor, nn

from napari_surgisam.engine.sam2_network import Sam2Network
from napari_surgisam.errors import ModelError


@dataclass(frozen=True, slots=True)
class CompactConfig:
    """Sizes of the compact network.

    Parameters
    ----------
    image_size : int
        Side of the square that frames are resized to, in pixels; a multiple of 32.
    trunk_channels, trunk_blocks : tuple of int
        Channels and residual blocks at strides 4, 8, 16 and 32.
    width : int
        Channels of the embedding, a multiple of 8 and of `memory_width`.
    memory_width : int
        Channels of a spatial memory.
    memory_layers : int
        Layers of the memory attention.
    refine_blocks : int
        Residual blocks on the mask decoder's upscaled embedding.
    """

    image_size: int = 256
    trunk_channels: tuple[int, ...] = (48, 96, 160, 256)
    trunk_blocks: tuple[int, ...] = (2, 3, 3, 1)
    width: int = 192
    memory_width: int = 64
    memory_layers: int = 2
    refine_blocks: int = 2

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CompactConfig:
        """Build a configuration from what `asdict` gave, also by way of JSON."""
        names = {field.name for field in fields(cls)}
        unknown = set(values) - names
        if unknown:
            raise ModelError(
                f"The compact network's configuration has unknown entries {sorted(unknown)}; "
                f"this version knows {sorted(names)}. Was the file made by a newer version?"
            )
        entries: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**entries)


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
        height, width = self.mask_input_size
        scale = points.new_tensor([width, height]) / points.new_tensor(self.input_image_size[::-1])
        xy = (points + 0.5) * scale - 0.5
        rows = torch.arange(height, device=points.device, dtype=xy.dtype)
        columns = torch.arange(width, device=points.device, dtype=xy.dtype)
        dy = rows[None, None] - xy[..., 1:]  # (B, N, h)
        dx = columns[None, None] - xy[..., :1]
        spread = self.radius * width
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
            boxes = (inside & (first & second)[:, None, None]).to(xy.dtype)
        return torch.stack([positive, negative, boxes], dim=1)


class CompactSam(SAM2Base):
    """SAM 2's base class with the compact network's heads."""

    def __init__(self, config: CompactConfig) -> None:
        self.config = config
        width, memory = config.width, config.memory_width
        grid = config.image_size // 16
        super().__init__(
            image_encoder=ImageEncoder(
                trunk=ConvTrunk(config.trunk_channels, config.trunk_blocks),
                neck=FpnNeck(
                    position_encoding=PositionEmbeddingSine(width, normalize=True),
                    d_model=width,
                    backbone_channel_list=list(config.trunk_channels[::-1]),
                    fpn_interp_model="nearest",
                ),
                scalp=1,
            ),
            memory_attention=MemoryAttention(
                d_model=width,
                pos_enc_at_input=True,
                layer=MemoryAttentionLayer(
                    activation="relu",
                    dim_feedforward=2 * width,
                    dropout=0.0,
                    pos_enc_at_attn=False,
                    self_attention=RoPEAttention(
                        embedding_dim=width,
                        num_heads=1,
                        downsample_rate=1,
                        feat_sizes=(grid, grid),
                    ),
                    d_model=width,
                    pos_enc_at_cross_attn_keys=True,
                    pos_enc_at_cross_attn_queries=False,
                    cross_attention=RoPEAttention(
                        embedding_dim=width,
                        num_heads=1,
                        downsample_rate=1,
                        rope_k_repeat=True,
                        feat_sizes=(grid, grid),
                        kv_in_dim=memory,
                    ),
                ),
                num_layers=config.memory_layers,
            ),
            memory_encoder=MemoryEncoder(
                out_dim=memory,
                in_dim=width,
                mask_downsampler=MaskDownSampler(
                    embed_dim=width, kernel_size=3, stride=2, padding=1
                ),
                fuser=Fuser(CXBlock(width, layer_scale_init_value=0.1), num_layers=2),
                position_encoding=PositionEmbeddingSine(memory, normalize=True),
            ),
            image_size=config.image_size,
            sigmoid_scale_for_mem_enc=20.0,
            sigmoid_bias_for_mem_enc=-10.0,
            use_mask_input_as_output_without_sam=True,
            directly_add_no_mem_embed=True,
            no_obj_embed_spatial=True,
            use_high_res_features_in_sam=True,
            multimask_output_in_sam=True,
            multimask_output_for_tracking=True,
            multimask_min_pt_num=0,
            multimask_max_pt_num=1,
            use_multimask_token_for_obj_ptr=True,
            iou_prediction_use_sigmoid=True,
            use_obj_ptrs_in_encoder=True,
            add_tpos_enc_to_obj_ptrs=True,
            proj_tpos_enc_in_obj_ptrs=True,
            use_signed_tpos_enc_to_obj_ptrs=True,
            only_obj_ptrs_in_the_past_for_eval=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            fixed_no_obj_ptr=True,
            use_mlp_for_obj_ptr_proj=True,
        )

    def _build_sam_heads(self) -> None:
        width = self.hidden_dim
        self.sam_prompt_embed_dim = width
        grid = self.sam_image_embedding_size = self.image_size // self.backbone_stride
        self.sam_prompt_encoder = DrawnPromptEncoder(
            embed_dim=width,
            image_embedding_size=(grid, grid),
            input_image_size=(self.image_size, self.image_size),
            mask_in_chans=16,
        )
        self.sam_mask_decoder = MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=width, mlp_dim=2 * width, num_heads=8
            ),
            transformer_dim=width,
            iou_head_depth=3,
            iou_head_hidden_dim=width,
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            use_multimask_token_for_obj_ptr=True,
        )
        # sam2 unpacks five modules here: the refining convolutions join the last
        upscaling = self.sam_mask_decoder.output_upscaling
        refine = (ResidualBlock(width // 8) for _ in range(self.config.refine_blocks))
        upscaling[4] = nn.Sequential(nn.GELU(), *refine)
        _look_at_prompts(self.sam_mask_decoder.transformer)
        self.obj_ptr_proj = MLP(width, width, width, 3)
        self.obj_ptr_tpos_proj = nn.Linear(width, self.mem_dim)
        # an object is there until training shows that it can be absent: SAM 2 zeroes the
        # masks and pointers of absent ones, which would leave nothing to learn from
        nn.init.constant_(self.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 4.0)


def load_compact(
    config: CompactConfig,
    state: Mapping[str, Tensor] | None,
    *,
    image_size: int | None = None,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
    encoder_fingerprint: str = "",
) -> Sam2Network:
    """Build the compact network.

    Parameters
    ----------
    config : CompactConfig
    state : mapping of str to Tensor, or None
        The weights, in any floating precision; None leaves random ones.
    image_size : int, optional
        Overrides the configuration's, in pixels; weights do not depend on it.
    """
    if image_size is not None:
        config = CompactConfig.from_dict({**asdict(config), "image_size": image_size})
    model = CompactSam(config)
    if state is not None:
        model.load_state_dict({name: value.float() for name, value in state.items()})
    model.eval().to(device=device, memory_format=torch.channels_last)
    return Sam2Network(model, precision=precision, encoder_fingerprint=encoder_fingerprint)


def _downsample(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


@torch.no_grad()
def _look_at_prompts(transformer: TwoWayTransformer, gain: float = 2.0) -> None:
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
