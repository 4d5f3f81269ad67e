"""Objects that are alike run as one batch; their answers come back one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from napari_surgisam.engine.network import FrameEmbedding, Prediction


def by_group(
    items: Sequence[Any],
    kind: Callable[[Any], Hashable] | None,
    run: Callable[[list[int]], list[Any]],
) -> list[Any]:
    """Run items of equal kind together, or one by one where `kind` is None.

    Returns
    -------
    list
        The results in the items' order.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for k, item in enumerate(items):
        groups[k if kind is None else kind(item)].append(k)
    results: dict[int, Any] = {}
    for chosen in groups.values():
        results.update(zip(chosen, run(chosen), strict=True))
    return [results[k] for k in range(len(items))]


def pick(
    embedding: FrameEmbedding | Sequence[FrameEmbedding], chosen: Sequence[int]
) -> list[FrameEmbedding]:
    """Return the chosen objects' embeddings; one frame that all share stays one."""
    if isinstance(embedding, FrameEmbedding):
        return [embedding]
    return [embedding[k] for k in chosen]


def stack(embeddings: Sequence[FrameEmbedding], count: int) -> tuple[Tensor, list[Tensor]]:
    """Return (K, C, h, w) features and finer maps; one frame is shared without a copy."""
    if len(embeddings) == 1:
        one = embeddings[0]
        return (
            one.features.expand(count, -1, -1, -1),
            [m.expand(count, -1, -1, -1) for m in one.high_resolution],
        )
    return (
        torch.cat([e.features for e in embeddings]),
        [torch.cat(maps) for maps in zip(*(e.high_resolution for e in embeddings), strict=True)],
    )


def split_predictions(
    masks: Tensor, ious: Tensor, pointers: Tensor, presence: Tensor, *, prompted: bool
) -> list[Prediction]:
    """Return K predictions from (K, M, h, w), (K, M), (K, M, C) and (K, 1) Tensors."""
    # unbind, not indexing: its gradient is one stack instead of K scattered copies
    parts = zip(
        masks.float().unbind(),
        ious.float().unbind(),
        pointers.unbind(),
        presence.float()[:, 0].unbind(),
        ious.argmax(dim=1).tolist(),
        strict=True,
    )
    return [
        Prediction(mask, iou, pointer, present, prompted, choice)
        for mask, iou, pointer, present, choice in parts
    ]
