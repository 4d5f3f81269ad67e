"""The narrow waist: segment prompts on a frame, carry masks along a plan."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Generator,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import ObjectId, Prompt
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.ending import Ending, look_inside
from napari_surgisam.engine.focus import Focus
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
from napari_surgisam.engine.views import FrameView
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
        Prompted frames that are attended to at most, the nearest ones; None is no limit but
        the network's.
    focus : Focus or None
        How to narrow down the part of a frame that is seen, object by object; None always
        shows the whole frame, as SAM 2 does.
    """

    network: Network
    policy: MemoryPolicy = field(default_factory=RecentFrames)
    cache: EmbeddingCache = field(default_factory=EmbeddingCache)
    max_conditioning: int | None = MAX_CONDITIONING
    focus: Focus | None = None

    def embed(
        self, source: FrameSource, frame: int, region: Region | None = None
    ) -> FrameEmbedding:
        """Return the embedding of a frame or region, computed once while the cache keeps it.

        Raises
        ------
        DataError
            If the frame cannot be read.
        JobError
            If the device runs out of memory.
        """
        return self._view(source, frame).embed([region])[0]

    def is_embedded(self, source: FrameSource, frame: int) -> bool:
        """Whether the embedding of a whole frame is in the cache."""
        return self._view(source, frame).key(None) in self.cache

    def segment(
        self, source: FrameSource, frame: int, queries: Sequence[Query]
    ) -> list[Prediction]:
        """Answer queries about one frame, in their order, each in the region that suits it."""
        return self._answer(self._view(source, frame), queries)

    def look(
        self, source: FrameSource, frame: int, queries: Sequence[Query], region: Region | None
    ) -> list[Prediction]:
        """Answer queries about one frame, in their order, all in a given region of it."""
        return self._view(source, frame).segment(queries, [region] * len(queries))

    def remember(
        self, source: FrameSource, frame: int, predictions: Sequence[Prediction]
    ) -> list[Memory]:
        """Encode masks of one frame into memories, in their order."""
        return self._encode(self._view(source, frame), predictions)

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
            max_conditioning=self._conditioning_limit,
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
            if self.focus is not None:
                return False  # where objects will be looked for is not known ahead
            return self.is_embedded(source, frame)

        images = _read_ahead(source, steps, cached)
        try:
            for done, (step, image) in enumerate(images, start=1):
                view = self._view(source, step.frame, image)
                predictions, memories, selections = self._step(view, step, banks, corrections)
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
        self, view: FrameView, step: Step, banks: Banks, corrections: Corrections
    ) -> tuple[dict[ObjectId, Prediction], dict[ObjectId, Memory], dict[ObjectId, MemorySelection]]:
        frame, direction, clip_length = step.frame, step.direction, len(view.source)
        here = {k: banks[k, direction] for k in step.object_ids}
        selections = {k: self.policy.select(bank, frame, direction) for k, bank in here.items()}
        latest = [_latest(bank, frame, direction) for bank in here.values()]
        queries = [
            Query(
                recall=bank.recall(selections[k], frame, direction),
                clip_length=clip_length,
                previous_logits=None if memory is None else memory.mask,
                region=None if memory is None else memory.region,
            )
            for (k, bank), memory in zip(here.items(), latest, strict=True)
        ]
        regions = [None if memory is None else memory.next_region for memory in latest]
        answers = view.segment(queries, regions)
        if ending := self._ending(view.source):
            seen = view.embed([a.region for a in answers])
            answers = [
                ending.judge(answer, embedding, bank, frame, direction)
                for answer, embedding, bank in zip(answers, seen, here.values(), strict=True)
            ]
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
                    region=predictions[k].region,
                )
                for k, query in zip(here, queries, strict=True)
                if k in corrected
            ]
            answers = self._answer(view, refining)
            predictions.update(zip(corrected, answers, strict=True))
        encoded = self._encode(view, list(predictions.values()))
        memories = dict(zip(here, encoded, strict=True))
        for k, bank in here.items():
            bank.add(memories[k], conditioning=k in corrected)
            if isinstance(self.policy, ObservingPolicy):
                bank.state = self.policy.observe(bank, frame, predictions[k])
            bank.evict(frame, self.policy.retain(bank, frame))
        return predictions, memories, selections

    def _view(
        self, source: FrameSource, frame: int, image: Future[NDArray[np.uint8]] | None = None
    ) -> FrameView:
        return FrameView(self.network, self.cache, source, frame, image)

    def _answer(self, view: FrameView, queries: Sequence[Query]) -> list[Prediction]:
        """Answer queries in the regions that suit them; of several, the best answer counts."""
        if self.focus is None:
            return view.segment(queries, [None] * len(queries))
        shape = view.source.shape
        regions = [self.focus.regions(query, shape, self._least_side) for query in queries]
        asked = [(query, region) for q, query in enumerate(queries) for region in regions[q]]
        answers = iter(view.segment([q for q, _ in asked], [r for _, r in asked]))
        best = [self.focus.best(list(islice(answers, len(own))), shape) for own in regions]
        return self._look_closer(view, queries, best)

    def _look_closer(
        self, view: FrameView, queries: Sequence[Query], answers: list[Prediction]
    ) -> list[Prediction]:
        """Look again at classes that are small in the frame; that counts where it finds them."""
        regions = {
            k: region
            for k, (query, answer) in enumerate(zip(queries, answers, strict=True))
            if query.class_name and self.focus is not None
            for region in [self.focus.closer(answer, view.source.shape, self._least_side)]
            if region is not None
        }
        if regions:
            seen = view.segment([queries[k] for k in regions], list(regions.values()))
            for k, answer in zip(regions, seen, strict=True):
                answers[k] = answer if answer.presence > 0 else answers[k]
        return answers

    def _encode(self, view: FrameView, predictions: Sequence[Prediction]) -> list[Memory]:
        """Encode masks into memories that know where to look next."""
        memories = view.remember(predictions)
        ending = self._ending(view.source)
        if ending and ending.likeness:
            seen = view.embed([p.region for p in predictions])
            memories = [
                replace(m, look=look_inside(e, p.mask_logits))
                for m, e, p in zip(memories, seen, predictions, strict=True)
            ]
        if self.network.traits.carries_masks:
            memories = [
                replace(m, mask=p.carried, region=p.region)
                for m, p in zip(memories, predictions, strict=True)
            ]
        if self.focus is None:
            return memories
        shape = view.source.shape
        return [
            replace(m, next_region=self.focus.following(p, shape, self._least_side))
            for m, p in zip(memories, predictions, strict=True)
        ]

    def _ending(self, source: FrameSource) -> Ending | None:
        """Return the rules for where objects end in a volume; None in a movie, or without any."""
        traits = self.network.traits
        ending = Ending(traits.volume_presence, traits.volume_likeness)
        return ending if ending and not source.temporal else None

    @property
    def _conditioning_limit(self) -> int | None:
        limits = (self.max_conditioning, self.network.traits.conditioning_slots)
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def _least_side(self) -> int:
        """Side of a region below which the network sees nothing new, in frame pixels."""
        return self.network.image_size // 8


def _latest(bank: MemoryBank, frame: int, direction: Direction) -> Memory | None:
    """Return the memory of the frame that a pass saw last, else of the nearest."""
    held = (*bank.tracked_frames, *bank.conditioning_frames)
    passed = [f for f in held if (frame - f) * direction > 0]
    nearest = min(passed or held, key=lambda f: abs(frame - f), default=None)
    return None if nearest is None else bank[nearest]


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
