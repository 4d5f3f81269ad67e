"""How good a network is while it trains: DSC by the tracker that people use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.focus import Focus
from napari_surgisam.engine.memory import MemoryPolicy
from napari_surgisam.engine.network import Network
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.evaluation.answers import Answer, EvaluationProtocol, Prompting
from napari_surgisam.evaluation.cases import OpenCase
from napari_surgisam.evaluation.pictures import case_picture
from napari_surgisam.evaluation.protocols import (
    ClassProtocol,
    ImageProtocol,
    VideoProtocol,
    VolumeProtocol,
)
from napari_surgisam.metrics.masks import dsc
from napari_surgisam.training.practice import Practice

ONE_PASS_BYTES = 48 * 10**6
"""Memory for embeddings that are looked at about once."""


def suitable_protocol(case: OpenCase, clicks: int = 3) -> EvaluationProtocol:
    """Return how a case is best examined: as pictures, as a volume from its middle, as a movie."""
    prompting = Prompting(clicks=clicks)
    if len(case.frames) == 1:
        return ImageProtocol(prompting)
    return VolumeProtocol(prompting) if case.is_volume else VideoProtocol(prompting)


def answer_case(
    case: OpenCase, tracker: Tracker, seed: int, clicks: int = 3, *, by_class: bool = False
) -> Answer:
    """Prompt and segment a case, without pause, or find its classes by name."""
    protocol = ClassProtocol() if by_class else suitable_protocol(case, clicks)
    running = protocol.run(case, tracker, seed)
    while True:
        try:
            next(running)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


@dataclass(frozen=True, slots=True, eq=False)
class TrackedDice:
    """Mean DSC of all objects of the validation cases, each as one mask, and per class.

    Parameters
    ----------
    cases : sequence of OpenCase
    network : Network
        Whose weights are being trained.
    policy : MemoryPolicy
    focus : Focus or None
    cache : EmbeddingCache or None
        Embeddings that stay true while training; None where the encoder itself is trained.
    seed : int
        Of the clicks, the same at every validation.
    clicks : int
        On the prompted frame of each object.
    by_class : bool
        Whether classes are asked for by name instead.
    example : list of bytes
        JPEG of the first case as the latest validation found it.
    """

    cases: Sequence[OpenCase]
    network: Network
    policy: MemoryPolicy
    focus: Focus | None
    cache: EmbeddingCache | None
    seed: int = 0
    clicks: int = 3
    by_class: bool = False
    example: list[bytes] = field(default_factory=list)

    def __call__(self, practice: Practice) -> dict[str, float]:
        """Return ``dsc``, then ``dsc CLASS`` where there are several classes."""
        cache = self.cache or EmbeddingCache(ONE_PASS_BYTES)
        tracker = Tracker(self.network, self.policy, cache, focus=self.focus)
        found: dict[str, list[float]] = {}
        for number, case in enumerate(self.cases):
            answer = answer_case(case, tracker, self.seed, self.clicks, by_class=self.by_class)
            if number == 0:
                self.example[:] = [case_picture(case, answer)]
            for object_id in answer.truth.object_ids:
                truth = np.equal(answer.truth.labels, object_id)
                value = dsc(np.equal(answer.labels, object_id), truth)
                found.setdefault(case.classes.name(case.name, object_id), []).append(value)
        every = [value for values in found.values() for value in values]
        figures = {"dsc": float(np.mean(every))}
        if len(found) > 1:
            figures |= {f"dsc {name}": float(np.mean(v)) for name, v in sorted(found.items())}
        return figures
