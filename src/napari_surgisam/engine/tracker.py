"""The narrow waist: segment prompts on a frame, carry masks along a plan."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import ObjectId, Prompt
from napari_surgisam.engine.embeddings import EmbeddingCache, EmbeddingKey
from napari_surgisam.engine.memory import (
    ChoosingPolicy,
    Memory,
    MemoryBank,
    MemoryPolicy,
    MemorySelection,
    ObservingPolicy,
)
from napari_surgisam.engine.network import FrameEmbedding, Network, Prediction, Query
from napari_surgisam.engine.plan import Direction, Step, Steps
from napari_surgisam.engine.policies import RecentFrames
from napari_surgisam.errors import JobError
from napari_surgisam.jobs import Event

MAX_CONDITIONING = 8

Banks = Mapping[tuple[ObjectId, Direction], MemoryBank]
Corrections = Mapping[tuple[ObjectId, int], Prompt]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSegmented(Event):
    """The objects of one step have their masks.

    Parameters
    ----------
    frame : int
    predictions : mapping of ObjectId to Prediction
    memories : mapping of ObjectId to Memory
    direction : Direction or None
        None where the frame is prompted and its masks are the prompts'.
    selections : mapping of ObjectId to MemorySelection
        What each object attended to.
    """

    frame: int
    predictions: Mapping[ObjectId, Prediction]
    memories: Mapping[ObjectId, Memory]
    direction: Direction | None = None
    selections: Mapping[ObjectId, MemorySelection] = field(
        default_factory=lambda: MappingProxyType({})
    )


@dataclass(frozen=True, slots=True, eq=False)
class Tracker:
    """A network with a memory policy, working on frames; it holds no state but the cache.

    Every method enters its own gradient-free scope and leaves it before it yields.

    Parameters
    ----------
    network : Network
    policy : MemoryPolicy
        What to attend to; SAM 2's own rule by default.
    cache : EmbeddingCache
    max_conditioning : int or None
        Prompted frames that are attended to at most, the nearest ones; None is no limit.
    """

    network: Network
    policy: MemoryPolicy = field(default_factory=RecentFrames)
    cache: EmbeddingCache = field(default_factory=EmbeddingCache)
    max_conditioning: int | None = MAX_CONDITIONING

    def embedding_key(self, source: FrameSource, frame: int) -> EmbeddingKey:
        """Return the name of a frame's embedding in the cache."""
        return EmbeddingKey(source.fingerprint, frame, self.network.encoder_fingerprint)

    def embed(
        self, source: FrameSource, frame: int, image: Future[NDArray[np.uint8]] | None = None
    ) -> FrameEmbedding:
        """Return the embedding of a frame, computed once while the cache keeps it.

        Parameters
        ----------
        source : FrameSource
        frame : int
        image : Future, optional
            The frame's (H, W, 3) pixels, where they are being read already.

        Raises
        ------
        DataError
            If the frame cannot be read.
        JobError
            If the device runs out of memory.
        """

        def compute() -> FrameEmbedding:
            pixels = source.read(frame) if image is None else image.result()
            with _computing(frame):
                return self.network.embed(_as_batch(pixels))[0]

        return self.cache.get(self.embedding_key(source, frame), compute)

    def segment(
        self, source: FrameSource, frame: int, queries: Sequence[Query]
    ) -> list[Prediction]:
        """Answer queries about one frame, in their order."""
        embedding = self.embed(source, frame)
        with _computing(frame):
            return self.network.segment(embedding, queries)

    def remember(
        self, source: FrameSource, frame: int, predictions: Sequence[Prediction]
    ) -> list[Memory]:
        """Encode masks of one frame into memories, in their order."""
        embedding = self.embed(source, frame)
        with _computing(frame):
            return self.network.remember(embedding, predictions, frame)

    def bank(
        self, source: FrameSource, conditioning: MutableMapping[int, Memory] | None = None
    ) -> MemoryBank:
        """Return an empty memory bank for one object's pass through a source."""

        def features(frame: int) -> Tensor:
            return self.embed(source, frame).features

        return MemoryBank(
            slots=self.network.memory_slots,
            pointer_slots=self.network.pointer_slots,
            clip_length=len(source),
            conditioning=conditioning,
            max_conditioning=self.max_conditioning,
            image_features=features,
        )

    def propagate(
        self,
        source: FrameSource,
        steps: Steps,
        banks: Banks,
        corrections: Corrections = MappingProxyType({}),
    ) -> Generator[FrameSegmented, None, None]:
        """Carry the conditioning frames' masks along the steps of a plan.

        Parameters
        ----------
        source : FrameSource
        steps : Steps
        banks : mapping of (ObjectId, Direction) to MemoryBank
            One for each object and direction in the steps, with its conditioning frames.
        corrections : mapping of (ObjectId, int) to Prompt
            Points that refine what tracking finds on a frame; the frame then conditions.

        Yields
        ------
        FrameSegmented
            After each step. Closing the generator cancels what is left.
        """

        def cached(frame: int) -> bool:
            return self.embedding_key(source, frame) in self.cache

        images = _read_ahead(source, steps, cached)
        try:
            for done, (step, image) in enumerate(images, start=1):
                embedding = self.embed(source, step.frame, image)
                with _computing(step.frame):
                    predictions, memories, selections = self._step(
                        embedding, step, banks, corrections, len(source)
                    )
                yield FrameSegmented(
                    done=done,
                    total=len(steps),
                    frame=step.frame,
                    predictions=predictions,
                    memories=memories,
                    direction=step.direction,
                    selections=selections,
                )
        finally:
            images.close()

    def _step(
        self,
        embedding: FrameEmbedding,
        step: Step,
        banks: Banks,
        corrections: Corrections,
        clip_length: int,
    ) -> tuple[dict[ObjectId, Prediction], dict[ObjectId, Memory], dict[ObjectId, MemorySelection]]:
        frame, direction = step.frame, step.direction
        here = {k: banks[k, direction] for k in step.object_ids}
        selections = {k: self.policy.select(bank, frame, direction) for k, bank in here.items()}
        queries = [
            Query(recall=bank.recall(selections[k], frame, direction), clip_length=clip_length)
            for k, bank in here.items()
        ]
        answers = self.network.segment(embedding, queries)
        predictions = dict(zip(here, answers, strict=True))
        if isinstance(self.policy, ChoosingPolicy):
            for k, answer in predictions.items():
                predictions[k] = answer.choosing(self.policy.choose(here[k], answer))
        corrected = [k for k in here if (k, frame) in corrections]
        if corrected:
            refining = [
                Query(
                    points=corrections[k, frame].points,
                    previous_logits=predictions[k].mask_logits,
                    recall=query.recall,
                    clip_length=clip_length,
                )
                for k, query in zip(here, queries, strict=True)
                if k in corrected
            ]
            answers = self.network.segment(embedding, refining)
            predictions.update(zip(corrected, answers, strict=True))
        encoded = self.network.remember(embedding, list(predictions.values()), frame)
        memories = dict(zip(here, encoded, strict=True))
        for k, bank in here.items():
            bank.add(memories[k], conditioning=k in corrected)
            if isinstance(self.policy, ObservingPolicy):
                bank.state = self.policy.observe(bank, frame, predictions[k])
            bank.evict(frame, self.policy.retain(bank, frame))
        return predictions, memories, selections


def _as_batch(image: NDArray[np.uint8]) -> Tensor:
    """Return an (H, W, 3) image as a (1, 3, H, W) tensor."""
    return torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]


@contextmanager
def _computing(frame: int) -> Iterator[None]:
    """Switch gradients off, and say where the device's memory ran out."""
    try:
        with torch.no_grad():
            yield
    except torch.OutOfMemoryError as error:
        raise JobError(
            f"The device ran out of memory on frame {frame}. What was done is kept. Choose a "
            "smaller image size or model, or the CPU."
        ) from error


def _read_ahead(
    source: FrameSource, steps: Iterable[Step], known: Callable[[int], bool]
) -> Generator[tuple[Step, Future[NDArray[np.uint8]] | None], None, None]:
    """Yield each step while the next one's frame is being decoded, unless it is known."""
    remaining = iter(steps)
    step = next(remaining, None)
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:

        def read(step: Step | None) -> Future[NDArray[np.uint8]] | None:
            if step is None or known(step.frame):
                return None
            return reader.submit(source.read, step.frame)

        image = read(step)
        while step is not None:
            following = next(remaining, None)
            ahead = read(following)
            yield step, image
            step, image = following, ahead
