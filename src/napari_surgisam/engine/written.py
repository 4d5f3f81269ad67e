"""A propagation whose labels go to disk while the network works on the next frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

from napari_surgisam.data.mask_records import StepMasks
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.propagation import Propagation
from napari_surgisam.engine.resuming import Interrupted, MemoryTail
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import FrameSegmented
from napari_surgisam.formats.label_runs import LabelRun
from napari_surgisam.formats.label_writer import LabelWriter

DEPTH = 4
"""Frames that may wait to be painted and written."""


def propagate_to_disk(session: Session, plan: Plan, writer: LabelWriter | LabelRun) -> Propagation:
    """Propagate, and write each frame's labels in a thread of its own.

    A run that was interrupted goes on where it was, and notes what it does. All that was
    yielded is written when the generator ends, however it ends. The writer stays open.

    Raises
    ------
    SurgisamError
        If a frame cannot be read, or the labels cannot be written.
    """
    tail = before = None
    if isinstance(writer, LabelRun):
        tail = MemoryTail(writer.memories)
        before = Interrupted(writer.records(), tail.read(session.tracker.network.device))
    return _written(session, session.propagate(plan, before=before), writer, tail)


def label_to_disk(
    session: Session,
    objects: Mapping[ObjectId, str],
    span: Span,
    writer: LabelWriter | LabelRun,
) -> Propagation:
    """Find objects by the names of their classes, and write as `propagate_to_disk` does."""
    before = Interrupted(writer.records()) if isinstance(writer, LabelRun) else None
    return _written(session, session.label_classes(objects, span, before), writer, None)


def _written(
    session: Session,
    events: Propagation,
    writer: LabelWriter | LabelRun,
    tail: MemoryTail | None,
) -> Propagation:
    def write(event: FrameSegmented) -> None:
        writer.write(event.frame, session.labels(event.frame))
        if not isinstance(writer, LabelRun) or (tail is not None and event.direction is None):
            return  # prompts are answered again, to the last bit
        if tail is not None and event.direction is not None:
            tail.keep(event.frame, event.direction, event.memories)
        masks = {k: session.masklets[k][event.frame] for k in event.predictions}
        writer.record(StepMasks(event.frame, event.direction or 0, masks))

    with Behind(DEPTH) as behind:
        for event in events:
            behind.do(partial(write, event))
            yield event


class Behind:
    """Does tasks one after the other in a thread of its own, not too far behind.

    Leaving its scope waits for them. A task that fails ends the rest, and its error is raised
    by the next call, or on leaving.

    Parameters
    ----------
    depth : int
        Tasks that may wait; with more, the caller waits.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write-behind")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def do(self, task: Callable[[], None]) -> None:
        """Do something after all that was asked for before.

        Raises
        ------
        Exception
            That of an earlier task.
        """
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= self._depth):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._try, task))

    def _try(self, task: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            task()
        except BaseException:
            self._failed = True
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        if error is None:
            while self._waiting:
                self._waiting.popleft().result()
