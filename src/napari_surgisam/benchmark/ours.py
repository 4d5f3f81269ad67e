"""The package itself, driven as its users do, and timed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from napari_surgisam.benchmark.footage import Footage
from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.prompts import AnyPrompt, Point, Prompt, PromptBook
from napari_surgisam.engine.course import Update
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.focus import Focus
from napari_surgisam.engine.memory import Memory
from napari_surgisam.engine.network import FrameEmbedding, Network, Prediction
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.policies import choose_policy
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.engine.written import propagate_to_disk
from napari_surgisam.formats.label_runs import begin_run

FORWARD = Plan("forward")
ONE_PASS_BYTES = 48 * 10**6


def tracker_of(
    network: Network,
    policy: str = "sam2",
    cache: int = ONE_PASS_BYTES,
    focus: Focus | None = None,
) -> Tracker:
    """Return a tracker with an empty cache of some bytes."""
    chosen = choose_policy(policy, "embedded")
    return Tracker(network, chosen, cache=EmbeddingCache(cache), focus=focus)


def first_pass(
    network: Network,
    footage: Footage,
    prompts: Sequence[Prompt],
    policy: str = "sam2",
    focus: Focus | None = None,
) -> float:
    """Return seconds from the movie's file to the last painted labels."""
    start = time.perf_counter()
    tracker = tracker_of(network, policy, focus=focus)
    session = Session(footage.open(), tracker, _annotation(prompts))
    for event in session.propagate(FORWARD):
        session.labels(event.frame)
    return time.perf_counter() - start


def corrected(
    network: Network,
    footage: Footage,
    prompts: Sequence[Prompt],
    correction: Prompt,
    updates: Sequence[Update],
    cache: int,
) -> Iterator[list[tuple[float, int]]]:
    """Make a first pass; then yield, for ever, what a correction takes with each update.

    Yields
    ------
    list of (float, int)
        Seconds from the correction to the last painted labels, and frames that were tracked.
    """
    session = Session(footage.open(), tracker_of(network, cache=cache), _annotation(prompts))
    for event in session.propagate(FORWARD):
        session.labels(event.frame)
    known = session.annotation
    while True:
        found = []
        for update in updates:
            start, count = time.perf_counter(), 0
            for point in correction.points:
                session.add_point(correction.object_id, correction.frame, point)
            session.segment(correction.frame)
            session.labels(correction.frame)
            for event in session.propagate(FORWARD, update=update):
                session.labels(event.frame)
                count += 1
            found.append((time.perf_counter() - start, count))
            while session.annotation is not known:
                session.undo()
        yield found


def click(network: Network, footage: Footage, repeats: int) -> tuple[float, ...]:
    """Return seconds from each click on an embedded frame to its painted labels."""
    tracker, frames = tracker_of(network), footage.open()
    seconds = []
    for number in range(repeats + 2):
        session = Session(frames, tracker)
        session.embed(0)
        ((y, x),) = [(p.y, p.x) for prompt in footage.clicks(1) for p in prompt.points]
        start = time.perf_counter()
        session.add_point(footage.clicks(1)[0].object_id, 0, Point(y + number, x - number))
        session.segment(0)
        session.labels(0)
        seconds.append(time.perf_counter() - start)
    return tuple(seconds[2:])  # the first ones warm up


def share_outside(
    network: Network, footage: Footage, prompts: Sequence[Prompt], out: Path
) -> float:
    """Return the share of a first pass, in percent, in which the network does not compute.

    The pass is that of `surgisam propagate`: decoded, tracked, painted, written so that it
    can be killed at any time.
    """
    timed = TimedNetwork(network)
    start = time.perf_counter()
    for _ in written_pass(cast("Network", timed), footage, prompts, out):
        pass
    whole = time.perf_counter() - start
    return 100 * (1 - timed.seconds / whole)


def written_pass(
    network: Network, footage: Footage, prompts: Sequence[Prompt], out: Path
) -> Iterator[int]:
    """Track from the movie's file to labels on disk, yielding each frame."""
    frames = footage.open()
    session = Session(frames, tracker_of(network), _annotation(prompts))
    run = begin_run(out, frames, len(prompts), {}, overwrite=True)
    if run is None:
        return
    try:
        for event in propagate_to_disk(session, FORWARD, run):
            yield event.frame
    except BaseException:
        run.abort()
        raise
    run.close()


class TimedNetwork:
    """A network that counts the seconds in which it computes.

    Parameters
    ----------
    network : Network
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def embed(self, images: Tensor) -> list[FrameEmbedding]:
        """Embed images; see `Network`."""
        return self._timed("embed", images)  # type: ignore[no-any-return]

    def segment(self, *arguments: Any) -> list[Prediction]:
        """Answer queries; see `Network`."""
        return self._timed("segment", *arguments)  # type: ignore[no-any-return]

    def remember(self, *arguments: Any) -> list[Memory]:
        """Encode masks; see `Network`."""
        return self._timed("remember", *arguments)  # type: ignore[no-any-return]

    def _timed(self, verb: str, *arguments: Any) -> Any:
        start = time.perf_counter()
        answer = getattr(self._network, verb)(*arguments)
        if self._network.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - start
        return answer


def _annotation(prompts: Sequence[AnyPrompt]) -> Annotation:
    book = PromptBook()
    for prompt in prompts:
        book = book.with_prompt(prompt)
    return Annotation(book)
