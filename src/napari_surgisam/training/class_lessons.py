"""What the network practises to find classes by name: every frame for itself, no click."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_surgisam.engine.network import FrameEmbedding, Network, Query
from napari_surgisam.training.clip_reading import LabelledClip
from napari_surgisam.training.lessons import ClipBatch, Lesson, Outcome
from napari_surgisam.training.losses import LossWeights, binary_iou, covers, masklet_loss
from napari_surgisam.training.practice import Practice

CLICKED = 0.25
"""Share of the clips whose first frame is practised with clicks."""


class ClassPractice(Practice):
    """Asks for classes on every frame of a clip, those that are there and some that are not.

    Some clips are clicked on instead, lest the decoder forget how a click corrects a mask.

    Parameters
    ----------
    network, model, weights, resting, embed
        As for `Practice`.
    classes : sequence of str
        The class of each label of a clip, from 1.
    """

    def __init__(
        self,
        network: Network,
        model: nn.Module,
        weights: LossWeights,
        *,
        resting: Sequence[nn.Module],
        embed: Callable[[Any], Sequence[FrameEmbedding]] | None,
        classes: Sequence[str],
    ) -> None:
        super().__init__(network, model, weights, resting=resting, embed=embed)
        self.classes = tuple(classes)

    def _practise(self, batch: ClipBatch, lesson: Lesson, random: torch.Generator) -> Outcome:
        clicked = torch.rand(1, generator=random, device=random.device) < CLICKED
        if clicked and isinstance(batch, LabelledClip):
            return super()._practise(batch.first_frame(), lesson, random)
        embeddings = self.embed(batch)
        seen: list[FrameEmbedding] = []
        queries: list[Query] = []
        masks: list[Tensor] = []
        for embedding, labels in zip(embeddings, batch.labels.flatten(0, 1), strict=True):
            for number in self._asked(labels, lesson, random):
                seen.append(embedding)
                queries.append(Query(class_name=self.classes[number - 1]))
                masks.append(labels == number)
        predictions = self.network.segment(seen, queries)
        truth = covers(torch.stack(masks), self.network.mask_size)
        loss = masklet_loss(
            torch.stack([p.logits for p in predictions]),
            torch.stack([p.ious for p in predictions]),
            torch.stack([p.presence for p in predictions]),
            truth,
            self.weights,
        )
        with torch.no_grad():
            found = torch.stack([p.mask_logits for p in predictions])
            present = truth.flatten(1).amax(1) > 0.5
            ious = binary_iou(found, truth)[present]
        return Outcome(loss, len(queries), {"classes": float(ious.mean())} if len(ious) else {})

    def _asked(self, labels: Tensor, lesson: Lesson, random: torch.Generator) -> list[int]:
        """Return all classes that a frame shows, and up to `lesson.objects` that it does not."""
        shown = set(labels.unique().tolist())
        order = torch.randperm(len(self.classes), generator=random, device=random.device) + 1
        absent = [number for number in order.tolist() if number not in shown]
        return [*sorted(shown - {0}), *absent[: lesson.objects]]
