"""Keys of memories, projected once, and values that are projected last.

SAM 2 projects and rotates every memory anew in each layer of its memory attention, for each of the
frames that attend to it: on a CPU a third of the time that an object takes, for the same numbers
but for the temporal encoding. Projections and rotations are linear, so what belongs to a memory
and what belongs to its slot can be computed apart, kept, and added.

Values are a linear function of a memory's tokens too, and their weights add up to one: it is the
same to weigh the tokens, which are a quarter as wide, and to project the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from sam2.modeling.sam.transformer import RoPEAttention
from sam2.modeling.sam.transformer import apply_rotary_enc as rotate_pairs
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from napari_surgisam.engine.cpu_attention import attention

if TYPE_CHECKING:
    from sam2.modeling.memory_attention import MemoryAttention

KEPT_BYTES = 256 << 20
"""Keys that are kept at most: of those that were used last."""

PATIENCE = 64
"""Calls after which a memory that nobody attended to is forgotten, each of an object or a batch."""


@dataclass(slots=True)
class _Kept:
    tokens: Tensor  # (1, h w, M)
    keys: tuple[Tensor, ...]  # rotated, by layer, each (1, 1, h w, C)
    used: int  # number of the latest call

    @property
    def nbytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.tokens, *self.keys))


class MemoryKeys:
    """A memory attention that knows the memories which it attended to before.

    What is kept of a memory is let go with the memory, or when it is out of use. Answers differ
    from sam2's by the order of roundings alone, so this is for half precision.

    Parameters
    ----------
    attention : MemoryAttention
        In evaluation mode, with weights that stay as they are.
    """

    def __init__(self, attention: MemoryAttention) -> None:
        self.attention = attention
        self._memories = WeakTensorKeyDictionary()
        self._calls = 0
        self._slots: dict[tuple[int, int, torch.device], tuple[Tensor, ...]] = {}

    @staticmethod
    def serves(attention: MemoryAttention) -> bool:
        """Whether a memory attention is built as this one expects, as SAM 2's are."""
        return attention.batch_first and all(
            isinstance(layer.cross_attn_image, RoPEAttention)
            and layer.cross_attn_image.num_heads == 1
            and layer.pos_enc_at_cross_attn_keys
            and not layer.pos_enc_at_cross_attn_queries
            and not layer.pos_enc_at_attn
            for layer in attention.layers
        )

    def attend(
        self,
        features: Tensor,
        image_position: Tensor,
        memories: Sequence[Sequence[Tensor]],
        memory_position: Tensor,
        times: Sequence[tuple[int, ...]],
        temporal: Tensor,
        pointers: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Condition features on memories, as `MemoryAttention.forward` does.

        Parameters
        ----------
        features : (K, h w, C) Tensor
        image_position : (1, h w, C) Tensor
        memories : sequence of sequence of (1, M, h, w) Tensor
            By place in the memory, then object.
        memory_position : (h w, M) Tensor
        times : sequence of tuple of int
            Row of `temporal` of each memory, by place, then object.
        temporal : (T, M) Tensor
            Temporal encodings.
        pointers : tuple of two (K, P, M) Tensor, or None
            Tokens of object pointers and their encodings.

        Returns
        -------
        (K, h w, C) Tensor
        """
        output = features.contiguous()
        if self.attention.pos_enc_at_input:
            output = output + 0.1 * image_position
        self._calls += 1
        known = [[self._projected(m, memory_position) for m in place] for place in memories]
        slots = [[self._slot(t, temporal, memory_position) for t in place] for place in times]
        tokens = [torch.cat([kept.tokens for kept in place]) for place in known]
        if pointers is not None:
            tokens.append(pointers[0].to(tokens[0]))
        remembered = torch.cat(tokens, dim=1)
        for number, layer in enumerate(self.attention.layers):
            normed = layer.norm1(output)
            output = output + layer.self_attn(normed, normed, v=normed)
            cross = layer.cross_attn_image
            queries = _heads(cross, cross.q_proj(layer.norm2(output)))
            queries = rotate_pairs(queries, queries[:, :, :0], _frequencies(cross, queries))[0]
            keys = [
                torch.cat([p.keys[number] + s[number] for p, s in zip(place, own, strict=True)])
                for place, own in zip(known, slots, strict=True)
            ]
            if pointers is not None:
                keys.append(_heads(cross, cross.k_proj(pointers[0] + pointers[1])))
            found = _weighted_values(cross, queries, torch.cat(keys, dim=2), remembered)
            output = output + cross.out_proj(found)
            hidden = layer.activation(layer.linear1(layer.norm3(output)))
            output = output + layer.linear2(hidden)
        result: Tensor = self.attention.norm(output)
        return result

    def _projected(self, memory: Tensor, position: Tensor) -> _Kept:
        """Return the tokens and keys of a (1, M, h, w) memory, its slot's time left out."""
        kept: _Kept | None = self._memories.get(memory)
        if kept is not None:
            kept.used = self._calls
            return kept
        # laid out alike wherever they come from: products of other layouts round otherwise
        tokens = memory.to(position).flatten(2).transpose(1, 2).contiguous()
        placed = tokens + position
        rotated = []
        for layer in self.attention.layers:
            cross = layer.cross_attn_image
            keys = _heads(cross, cross.k_proj(placed))
            rotated.append(rotate_pairs(keys, keys[:, :, :0], _frequencies(cross, keys))[0])
        kept = _Kept(tokens, tuple(rotated), self._calls)
        self._memories[memory] = kept
        self._forget()
        return kept

    def _forget(self) -> None:
        """Let go of what is out of use, and of what was used longest ago beyond the budget."""
        left = KEPT_BYTES
        for memory, kept in sorted(self._memories.items(), key=lambda item: -item[1].used):
            left -= kept.nbytes
            if left < 0 or self._calls - kept.used > PATIENCE:
                del self._memories[memory]

    def _slot(self, row: int, temporal: Tensor, position: Tensor) -> tuple[Tensor, ...]:
        """Return what a time adds to the keys of each layer, (1, heads, h w, C)."""
        key = (row, len(position), position.device)
        if key not in self._slots:
            added = []
            for layer in self.attention.layers:
                cross = layer.cross_attn_image
                time = F.linear(temporal[row][None, None], cross.k_proj.weight)
                everywhere = _heads(cross, time.expand(1, len(position), -1))
                frequencies = _frequencies(cross, everywhere)
                added.append(rotate_pairs(everywhere, everywhere[:, :, :0], frequencies)[0])
            self._slots[key] = tuple(added)
        return self._slots[key]


def _weighted_values(cross: RoPEAttention, queries: Tensor, keys: Tensor, tokens: Tensor) -> Tensor:
    """Return (K, N, C) values of (K, L, M) tokens, weighed by how keys fit (K, 1, N, C) queries."""
    if queries.device.type == "cpu":
        weighted: Tensor = cross.v_proj(attention(queries[:, 0], keys[:, 0], tokens))
        return weighted
    # elsewhere the fused attention is faster, and wants values as wide as keys
    values = _heads(cross, cross.v_proj(tokens))
    return F.scaled_dot_product_attention(queries, keys, values)[:, 0]


def _heads(cross: RoPEAttention, x: Tensor) -> Tensor:
    """Return (B, N, C) as (B, heads, N, C / heads)."""
    heads: Tensor = x.unflatten(-1, (cross.num_heads, -1)).transpose(1, 2)
    return heads


def _frequencies(attention: RoPEAttention, x: Tensor) -> Tensor:
    """Return the rotations of a square grid of tokens, computed where its size is new."""
    if len(attention.freqs_cis) != x.shape[-2]:
        side = math.sqrt(x.shape[-2])
        attention.freqs_cis = attention.compute_cis(end_x=side, end_y=side)
    attention.freqs_cis = attention.freqs_cis.to(x.device)
    frequencies: Tensor = attention.freqs_cis
    return frequencies
