"""What the dock widget *Evaluate* computes, as jobs: no Qt, no layers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.jobs import Event
from napari_surgisam.plugin.grid import FrameGrid

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from napari_surgisam.engine.settings import EngineSettings
    from napari_surgisam.evaluation.answers import EvaluationProtocol
    from napari_surgisam.evaluation.jobs import CaseResult
    from napari_surgisam.evaluation.rows import FrameRow, ScoreRow, Scoring


@dataclass(frozen=True, slots=True, eq=False)
class LayerLabels:
    """The labels of a layer, not read yet.

    Parameters
    ----------
    name : str
    array : array-like
        Of the grid's shape; NumPy, dask or zarr.
    grid : FrameGrid
    """

    name: str
    array: Any
    grid: FrameGrid

    def read(self) -> NDArray[Any]:
        """Return the labels as (frame, y, x), read whole.

        Raises
        ------
        DataError
            If they do not hold whole numbers.
        """
        kind = np.dtype(self.array.dtype)
        if kind.kind not in "bui":
            raise DataError(
                f"The layer {self.name} holds {kind} values, but labels are whole numbers: "
                "convert it, for example with layer.data.astype(int)."
            )
        frames = [np.asarray(self.array[self.grid.index(f)]) for f in range(len(self.grid))]
        return np.stack(frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectScored(Event):
    """An object of a comparison has its figures."""

    row: ScoreRow
    frames: list[FrameRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolAdvanced(Event):
    """A protocol went a step, in its own unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolFinished(Event):
    """A protocol ended."""

    result: CaseResult


def compare_labels(
    labels: LayerLabels,
    reference: LayerLabels,
    frames: FrameSource,
    classes: ClassTable,
    scoring: Scoring,
) -> Generator[ObjectScored, None, None]:
    """Compare labels with a reference, object by object.

    Parameters
    ----------
    labels, reference : LayerLabels
    frames : FrameSource
        Gives spacing, and whether the frames follow in time.
    classes : ClassTable
    scoring : Scoring

    Raises
    ------
    DataError
        If the labels do not fit each other, or the reference is empty.
    """
    from napari_surgisam.evaluation.cases import OpenCase, Truth
    from napari_surgisam.evaluation.scores import objects_of, scored_objects

    truth = Truth(reference.read(), tuple(range(len(reference.grid))))
    case = OpenCase(labels.name, frames, truth, classes)
    predicted = labels.read()
    if predicted.shape != truth.labels.shape:
        raise DataError(
            f"The layers {labels.name} {predicted.shape} and {reference.name} "
            f"{truth.labels.shape} differ in shape: bring both to one grid first."
        )
    total = len(objects_of(predicted, truth))
    found = scored_objects(case, predicted, truth, scoring, solid=case.is_volume)
    for done, (row, rows) in enumerate(found, start=1):
        yield ObjectScored(done=done, total=total, row=row, frames=rows)


def run_protocol(
    name: str,
    frames: Callable[[], FrameSource],
    reference: LayerLabels,
    classes: ClassTable,
    protocol: EvaluationProtocol,
    scoring: Scoring,
    settings: EngineSettings,
) -> Generator[Event, None, None]:
    """Prompt and segment an open image by its reference, and score it.

    Parameters
    ----------
    name : str
        Of the case.
    frames : callable
        Called in the job's thread.
    reference : LayerLabels
    classes : ClassTable
    protocol : EvaluationProtocol
    scoring : Scoring
    settings : EngineSettings

    Yields
    ------
    ProtocolAdvanced, at last ProtocolFinished
    """
    from napari_surgisam.evaluation.cases import MemoryCase
    from napari_surgisam.evaluation.jobs import Questions, evaluate_case

    source = frames()
    labels = reference.read()
    labels = np.moveaxis(labels, 0, source.axis) if source.ndim == 3 else labels[0]
    case = MemoryCase(name, source, labels, classes)
    running = evaluate_case(case, Questions(protocol, scoring), settings.tracker())
    try:
        while True:
            event = next(running)
            yield ProtocolAdvanced(done=event.done, total=event.total)
    except StopIteration as end:
        yield ProtocolFinished(done=1, total=1, result=end.value)
    finally:
        running.close()
