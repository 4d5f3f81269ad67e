"""What the network practises on a batch of clips: clicking on images, tracking in clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.memory import Memory, Recall
from napari_surgisam.engine.network import FrameEmbedding, Network, Prediction, Query
from napari_surgisam.training.losses import LossWeights, binary_iou, covers, masklet_loss
from napari_surgisam.training.prompting import (
    boxes_around,
    click_points,
    correction_points,
    points_beside,
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a batch is practised.

    Parameters
    ----------
    objects : int
        Most objects per clip.
    rounds : int
        Predictions on the prompted frame: one, then one per correction click. Of many, the
        first and the last two are learned from.
    box, mask : float
        Share of objects that are prompted with a box, and in clips with a mask.
    several : float
        Chance that the objects of a batch start with two to `points` clicks at once, the last
        of them sometimes beside the object; the points of a file enter together like this.
    corrected : float
        Chance that a later frame of a clip receives one or two correction clicks, after which it
        is remembered as a prompted one.
    again : float
        Chance that a prediction on the prompted frame is refined as it is, with no new click.
    smallest : int
        Least area of an object on its prompted frame, in pixels.
    points : int
        Most clicks that enter at once.
    """

    objects: int = 6
    rounds: int = 2
    box: float = 0.15
    mask: float = 0.3
    several: float = 0.45
    corrected: float = 0.3
    again: float = 0.0
    smallest: int = 24
    points: int = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch gave.

    Parameters
    ----------
    loss : Tensor
    prompts : int
        Prompts answered.
    ious : dict of str to float
        Mean IoU by kind of answer.
    """

    loss: Tensor
    prompts: int
    ious: dict[str, float]


class ClipBatch(Protocol):
    """Clips with their objects, in a batch on the training device."""

    @property
    def images(self) -> Tensor:
        """(B, T, 3, S, S) uint8 frames."""
        ...

    @property
    def labels(self) -> Tensor:
        """(B, T, S, S) uint8 labels, 0 for what cannot be segmented."""
        ...

    def mask(self, clip: int, label: int, *, whole: bool = False) -> Tensor:
        """Return the (T, S, S) bool mask of an object, with its parts if `whole`."""
        ...


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
        frames = batch.images.shape[1]
        owners, masks = choose_objects(batch, lesson, random)
        if not owners:
            zero = sum(e.features.sum() * 0 for e in embeddings)
            return Outcome(torch.as_tensor(zero), 0, {})
        pupil = _Pupil(self, embeddings, owners, masks, frames, random)
        return pupil.practise(lesson)


class _Pupil:
    """One batch in practice: K objects, each in its own clip."""

    def __init__(
        self,
        practice: Practice,
        embeddings: Sequence[FrameEmbedding],
        owners: Sequence[int],
        masks: Tensor,
        frames: int,
        random: torch.Generator,
    ) -> None:
        self.practice, self.network = practice, practice.network
        self.embeddings, self.owners, self.masks = embeddings, owners, masks
        self.frames, self.random = frames, random
        self.prompted = [0]  # frames
        self.losses: list[Tensor] = []
        self.ious: dict[str, float] = {}
        self.prompts = 0

    def practise(self, lesson: Lesson) -> Outcome:
        predictions = self._first_frame(lesson)
        memories = (
            [self.network.remember(self._frame(0), predictions, 0)] if self.frames > 1 else []
        )
        for frame in range(1, self.frames):
            predictions = self._later_frame(frame, memories, predictions, lesson)
            if frame + 1 < self.frames:
                memories.append(self.network.remember(self._frame(frame), predictions, frame))
        loss = torch.stack(self.losses).mean()
        return Outcome(loss, self.prompts, self.ious)

    def _frame(self, frame: int) -> list[FrameEmbedding]:
        return [self.embeddings[owner * self.frames + frame] for owner in self.owners]

    def _draw(self) -> float:
        return float(torch.rand(1, generator=self.random, device=self.random.device))

    def _first_frame(self, lesson: Lesson) -> list[Prediction]:
        truth = self.masks[:, 0]
        clicks = self._first_clicks(truth, lesson)
        queries = [Query(points=points, clip_length=max(self.frames, 16)) for points in clicks]
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
        memories: list[list[Memory]],
        before: Sequence[Prediction],
        lesson: Lesson,
    ) -> list[Prediction]:
        carries = self.network.carries_masks
        queries = [
            Query(
                recall=self._recall(frame, memories, k),
                clip_length=16,
                previous_logits=prediction.carried if carries else None,
            )
            for k, prediction in enumerate(before)
        ]
        predictions = self._answer(frame, queries, f"frame {frame}")
        if self._draw() < lesson.corrected:
            for _ in range(1 + int(self._draw() < 0.5)):
                queries = self._corrected(queries, predictions, frame)
                predictions = self._answer(frame, queries, "corrected")
            self.prompted.append(frame)
        return predictions

    def _recall(self, frame: int, memories: list[list[Memory]], k: int) -> Recall:
        """Return what one object attends to, as `RecentFrames` chooses it."""
        recent = [f for f in range(frame - 1, 0, -1) if f not in self.prompted]
        spatial = [(0, memories[f][k]) for f in self.prompted]
        spatial += [(frame - f, memories[f][k]) for f in recent[: self.network.memory_slots][::-1]]
        pointers = [(frame - f, memories[f][k]) for f in (*self.prompted, *recent)]
        return Recall(tuple(spatial), tuple(pointers))

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


def choose_objects(
    batch: ClipBatch, lesson: Lesson, random: torch.Generator
) -> tuple[list[int], Tensor]:
    """Draw up to `lesson.objects` objects per clip that are seen on its first frame.

    Returns
    -------
    owners : list of int
        The clip of each object.
    masks : (K, T, S, S) bool Tensor
    """
    owners: list[int] = []
    masks: list[Tensor] = []
    for clip in range(len(batch.images)):
        areas = torch.bincount(batch.labels[clip, 0].flatten().long(), minlength=256)[1:]
        seen = (areas >= lesson.smallest).nonzero()[:, 0] + 1
        if not len(seen):
            continue
        shuffled = torch.randperm(len(seen), generator=random, device=random.device)
        for label in seen[shuffled.to(seen.device)][: lesson.objects].tolist():
            whole = bool(torch.rand(1, generator=random, device=random.device) < 0.8)
            owners.append(clip)
            masks.append(batch.mask(clip, label, whole=whole))
    size = batch.images.shape[-1]
    empty = torch.zeros(0, batch.images.shape[1], size, size, dtype=torch.bool)
    return owners, torch.stack(masks) if masks else empty
