"""How SAM 2 attends to memories, fed with any selection of them.

sam2 1.1.0 reads memories from two dictionaries by frame number. This puts the same tokens
together from memories that a policy chose, at the slots and distances that it gave them,
and calls sam2's own memory attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from sam2.modeling.sam2_utils import get_1d_sine_pe
from torch import Tensor

from napari_surgisam.engine.memory import Recall
from napari_surgisam.engine.network_keys import MemoryKeys
from napari_surgisam.engine.positions import positions_of

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base


class MemoryReader:
    """Conditions the features of a frame on memories of objects.

    Parameters
    ----------
    model : SAM2Base
        Its memory attention, temporal encodings and pointer projections are used.
    keep_keys : bool
        Whether the keys and values of memories are kept while the model is in use: see
        `MemoryKeys`.

    References
    ----------
    Ravi et al., SAM 2: Segment Anything in Images and Videos, arXiv:2408.00714.
    """

    def __init__(self, model: SAM2Base, *, keep_keys: bool = False) -> None:
        self.model = model
        attention = model.memory_attention
        self._keys = MemoryKeys(attention) if keep_keys and MemoryKeys.serves(attention) else None
        self._positions: tuple[Tensor, Tensor] | None = None

    def attend(self, features: Tensor, recalls: Sequence[Recall], clip_length: int) -> Tensor:
        """Condition features on memories, each object's at slots and distances of its own.

        Parameters
        ----------
        features : (K, C, h, w) Tensor
            One frame's features for each of K objects.
        recalls : sequence of Recall
            One per object, all with as many memories and as many pointers.
        clip_length : int
            Frames in the source; pointer distances are scaled by it where it is short.

        Returns
        -------
        (K, C, h, w) Tensor
        """
        model = self.model
        memories, pointer_count = recalls[0].counts
        slots, distances = zip(*(recall.signature for recall in recalls), strict=True)
        image_position, memory_position = self._position_encodings(features)
        # the last temporal row is the conditioning frames', the first the latest frame's
        rows = [
            tuple(own[i] - 1 if own[i] else model.num_maskmem - 1 for own in slots)
            for i in range(memories)
        ]
        maps = [[recall.spatial[i][1].tokens for recall in recalls] for i in range(memories)]
        pointers = None
        if pointer_count:
            # (P, K, C): by distance, then object
            columns = [
                torch.stack([recall.pointers[i][1].pointer for recall in recalls])
                for i in range(pointer_count)
            ]
            pointers = self._pointer_tokens(
                torch.stack(columns).to(features.device), distances, clip_length
            )
        if self._keys is not None and not (torch.is_grad_enabled() or model.training):
            conditioned = self._keys.attend(
                features.flatten(2).transpose(1, 2),
                image_position.transpose(0, 1),
                maps,
                memory_position[:, 0],
                rows,
                model.maskmem_tpos_enc[:, 0, 0],
                pointers and (pointers[0].transpose(0, 1), pointers[1].transpose(0, 1)),
            )
            return conditioned.transpose(1, 2).view(features.shape)
        tokens = [
            torch.cat(place).to(features.device).flatten(2).permute(2, 0, 1) for place in maps
        ]
        positions = [memory_position + model.maskmem_tpos_enc[list(r), 0, 0] for r in rows]
        if pointers is not None:
            tokens.append(pointers[0])
            positions.append(pointers[1])
        attended: Tensor = model.memory_attention(
            curr=[features.flatten(2).permute(2, 0, 1)],
            curr_pos=[image_position.expand(-1, len(recalls), -1)],
            memory=torch.cat(tokens),
            memory_pos=torch.cat(positions),
            num_obj_ptr_tokens=0 if pointers is None else len(pointers[0]),
        )
        return attended.permute(1, 2, 0).view(features.shape)

    def _pointer_tokens(
        self, pointers: Tensor, distances: Sequence[Sequence[int]], clip_length: int
    ) -> tuple[Tensor, Tensor]:
        """Split (P, K, C) pointers into tokens of the memory's width, with time encodings.

        The distances are by object, then pointer.
        """
        model = self.model
        count, objects, channels = pointers.shape
        width = model.mem_dim
        if model.add_tpos_enc_to_obj_ptrs:
            scale = min(clip_length, model.max_obj_ptrs_in_encoder) - 1
            dim = channels if model.proj_tpos_enc_in_obj_ptrs else width
            time = torch.tensor(distances, device=pointers.device).T / max(scale, 1)
            encoding = model.obj_ptr_tpos_proj(get_1d_sine_pe(time, dim=dim))
        else:
            encoding = pointers.new_zeros(count, objects, width)
        if width < channels:
            pieces = channels // width
            pointers = pointers.reshape(count, objects, pieces, width)
            pointers = pointers.permute(0, 2, 1, 3).flatten(0, 1)
            encoding = encoding.repeat_interleave(pieces, dim=0)
        return pointers, encoding

    def _position_encodings(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (h w, 1, C) encodings of the image's and the memories' grid."""
        if self._positions is None or self._positions[0].device != features.device:
            with torch.no_grad():
                one = features[:1].detach()
                image = positions_of(self.model.image_encoder.neck.position_encoding, one)
                thin = one.new_zeros(1, self.model.mem_dim, *one.shape[-2:])
                memory = positions_of(self.model.memory_encoder.position_encoding, thin)
            flat = [p.float().flatten(2).permute(2, 0, 1).clone() for p in (image, memory)]
            self._positions = (flat[0], flat[1])
        return self._positions
