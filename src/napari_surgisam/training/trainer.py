"""One readable training loop: pretraining feeds it synthetic clips, fine-tuning labelled ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.utils import broadcast_object_list
from torch import nn

from napari_surgisam.errors import JobError
from napari_surgisam.jobs import Event
from napari_surgisam.training.averaging import average_in, averages_in_place
from napari_surgisam.training.checkpoints import Pack, Progress, TrainingFiles, halved
from napari_surgisam.training.lessons import ClipBatch, Lesson, Outcome
from napari_surgisam.training.practice import Practice


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTrained(Event):
    """One optimiser step is done; `done` and `total` count steps.

    Parameters
    ----------
    loss : float
    prompts : int
        Prompts seen since training began.
    ious : mapping of str to float
        Running mean IoU by kind of answer.
    validation : mapping of str to float, optional
        Given on the steps that validated.
    message : str
        What else happened: a checkpoint, a rollback.
    """

    loss: float
    prompts: int
    ious: Mapping[str, float]
    validation: Mapping[str, float] | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How to train.

    Parameters
    ----------
    steps : int
        Step to stop at, counted from the very first.
    learning_rate, weight_decay, clip_norm : float
        Of AdamW; the norm of the gradient is clipped.
    warmup : int
        Steps of linear warm-up, also after resuming from weights alone.
    cooldown : int
        Last steps, over which the learning rate falls linearly to zero.
    average : float
        Decay of the moving average of the weights, which is what gets validated and saved.
    check_every : int
        Steps between validations and checkpoints.
    minutes : float
        Stop, with a checkpoint, once this much time has passed.
    accumulate : int
        Batches whose gradients make a step.
    rollbacks : int
        How often training may go back to the last checkpoint where it collapsed; with 0, it
        stops where the loss is not finite.
    keep_best : bool
        Validate also before the first step, and write the weights only where they are the
        best so far. The state from which training resumes is always the latest.
    patience : int
        Stop after so many validations without a better one; 0 never stops early.
    """

    steps: int
    learning_rate: float = 6e-4
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    warmup: int = 200
    cooldown: int = 0
    average: float = 0.998
    check_every: int = 500
    minutes: float = float("inf")
    accumulate: int = 1
    rollbacks: int = 3
    keep_best: bool = False
    patience: int = 0


Curriculum = Callable[[int], tuple[ClipBatch, Lesson]]
Validation = Callable[[Practice], dict[str, float]]


def fit(
    practice: Practice,
    curriculum: Curriculum,
    validation: Validation | None,
    options: FitOptions,
    out: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
    seed: int = 0,
    parameters: Sequence[dict[str, Any]] | None = None,
    pack: Pack = halved,
) -> Generator[StepTrained, None, None]:
    """Train until the step or the time is reached; a job.

    Next to `out` (averaged weights, as `pack` leaves them, with `metadata`) lie `.state.pt`,
    from which training resumes, and `.curves.csv`. All are replaced at once, never half-written.
    What is random in a step depends on the seed and the step alone: a run that was killed
    and resumed ends with the weights of one that was not, if its `curriculum` does likewise.

    Parameters
    ----------
    practice : Practice
    curriculum : callable
        Gives batch and lesson by number; a step takes the next `accumulate` of them.
    validation : callable or None
        Gives figures of the averaged network; the first is the one that counts. Of several
        processes, the first one's are taken.
    resume : bool
        Go on from `.state.pt`, or, where there is none, from the weights in `out`.
    parameters : sequence of dict, optional
        Groups of parameters for the optimiser, each with the ``scale`` of its learning rate.
    pack : callable
        Turns averaged weights into those that are written.

    Raises
    ------
    JobError
        If the loss stays not finite, or a file cannot be written.
    """
    torch.set_flush_denormal(True)
    # memory and its attention rest while single images are practised
    resting = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(cpu=_on_cpu(practice), kwargs_handlers=[resting])
    model = practice.model
    optimiser = torch.optim.AdamW(
        model.parameters() if parameters is None else parameters,
        lr=options.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=options.weight_decay,
    )
    trainee, optimiser = accelerator.prepare(practice, optimiser)
    averaged = {name: value.detach().clone().float() for name, value in model.state_dict().items()}
    progress = Progress()
    files = TrainingFiles(out, pack)
    if resume:
        files.resume(model, optimiser, averaged, progress)
    started = time.monotonic() - progress.seconds
    rollbacks = 0
    for group in optimiser.param_groups:
        group["lr"] = 0.0

    def validated() -> dict[str, float]:
        if validation is None:
            return {}
        with averages_in_place(model, averaged):
            figures = [validation(practice)]
        found: dict[str, float] = broadcast_object_list(figures)[0]
        return found

    def save(figures: Mapping[str, float], loss: float) -> str:
        better = progress.judge(next(iter(figures.values()))) if figures else True
        if not accelerator.is_main_process:
            return ""
        wanted = better or not options.keep_best
        files.save(
            model, optimiser, averaged, progress, metadata or {}, figures, loss, weights=wanted
        )
        return f"saved {out.name}" if wanted else f"kept the better {out.name}"

    if options.keep_best and progress.step == 0:
        figures = validated()
        progress.before = dict(figures)
        yield _event(progress, options, float("nan"), figures, save(figures, float("nan")))
    batches = _ReadAhead(curriculum, options.steps * options.accumulate)
    while progress.step < options.steps:
        rate = _rate(progress, options)
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        practice.train()
        try:
            loss, outcomes, faulty = _gradients(
                accelerator, trainee, batches, progress.step, options.accumulate, seed
            )
        except torch.OutOfMemoryError as error:
            raise JobError(
                f"The device ran out of memory at step {progress.step + 1}: use smaller images."
            ) from error
        accelerator.clip_grad_norm_(model.parameters(), options.clip_norm)
        finite = math.isfinite(loss)
        if finite:
            optimiser.step()
            average_in(averaged, model, min(options.average, (progress.step + 1) / 100))
        elif not options.rollbacks:
            where = f"on {faulty}" if faulty else "in another process"
            raise JobError(
                f"The loss became {loss} at step {progress.step + 1}, {where}. The best weights "
                f"until then are in {out}. Look at that sample, or lower the learning rate."
            )
        progress.step += 1
        progress.prompts += sum(o.prompts for o in outcomes) * accelerator.num_processes
        progress.seconds = time.monotonic() - started
        for name, iou in (pair for outcome in outcomes for pair in outcome.ious.items()):
            progress.running[name] = 0.99 * progress.running.get(name, iou) + 0.01 * iou
        out_of_time = progress.seconds > options.minutes * 60
        found: dict[str, float] | None = None
        message = ""
        if (
            progress.step % options.check_every == 0
            or progress.step == options.steps
            or (out_of_time or not finite)
        ):
            found = validated()
            score = next(iter(found.values()), 0.0)
            collapsed = not finite or score < 0.6 * progress.best
            if collapsed and options.rollbacks and files.state.exists():
                rollbacks += 1
                if rollbacks > options.rollbacks:
                    raise JobError(
                        f"Training collapsed {rollbacks} times near step {progress.step} (loss "
                        f"{loss:.3g}, {score:.3f} after {progress.best:.3f}); the last good "
                        f"weights are in {out}. Lower the learning rate."
                    )
                failed = progress.step
                files.resume(model, optimiser, averaged, progress)
                progress.scale *= 0.5
                progress.warm_from = progress.step
                message = f"collapsed at step {failed}: back to step {progress.step}, half the rate"
            else:
                message = save(found, loss)
        enough = bool(options.patience) and progress.stale >= options.patience
        if enough and found is not None:
            message += f"; {progress.stale} validations were not better, so training stops"
        yield _event(progress, options, loss, found, message)
        if out_of_time or (enough and found is not None):
            return


