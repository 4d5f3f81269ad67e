"""SAM 2 as a `Network`: with its parts (`*network*.py`), the only importer of sam2.

sam2 1.1.0 picks one of its masks, gates it by presence and derives the pointer inside one
method, and selects memories, encodes and attends inside another. This adapter calls the
parts that those methods are made of, so that everything they throw away stays visible.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from sam2.build_sam import build_sam2
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from napari_surgisam.engine.batching import by_group, pick, split_predictions, stack
from napari_surgisam.engine.class_prompts import add_class_prompts, check_classes
from napari_surgisam.engine.click_agreement import agreed
from napari_surgisam.engine.cpu_attention import multiply_attention
from napari_surgisam.engine.devices import has_slow_attention
from napari_surgisam.engine.memory import Memory
from napari_surgisam.engine.network import (
    ABSENT_LOGIT,
    FrameEmbedding,
    Prediction,
    Query,
    Traits,
)
from napari_surgisam.engine.network_attention import MemoryReader
from napari_surgisam.engine.network_prompts import PromptReader
from napari_surgisam.engine.positions import keep_positions, skip_positions
from napari_surgisam.engine.resizing import resize_images

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)

# what SAM2VideoPredictor is built with by default, where it changes the network's answers
POSTPROCESSING = (
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.98",
    "++model.binarize_mask_from_pts_for_mem_enc=true",
)


class Sam2Network:
    """A `SAM2Base` behind the three verbs embed, segment and remember.

    Parameters
    ----------
    model : SAM2Base
        On its device, in the mode (train or eval) that is wanted.
    precision : torch.dtype
        float32, or bfloat16 for autocast.
    encoder_fingerprint : str
        Identity of the image encoder's weights and configuration.
    batched : bool
        Whether objects that are alike run as one batch. In training mode they always do.
    traits : Traits, optional
        By default, SAM 2's.
    classes : mapping of str to int
        Labels of the classes whose prompts the model has, by name.

    References
    ----------
    Ravi et al., SAM 2: Segment Anything in Images and Videos, arXiv:2408.00714.
    """

    def __init__(
        self,
        model: SAM2Base,
        *,
        precision: torch.dtype = torch.float32,
        encoder_fingerprint: str = "",
        batched: bool = True,
        traits: Traits | None = None,
        classes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.model, self.classes, self.traits = model, classes, traits or Traits()
        self.batched, self.precision = batched, precision
        self.encoder_fingerprint = encoder_fingerprint
        self.image_size: int = model.image_size
        self.mask_size: int = 4 * model.sam_image_embedding_size
        self.memory_slots: int = model.num_maskmem - 1
        self.pointer_slots: int = model.max_obj_ptrs_in_encoder - 1
        self._memories = MemoryReader(model, keep_keys=precision != torch.float32)
        prompts = getattr(model, "class_prompts", None)
        self._prompts = PromptReader(model.sam_prompt_encoder, self.image_size, classes, prompts)
        keep_positions(model.image_encoder.trunk)
        for encoding in (
            model.image_encoder.neck.position_encoding,
            model.memory_encoder.position_encoding,
        ):
            skip_positions(encoding)
        if precision == torch.bfloat16 and has_slow_attention(self.device):
            multiply_attention(model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def embed(self, images: Tensor) -> list[FrameEmbedding]:
        """Embed (B, 3, H, W) uint8 images on any device.

        Returns
        -------
        list of FrameEmbedding
            One per image.
        """
        height, width = images.shape[-2:]
        resized = resize_images(images, self.image_size).to(self.device).contiguous()
        with self._autocast():
            mean = resized.new_tensor(IMAGE_MEAN, dtype=torch.float32)[:, None, None]
            std = resized.new_tensor(IMAGE_STD, dtype=torch.float32)[:, None, None]
            normalised = (resized.float() / 255.0 - mean) / std
            maps = self.model.forward_image(normalised)["backbone_fpn"]
        maps = maps[-self.model.num_feature_levels :]
        return [
            FrameEmbedding(features, tuple(high), (height, width))
            for *high, features in zip(*(m.split(1) for m in maps), strict=True)
        ]

    def segment(
        self, embedding: FrameEmbedding | Sequence[FrameEmbedding], queries: Sequence[Query]
    ) -> list[Prediction]:
        """Answer K queries about one frame, or about one frame each.

        Returns
        -------
        list of Prediction
            In the order of the queries.

        Raises
        ------
        PromptError
            If a class has no prompt.
        """
        check_classes((q.class_name for q in queries if q.class_name), self.classes)
        return by_group(
            queries,
            self._kind if self._batches else None,
            lambda chosen: self._segment_alike(
                pick(embedding, chosen), [queries[k] for k in chosen]
            ),
        )

    def remember(
        self,
        embedding: FrameEmbedding | Sequence[FrameEmbedding],
        predictions: Sequence[Prediction],
        frame: int,
    ) -> list[Memory]:
        """Encode the chosen masks of K objects on one frame into memories."""
        return by_group(
            predictions,
            (lambda prediction: prediction.prompted) if self._batches else None,
            lambda chosen: self._remember_alike(
                pick(embedding, chosen), [predictions[k] for k in chosen], frame
            ),
        )

    def keep_soft_prompts(self) -> None:
        """Encode the masks of prompted frames as soft as they are from now on.

        By default they are made hard first, as in `SAM2VideoPredictor`. SAM 2's own evaluation,
        ``vos_inference.py``, does without this and its other post-processing.
        """
        self.model.binarize_mask_from_pts_for_mem_enc = False

    @property
    def _batches(self) -> bool:
        return self.batched or self.model.training

    def _autocast(self) -> torch.autocast:
        half = self.precision != torch.float32
        return torch.autocast(self.device.type, dtype=self.precision, enabled=half)

    @staticmethod
    def _kind(query: Query) -> Hashable:
        """Return what queries must share to run as one batch."""
        if query.mask is not None:
            return ("mask", query.mask.shape)
        recall = query.recall.counts if query.recall else None
        labels = len(query.points) + 2 * (query.box is not None)
        asked = (labels, query.previous_logits is None, bool(query.class_name))
        return (recall, min(query.clip_length, 16), *asked)

    def _segment_alike(
        self, embeddings: Sequence[FrameEmbedding], queries: Sequence[Query]
    ) -> list[Prediction]:
        features, high_resolution = stack(embeddings, len(queries))
        with self._autocast():
            if queries[0].mask is not None:
                return self._accept_masks(features, high_resolution, queries)
            recalls = [query.recall for query in queries if query.recall is not None]
            if not recalls:
                fused = features + self.model.no_mem_embed.view(1, -1, 1, 1)
            else:
                fused = self._memories.attend(features, recalls, queries[0].clip_length)
            return self._decode(fused, high_resolution, embeddings, queries)

    def _decode(
        self,
        fused: Tensor,
        high_resolution: list[Tensor],
        embeddings: Sequence[FrameEmbedding],
        queries: Sequence[Query],
    ) -> list[Prediction]:
        model = self.model
        first = queries[0]
        sizes = [e.size for e in embeddings] * (len(queries) // len(embeddings))
        sparse, dense, points = self._prompts.encode(queries, sizes, fused.device)
        multimask = model._use_multimask(first.recall is None, points)
        masks, ious, tokens, presence = model.sam_mask_decoder(
            image_embeddings=fused,
            image_pe=model.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=high_resolution,
        )
        masks = agreed(model.sam_mask_decoder, masks, points, self.image_size)
        # token by token: projected together, they would differ from sam2's in the last bit
        projected = torch.stack([model.obj_ptr_proj(token) for token in tokens.unbind(1)], dim=1)
        pointers = self._gate_pointers(projected, presence)
        pointers = pointers.expand(-1, masks.shape[1], -1)
        return split_predictions(masks, ious, pointers, presence, prompted=first.prompted)

    def _accept_masks(
        self, features: Tensor, high_resolution: list[Tensor], queries: Sequence[Query]
    ) -> list[Prediction]:
        masks = np.stack([query.mask for query in queries if query.mask is not None])
        size = self.image_size
        inputs = torch.from_numpy(masks).to(features.device)[:, None].float()
        if inputs.shape[-2:] != (size, size):
            inputs = _interpolate(inputs, size, antialias=True)
            inputs = (inputs >= 0.5).float()
        logits, _, ious, _, _, pointers, presence = self.model._use_mask_as_output(
            features, high_resolution, inputs
        )
        return split_predictions(logits, ious, pointers[:, None], presence, prompted=True)

    def _gate_pointers(self, pointers: Tensor, presence: Tensor) -> Tensor:
        model = self.model
        if not model.pred_obj_scores:
            return pointers
        if model.soft_no_obj_ptr:
            present = presence.sigmoid()[..., None]
        else:
            present = (presence > 0).float()[..., None]
        if model.fixed_no_obj_ptr:
            pointers = present * pointers
        gated: Tensor = pointers + (1 - present) * model.no_obj_ptr
        return gated

    def _remember_alike(
        self, embeddings: Sequence[FrameEmbedding], predictions: Sequence[Prediction], frame: int
    ) -> list[Memory]:
        features, _ = stack(embeddings, len(predictions))
        masks = self._enlarged(predictions).to(features.device)
        presence = torch.stack([p.presence for p in predictions])[:, None]
        with self._autocast():
            tokens, _ = self.model._encode_new_memory(
                current_vision_feats=[features.flatten(2).permute(2, 0, 1)],
                feat_sizes=[tuple(features.shape[-2:])],
                pred_masks_high_res=masks,
                object_score_logits=presence.to(features.device),
                is_mask_from_pts=predictions[0].prompted,
            )
        # SAM 2 keeps its memories in this precision whatever else it computes in
        tokens = tokens.to(torch.bfloat16)
        return [
            Memory(frame, token, p.pointer, p.iou, float(p.presence.detach()))
            for token, p in zip(tokens.split(1), predictions, strict=True)
        ]

    def _enlarged(self, predictions: Sequence[Prediction]) -> Tensor:
        """Return the (K, 1, S, S) logits of the chosen masks at the network's image size."""
        if self._batches or predictions[0].prompted:
            logits = torch.stack([p.mask_logits for p in predictions])[:, None]
            return _interpolate(logits, self.image_size)
        # sam2 enlarges all candidates of a tracked frame together: another last bit
        gated = [
            p.logits if p.presence > 0 else torch.full_like(p.logits, ABSENT_LOGIT)
            for p in predictions
        ]
        enlarged = [_interpolate(maps[None], self.image_size)[0] for maps in gated]
        return torch.stack([e[p.choice] for e, p in zip(enlarged, predictions, strict=True)])[
            :, None
        ]


