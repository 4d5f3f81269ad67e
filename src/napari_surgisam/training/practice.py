"""Practising a batch of clips: clicking on images, tracking in clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.memory import MemoryBank, Recall
from napari_surgisam.engine.network import FrameEmbedding, Network, Prediction, Query
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies.recent import RECENT
from napari_surgisam.training.lessons import ClipBatch, Lesson, Outcome, choose_objects
from napari_surgisam.training.losses import LossWeights, binary_iou, covers, masklet_loss
from napari_surgisam.training.mistakes import with_mistakes
from napari_surgisam.training.prompting import (
    boxes_around,
    click_points,
    correction_points,
    points_beside,
)

CLIP_LENGTH = 16  # what a clip passes for


class Practice(nn.Module):
    """Runs a lesson; a module, so that wrappers for several devices see one `forward`.

    Parameters
    ----------
    network : Network
        Its model must be a submodule for its parameters to be trained.
    model : Module
    weights : LossWeights, optional
    resting : sequence of Module
        Parts of the model that stay as they are in use while the rest trains: their
        statistics do not move, and nothing is dropped out.
    embed : callable, optional
        Gives the B * T embeddings of a batch; by default, the network embeds its images.
    """

    def __init__(
        self,
        network: Network,
        model: nn.Module,
        weights: LossWeights | None = None,
        *,
        resting: Sequence[nn.Module] = (),
        embed: Callable[[Any], Sequence[FrameEmbedding]] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.model = network, model
        self.weights = weights or LossWeights()
        self.embed = embed or (lambda batch: network.embed(batch.images.flatten(0, 1)))
        self._resting = tuple(resting)  # a tuple, so that they are no submodules twice

    def train(self, mode: bool = True) -> Self:
        """Switch to training, all but what rests."""
        super().train(mode)
        for module in self._resting:
            module.eval()
        return self

    def forward(self, batch: ClipBatch, lesson: Lesson, random: torch.Generator) -> Outcome:
        """Practise one batch and return its loss."""
        # the fused attention's gradient takes a quarter of a step on a CPU, for few queries
        with sdpa_kernel(SDPBackend.MATH):
            return self._practise(batch, lesson, random)

    def _practise(self, batch: ClipBatch, lesson: Lesson, random: torch.Generator) -> Outcome:
        embeddings = self.embed(batch)
        owners, masks = choose_objects(batch, lesson, random)
        if not owners:
            zero = sum(e.features.sum() * 0 for e in embeddings)
            return Outcome(torch.as_tensor(zero), 0, {})
        pupil = _Pupil(self, embeddings, owners, masks, batch.labels[owners], random)
        return pupil.practise(lesson)


class _Pupil:
    """One batch in practice: K objects, each in its own clip."""

    def __init__(
        self,
        practice: Practice,
        embeddings: Sequence[FrameEmbedding],
        owners: Sequence[int],
        masks: Tensor,
        labels: Tensor,
        random: torch.Generator,
    ) -> None:
        self.practice, self.network = practice, practice.network
        self.embeddings, self.owners, self.masks = embeddings, owners, masks
        self.labels, self.frames, self.random = labels, masks.shape[1], random
        self.prompted = [0]  # frames
        self.banks = [self._bank() for _ in owners]
        self.losses: list[Tensor] = []
        self.ious: dict[str, float] = {}
        self.prompts = 0

    def practise(self, lesson: Lesson) -> Outcome:
        predictions = self._first_frame(lesson)
        if self.frames > 1:
            self._remember(0, predictions, conditioning=True)
            end = self._end(lesson)
            for frame in range(1, end):
                predictions = self._later_frame(frame, predictions, lesson)
                if frame + 1 < end:
                    self._remember(frame, predictions, conditioning=frame in self.prompted)
        loss = torch.stack(self.losses).mean()
        return Outcome(loss, self.prompts, self.ious)

    def _bank(self) -> MemoryBank:
        return MemoryBank(
            slots=self.network.memory_slots,
            pointer_slots=self.network.pointer_slots,
            clip_length=CLIP_LENGTH,
            max_conditioning=self.network.traits.conditioning_slots,
        )

    def _remember(
        self, frame: int, predictions: Sequence[Prediction], *, conditioning: bool
    ) -> None:
        memories = self.network.remember(self._frame(frame), predictions, frame)
        for bank, memory in zip(self.banks, memories, strict=True):
            bank.add(memory, conditioning=conditioning)
            bank.evict(frame)

    def _end(self, lesson: Lesson) -> int:
        """Return the frame at which tracking ends: the last may be given, as in a span between.

        Its masks then condition all frames before it, where the object is there.
        """
        if self._draw() >= lesson.between:
            return self.frames
        last = self.frames - 1
        truth = self.masks[:, last]
        there = [k for k, present in enumerate(truth.flatten(1).any(1).tolist()) if present]
        frame = [self._frame(last)[k] for k in there]
        if there:
            answers = self.network.segment(
                frame, [Query(mask=truth[k].cpu().numpy()) for k in there]
            )
            for k, memory in zip(there, self.network.remember(frame, answers, last), strict=True):
                self.banks[k].add(memory, conditioning=True)
        return last

    def _frame(self, frame: int) -> list[FrameEmbedding]:
        return [self.embeddings[owner * self.frames + frame] for owner in self.owners]

    def _draw(self) -> float:
        return float(torch.rand(1, generator=self.random, device=self.random.device))

    def _first_frame(self, lesson: Lesson) -> list[Prediction]:
        truth = self.masks[:, 0]
        clicks = self._first_clicks(truth, lesson)
        queries = [Query(points=points, clip_length=CLIP_LENGTH) for points in clicks]
        boxes = boxes_around(truth, self.random)
        as_mask = self.frames > 1
        given = []
        for k, query in enumerate(queries):
            draw = self._draw()
            if draw < lesson.box:
                queries[k] = replace(query, points=(), box=boxes[k])
            elif as_mask and draw < lesson.box + lesson.mask:
                given.append(k)
        predictions: list[Prediction] = []
        learning = torch.is_grad_enabled()
        for turn in range(lesson.rounds):
            taught = turn == 0 or turn >= lesson.rounds - 2
            with torch.set_grad_enabled(learning and taught):
                predictions = self._answer(0, queries, f"click {turn + 1}", taught=taught)
            if turn + 1 < lesson.rounds and self._draw() < lesson.again:
                queries = [
                    replace(q, previous_logits=p.mask_logits.detach())
                    for q, p in zip(queries, predictions, strict=True)
                ]
            elif turn + 1 < lesson.rounds:
                queries = self._corrected(queries, predictions, 0)
        if given:
            answers = self.network.segment(
                [self._frame(0)[k] for k in given],
                [Query(mask=truth[k].cpu().numpy()) for k in given],
            )
            for k, answer in zip(given, answers, strict=True):
                predictions[k] = answer
        return predictions

    def _first_clicks(self, truth: Tensor, lesson: Lesson) -> list[tuple[Point, ...]]:
        rounds = [click_points(truth, self.random)]
        if self._draw() < lesson.several:
            extra = 1 + int(self._draw() * (lesson.points - 1))
            rounds += [click_points(truth, self.random, central=0.1) for _ in range(extra)]
            if self._draw() < 0.3:
                rounds[-1] = points_beside(truth, self.random)
        return list(zip(*rounds, strict=True))

    def _later_frame(
        self,
        frame: int,
        before: Sequence[Prediction],
        lesson: Lesson,
    ) -> list[Prediction]:
        carries = self.network.traits.carries_masks
        queries = [
            Query(
                recall=_recall(bank, frame),
                clip_length=CLIP_LENGTH,
                previous_logits=prediction.carried if carries else None,
            )
            for bank, prediction in zip(self.banks, before, strict=True)
        ]
        predictions = self._answer(frame, queries, f"frame {frame}")
        if self._draw() < lesson.corrected:
            for _ in range(1 + int(self._draw() < 0.5)):
                queries = self._corrected(queries, predictions, frame)
                predictions = self._answer(frame, queries, "corrected")
            self.prompted.append(frame)
        elif self._draw() < lesson.mistaken:
            predictions = self._mistaken(predictions, frame)
        return predictions

    def _mistaken(self, predictions: Sequence[Prediction], frame: int) -> list[Prediction]:
        damaged = with_mistakes(
            torch.stack([p.logits[p.choice] for p in predictions]),
            self.masks[:, frame],
            self.labels[:, frame],
            self.random,
        )
        return [
            replace(p, logits=logits.expand_as(p.logits))
            for p, logits in zip(predictions, damaged, strict=True)
        ]

    def _answer(
        self, frame: int, queries: Sequence[Query], name: str, *, taught: bool = True
    ) -> list[Prediction]:
        predictions = self.network.segment(self._frame(frame), queries)
        self.prompts += len(queries)
        truth = covers(self.masks[:, frame], self.network.mask_size)
        # predictions of one and of three candidates are weighed apart
        for count in {len(p.ious) for p in predictions} if taught else ():
            alike = [k for k, p in enumerate(predictions) if len(p.ious) == count]
            self.losses.append(
                masklet_loss(
                    torch.stack([predictions[k].logits for k in alike]),
                    torch.stack([predictions[k].ious for k in alike]),
                    torch.stack([predictions[k].presence for k in alike]),
                    truth[alike],
                    self.practice.weights,
                )
                * (len(alike) / len(predictions))
                * 2
            )
        with torch.no_grad():
            masks = torch.stack([p.mask_logits for p in predictions])
            present = truth.flatten(1).amax(1) > 0.5
            if present.any():
                self.ious[name] = float(binary_iou(masks, truth)[present].mean())
        return predictions

    def _corrected(
        self, queries: Sequence[Query], predictions: Sequence[Prediction], frame: int
    ) -> list[Query]:
        size = self.masks.shape[-1]
        logits = torch.stack([p.mask_logits for p in predictions]).detach()
        shown = F.interpolate(logits[:, None], size=size, mode="bilinear")[:, 0] > 0
        points = correction_points(shown, self.masks[:, frame], self.random)
        return [
            replace(query, points=(*query.points, point), previous_logits=map_)
            for query, point, map_ in zip(queries, points, logits, strict=True)
        ]


def _recall(bank: MemoryBank, frame: int) -> Recall:
    forward = Direction.FORWARD
    return bank.recall(RECENT.select(bank, frame, forward), frame, forward)
