"""The embedded model's network: SAM 2's parts around a small convolutional trunk.

What differs from SAM 2.1, so that it learns from nothing on a small machine: a convolutional
trunk and a full top-down neck; prompts are also drawn into the dense prompt; the mask
decoder's attention from prompts to the image starts out looking at the prompt's own place;
and a few convolutions refine the upscaled embedding before masks are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

import torch
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
from sam2.modeling.position_encoding import PositionEmbeddingSine
from sam2.modeling.sam.transformer import RoPEAttention, TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from sam2.modeling.sam2_utils import MLP
from torch import Tensor, nn

from napari_surgisam.engine.class_prompts import add_class_prompts
from napari_surgisam.engine.compact_network_parts import (
    AgreeingDecoder,
    ConvTrunk,
    DrawnPromptEncoder,
    KeptOutput,
    ResidualBlock,
    look_at_prompts,
)
from napari_surgisam.engine.network import Traits
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
    volume_presence, volume_likeness, carries_masks, conditioning_slots, begins_anew
        See `Traits`.
    """

    image_size: int = 256
    trunk_channels: tuple[int, ...] = (48, 96, 160, 256)
    trunk_blocks: tuple[int, ...] = (2, 3, 3, 1)
    width: int = 192
    memory_width: int = 64
    memory_layers: int = 2
    refine_blocks: int = 2
    volume_presence: float = 0.0
    volume_likeness: float = 0.0
    carries_masks: bool = False
    conditioning_slots: int = 2
    begins_anew: bool = True

    @property
    def traits(self) -> Traits:
        """What suits the weights, beside the sizes."""
        return Traits(**{field.name: getattr(self, field.name) for field in fields(Traits)})

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
        self.sam_mask_decoder = AgreeingDecoder(
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
        upscaling[4] = KeptOutput(nn.GELU(), *refine)
        look_at_prompts(self.sam_mask_decoder.transformer)
        self.obj_ptr_proj = MLP(width, width, width, 3)
        self.obj_ptr_tpos_proj = nn.Linear(width, self.mem_dim)
        # an object is there until training shows that it can be absent: SAM 2 zeroes the
        # masks and pointers of absent ones, which would leave nothing to learn from
        nn.init.constant_(self.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 2.0)


def load_compact(
    config: CompactConfig,
    state: Mapping[str, Tensor] | None,
    *,
    image_size: int | None = None,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
    encoder_fingerprint: str = "",
    classes: Mapping[str, int] = MappingProxyType({}),
) -> Sam2Network:
    """Build the compact network.

    Parameters
    ----------
    config : CompactConfig
    state : mapping of str to Tensor, or None
        The weights, in any floating precision; None leaves random ones.
    image_size : int, optional
        Overrides the configuration's, in pixels; weights do not depend on it.
    classes : mapping of str to int
        Those whose prompts are among the weights, with their labels.
    """
    if image_size is not None:
        config = CompactConfig.from_dict({**asdict(config), "image_size": image_size})
    model = CompactSam(config)
    if state is not None:
        add_class_prompts(model, state)
        model.load_state_dict({name: value.float() for name, value in state.items()})
    model.eval().to(device=device, memory_format=torch.channels_last)
    return Sam2Network(
        model,
        precision=precision,
        encoder_fingerprint=encoder_fingerprint,
        traits=config.traits,
        classes=classes,
    )