def load_sam2(
    config: str,
    state: dict[str, Tensor] | None,
    *,
    image_size: int = 1024,
    device: str = "cpu",
    precision: torch.dtype = torch.float32,
    encoder_fingerprint: str = "",
    classes: Mapping[str, int] = MappingProxyType({}),
) -> Sam2Network:
    """Build a SAM 2 or 2.1 network from a configuration that ships with sam2.

    Parameters
    ----------
    config : str
        For example ``configs/sam2.1/sam2.1_hiera_t.yaml``.
    state : dict of str to Tensor or None
        The checkpoint's ``model`` entry; None leaves random weights.
    image_size : int
        Side of the square that frames are resized to, in pixels; a multiple of 32.
    classes : mapping of str to int
        Those whose prompts are among the weights, with their labels.
    """
    overrides = [*POSTPROCESSING, f"++model.image_size={image_size}"]
    # its own post-processing stays off: it would add the same options, less the last
    model: SAM2Base = build_sam2(
        config, None, device="cpu", hydra_overrides_extra=overrides, apply_postprocessing=False
    )
    if state is not None:
        add_class_prompts(model, state)
        model.load_state_dict(state)
    return Sam2Network(
        model.to(device),
        precision=precision,
        encoder_fingerprint=encoder_fingerprint,
        # on the CPU a batch saves no time, and sam2's own code runs object by object: some
        # convolutions differ in the last bit, which rounding memories to bfloat16 magnifies
        batched=torch.device(device).type != "cpu",
        classes=classes,
    )


def _interpolate(maps: Tensor, size: int, *, antialias: bool = False) -> Tensor:
    return F.interpolate(
        maps.float(), size=(size, size), mode="bilinear", align_corners=False, antialias=antialias
    )
