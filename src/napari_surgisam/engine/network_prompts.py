"""What a network's prompt encoder is given: clicks and boxes, masks to refine, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_surgisam.engine.network import Query

MASK_LOGIT_LIMIT = 32.0  # SAM 2 clamps logits that are fed back


class PromptReader:
    """Turns queries that are alike into sparse and dense prompt embeddings.

    Parameters
    ----------
    encoder : Module
        SAM 2's prompt encoder, or one that is called as it is.
    image_size : int
        Side of the network's square, in pixels.
    classes : mapping of str to int
        Classes that have a prompt, in the order of the prompts.
    prompts : Module or None
        Their prompts.
    """

    def __init__(
        self,
        encoder: nn.Module,
        image_size: int,
        classes: Mapping[str, int],
        prompts: nn.Module | None,
    ) -> None:
        self.encoder, self.image_size = encoder, image_size
        self._numbers = {name: number for number, name in enumerate(classes)}
        self._prompts = prompts

    def encode(
        self, queries: Sequence[Query], sizes: Sequence[tuple[int, int]], device: torch.device
    ) -> tuple[Tensor, Tensor, dict[str, Tensor] | None]:
        """Embed the prompts of K queries.

        A class is asked for as a tracked object is, without points; its tokens then take the
        place of the padding point.

        Returns
        -------
        sparse : (K, N, C) Tensor
        dense : (K, C, h, w) Tensor
        points : dict or None
            Coordinates and labels of the points as sam2 names them; None where there are none.
        """
        first = queries[0]
        points, labels = self._point_inputs(queries, sizes)
        previous = None
        if first.previous_logits is not None:
            logits = [q.previous_logits for q in queries if q.previous_logits is not None]
            previous = torch.stack(logits)[:, None].to(device)
            previous = previous.clamp(-MASK_LOGIT_LIMIT, MASK_LOGIT_LIMIT)
        points, labels = points.to(device), labels.to(device)
        sparse, dense = self.encoder(points=(points, labels), boxes=None, masks=previous)
        if first.class_name and self._prompts is not None:
            sparse = self._prompts([self._numbers[q.class_name or ""] for q in queries])
        named = {"point_coords": points, "point_labels": labels}
        return sparse, dense, named if first.prompted else None

    def _point_inputs(
        self, queries: Sequence[Query], sizes: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, Tensor]:
        """Return (K, N, 2) coordinates (x, y) on the network's grid and (K, N) labels."""
        if not queries[0].points and queries[0].box is None:
            return (
                torch.zeros(len(queries), 1, 2),
                -torch.ones(len(queries), 1, dtype=torch.int32),
            )
        coordinates, labels = [], []
        for query in queries:
            corners = [query.box] if query.box else []
            coordinates.append(
                [xy for b in corners for xy in ((b.x0, b.y0), (b.x1, b.y1))]
                + [(p.x, p.y) for p in query.points]
            )
            labels.append([2, 3] * len(corners) + [int(p.positive) for p in query.points])
        width_height = torch.tensor([(w, h) for h, w in sizes])[:, None]
        scaled = torch.tensor(coordinates, dtype=torch.float32) / width_height * self.image_size
        return scaled, torch.tensor(labels, dtype=torch.int32)
