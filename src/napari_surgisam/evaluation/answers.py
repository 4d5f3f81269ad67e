"""What every protocol shares: how objects are prompted, and what an answer is.

A protocol is frozen data with one verb, `run`, a job that ends with an `Answer`. It knows the
truth as a person who clicks would, and hands on nothing of it but prompts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.clicks import (
    MAX_CLICKS,
    ClickMode,
    PromptKind,
    interacted_frames,
    simulated_prompt,
)
from napari_surgisam.data.prompts import ObjectId, Prompt
from napari_surgisam.engine.plan import Order, Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import PromptError
from napari_surgisam.evaluation.cases import OpenCase, Truth
from napari_surgisam.jobs import Event

Seeds = Callable[[ObjectId, int], np.random.Generator]
Running = Generator[Event, None, "Answer"]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The quality of an object's masks after some clicks or rounds.

    Parameters
    ----------
    object_id : ObjectId
    frame : int or None
        None where the value is of all labelled frames.
    step : int
        Clicks, or rounds of correction.
    iou : float
    """

    object_id: ObjectId
    frame: int | None
    step: int
    iou: float


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a protocol found on the labelled frames.

    Parameters
    ----------
    truth : Truth
        Of the frames that were looked at.
    labels : (K, H, W) uint16 array
        Predicted labels of these frames; an object has the label that it has in the truth.
    prompted : mapping of ObjectId to tuple of int
        On which frames each object was prompted.
    clicks : mapping of ObjectId to int
        How many clicks each object took.
    curve : tuple of CurvePoint
    """

    truth: Truth
    labels: NDArray[np.uint16]
    prompted: Mapping[ObjectId, tuple[int, ...]]
    clicks: Mapping[ObjectId, int]
    curve: tuple[CurvePoint, ...] = ()


class EvaluationProtocol(Protocol):
    """A way to prompt and segment a case."""

    name: ClassVar[str]
    per_picture: ClassVar[bool]
    """Whether each frame stands for itself, without memory."""
    solid: ClassVar[bool | None]
    """Whether an object is scored as one body in space; None: as the source is."""

    def run(self, case: OpenCase, tracker: Tracker, seed: int) -> Running:
        """Segment a case; returns the `Answer`."""
        ...


@dataclass(frozen=True, slots=True)
class Prompting:
    """How a simulated person prompts an object on a frame.

    Parameters
    ----------
    kind : {"points", "box", "mask"}
    clicks : int
        How many points enter together, 1 to 10.
    mode : {"random", "center"}
        Random clicks follow the seed, the case's name, object and frame, and nothing else.
    """

    kind: PromptKind = "points"
    clicks: int = 3
    mode: ClickMode = "random"

    def __post_init__(self) -> None:
        if not 1 <= self.clicks <= MAX_CLICKS:
            raise PromptError(f"{self.clicks} clicks cannot be simulated: 1 to {MAX_CLICKS} can.")

    def prompt(
        self, session: Session, truth: Truth, where: Mapping[ObjectId, Iterable[int]], seeds: Seeds
    ) -> dict[ObjectId, int]:
        """Prompt objects on frames, as one step; returns the clicks that each object took."""
        prompts = [
            simulated_prompt(
                object_id,
                frame,
                truth.mask(object_id, frame),
                kind=self.kind,
                clicks=self.clicks,
                mode=self.mode,
                seed=seeds(object_id, frame),
            )
            for object_id, frames in where.items()
            for frame in frames
        ]
        session.set_prompts(prompts)
        taken = dict.fromkeys(where, 0)
        for prompt in prompts:
            taken[prompt.object_id] += len(prompt.points) if isinstance(prompt, Prompt) else 0
        return taken


def seeds_of(case: str, seed: int) -> Seeds:
    """Return where the randomness of an object on a frame comes from.

    It does not depend on what was drawn before, so that scores are the same in whatever
    order, and on however many machines, cases are evaluated.
    """
    name = zlib.crc32(case.encode())

    def seeded(object_id: ObjectId, frame: int) -> np.random.Generator:
        return np.random.default_rng([seed, name, object_id, frame])

    return seeded


def painted(session: Session, truth: Truth) -> NDArray[np.uint16]:
    """Return a session's labels on the labelled frames, (K, H, W)."""
    return np.stack([session.labels(frame) for frame in truth.frames])


def propagated(
    case: OpenCase,
    tracker: Tracker,
    prompting: Prompting,
    where: Mapping[ObjectId, tuple[int, ...]],
    order: Order,
    seed: int,
) -> Running:
    """Prompt objects on some frames, carry the prompts along a plan, and answer."""
    session = Session(case.frames, tracker)
    clicks = prompting.prompt(session, case.truth, where, seeds_of(case.name, seed))
    for event in session.propagate(Plan(order)):
        yield Event(done=event.done, total=event.total)
    return Answer(case.truth, painted(session, case.truth), where, clicks)


def some_frames(truth: Truth, count: int | None) -> Truth:
    """Return the truth of so many labelled frames, evenly spread; of all where there are fewer."""
    if count is None or len(truth.frames) <= count:
        return truth
    return truth.only(interacted_frames(truth.frames, count, spread=True))