def _gradients(
    accelerator: Accelerator,
    trainee: nn.Module,
    batches: _ReadAhead,
    step: int,
    accumulate: int,
    seed: int,
) -> tuple[float, list[Outcome], str]:
    """Leave the gradients of a step; returns its loss over all processes, and what broke it."""
    trainee.zero_grad(set_to_none=True)
    losses, outcomes, faulty = [], [], ""
    process, processes = accelerator.process_index, accelerator.num_processes
    for turn in range(accumulate):
        batch, lesson = batches(step * accumulate + turn)
        # so that neither a pause nor the number of processes changes what is drawn
        place = (step * processes + process) * accumulate + turn
        torch.manual_seed(seed * 1_000_003 + place)
        random = torch.Generator(device=accelerator.device)
        random.manual_seed(seed * 1_000_003 + place)
        last = turn + 1 == accumulate
        with nullcontext() if last else accelerator.no_sync(trainee):
            outcome: Outcome = trainee(batch, lesson, random)
            if outcome.loss.requires_grad:
                accelerator.backward(outcome.loss / accumulate)
        losses.append(outcome.loss.detach())
        outcomes.append(outcome)
        if not torch.isfinite(outcome.loss):
            faulty = str(getattr(batch, "sample", f"batch {place}"))
    mean = accelerator.reduce(torch.stack(losses).mean(), "mean")
    return float(mean), outcomes, faulty


def _event(
    progress: Progress,
    options: FitOptions,
    loss: float,
    figures: Mapping[str, float] | None,
    message: str,
) -> StepTrained:
    return StepTrained(
        done=progress.step,
        total=options.steps,
        loss=loss,
        prompts=progress.prompts,
        ious=dict(progress.running),
        validation=figures,
        message=message,
    )


class _ReadAhead:
    """Makes the next step's batch while this one is practised."""

    def __init__(self, curriculum: Curriculum, steps: int) -> None:
        self.curriculum, self.steps = curriculum, steps
        self.maker = ThreadPoolExecutor(1, thread_name_prefix="clips")
        self.step = -1
        self.following: Future[tuple[ClipBatch, Lesson]] | None = None

    def __call__(self, step: int) -> tuple[ClipBatch, Lesson]:
        batch = self.following
        if batch is None or step != self.step:
            batch = self.maker.submit(self.curriculum, step)
        made = batch.result()
        self.step = step + 1
        more = self.step < self.steps
        self.following = self.maker.submit(self.curriculum, self.step) if more else None
        return made


def _rate(progress: Progress, options: FitOptions) -> float:
    warm = min(1.0, (progress.step - progress.warm_from + 1) / max(options.warmup, 1))
    left = options.steps - progress.step
    cool = min(1.0, left / options.cooldown) if options.cooldown else 1.0
    return options.learning_rate * progress.scale * warm * cool


def _on_cpu(practice: Practice) -> bool:
    return next(practice.parameters()).device.type == "cpu"
