"""The evaluation as a job: cases in, results out, one after the other or on a cluster."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from napari_surgisam.batch import TaskFailed, run_tasks
from napari_surgisam.engine.settings import EngineSettings, loaded_tracker
from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.evaluation.answers import EvaluationProtocol
from napari_surgisam.evaluation.cases import Case
from napari_surgisam.evaluation.pictures import case_picture
from napari_surgisam.evaluation.rows import CaseScores, Scoring
from napari_surgisam.evaluation.scores import score_answer
from napari_surgisam.jobs import Event

if TYPE_CHECKING:
    from napari_surgisam.engine.tracker import Tracker

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case that was evaluated.

    Parameters
    ----------
    case : str
    scores : CaseScores
    segmenting_seconds, scoring_seconds : float
    peak_bytes : int
        Most memory that the process has held so far, on the GPU where there is one; 0 where
        the system does not tell.
    picture : bytes
        JPEG of its middling and its worst frame, truth and prediction.
    computed_on : str
        Kind of device, and precision: the last digits of a mask depend on both.
    """

    case: str
    scores: CaseScores
    segmenting_seconds: float
    scoring_seconds: float
    peak_bytes: int
    picture: bytes
    computed_on: str = ""


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked of every case.

    Parameters
    ----------
    protocol : EvaluationProtocol
    scoring : Scoring
    seed : int
    """

    protocol: EvaluationProtocol
    scoring: Scoring
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAdvanced(Event):
    """A step within a case is done; `done` and `total` count cases.

    Parameters
    ----------
    case : str
    step, steps : int
    """

    case: str
    step: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScored(Event):
    """A case is done."""

    result: CaseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFailed(Event):
    """A case could not be evaluated; the rest goes on."""

    case: str
    reason: str


Evaluation = Generator[CaseAdvanced | CaseScored | CaseFailed, None, None]


def evaluate_case(
    case: Case, questions: Questions, tracker: Tracker
) -> Generator[Event, None, CaseResult]:
    """Prompt, segment and score one case; a job that returns its result.

    Raises
    ------
    SurgisamError
        If the case cannot be opened, segmented or scored.
    """
    opened = case.open()
    questions.scoring.spacing(opened)  # what cannot be scored need not be segmented
    started = perf_counter()
    answer = yield from questions.protocol.run(opened, tracker, questions.seed)
    segmented = perf_counter()
    scores = score_answer(opened, answer, questions.protocol, questions.scoring)
    picture = case_picture(opened, answer)
    return CaseResult(
        case.name,
        scores,
        segmented - started,
        perf_counter() - segmented,
        peak_memory(),
        picture,
        _computing(tracker),
    )


def evaluate(
    cases: Sequence[Case], questions: Questions, tracker: Callable[[], Tracker]
) -> Evaluation:
    """Evaluate cases in this process.

    Parameters
    ----------
    cases : sequence of Case
    questions : Questions
    tracker : callable
        Called once, when the first case begins.

    Yields
    ------
    CaseAdvanced, CaseScored or CaseFailed
        Closing the generator cancels; what was yielded is complete.

    Raises
    ------
    ModelError
        If there is no tracker: no case could be evaluated.
    """
    _check_names(cases)
    engine = tracker()
    for number, case in enumerate(cases):
        running = evaluate_case(case, questions, engine)
        try:
            while True:
                event = next(running)
                yield CaseAdvanced(
                    done=number,
                    total=len(cases),
                    case=case.name,
                    step=event.done,
                    steps=event.total,
                )
        except StopIteration as end:
            yield CaseScored(done=number + 1, total=len(cases), result=end.value)
        except Exception as error:
            yield CaseFailed(
                done=number + 1, total=len(cases), case=case.name, reason=_reason(error)
            )
        finally:
            running.close()


def evaluate_on(
    scheduler: str, cases: Sequence[Case], questions: Questions, settings: EngineSettings
) -> Evaluation:
    """Evaluate cases on a Dask cluster, in whatever order they are done.

    Parameters
    ----------
    scheduler : str
        See `batch.run_tasks`.
    cases : sequence of Case
        They are sent to the workers, which must see the same files.
    questions : Questions
    settings : EngineSettings
        Each worker loads the model once.

    Yields
    ------
    CaseScored or CaseFailed

    Raises
    ------
    JobError
        If there is no such cluster.
    """
    _check_names(cases)
    tasks = {case.name: (case, questions, settings) for case in cases}
    for event in run_tasks(_work, tasks, scheduler):
        if isinstance(event, TaskFailed):
            yield CaseFailed(
                done=event.done, total=event.total, case=event.name, reason=event.reason
            )
        else:
            yield CaseScored(done=event.done, total=event.total, result=event.result)


def peak_memory() -> int:
    """Return the most bytes that this process has held, on its GPU where it uses one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # there is none on Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _computing(tracker: Tracker) -> str:
    device, precision = tracker.network.device, getattr(tracker.network, "precision", "")
    return f"{device.type} {str(precision).removeprefix('torch.')}".strip()


def _work(task: tuple[Case, Questions, EngineSettings]) -> CaseResult:
    """Evaluate a case in a worker."""
    case, questions, settings = task
    running = evaluate_case(case, questions, loaded_tracker(settings.of_worker()))
    while True:
        try:
            next(running)
        except StopIteration as end:
            result: CaseResult = end.value
            return result


def _reason(error: Exception) -> str:
    if isinstance(error, SurgisamError):
        return str(error)
    LOG.error("A case stopped with an unexpected error", exc_info=error)
    return f"The computation stopped: {type(error).__name__}: {error}."


def _check_names(cases: Iterable[Case]) -> None:
    counts = Counter(case.name for case in cases)
    double = sorted(name for name, count in counts.items() if count > 1)
    if double:
        raise DataError(
            f"Two cases have the same name ({', '.join(double)}): rename one, because results "
            "are kept by name."
        )
