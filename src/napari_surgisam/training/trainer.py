"""One readable training loop; pretraining is `fit` fed by `SyntheticClips`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn

from napari_surgisam.errors import JobError
from napari_surgisam.jobs import Event
from napari_surgisam.training.checkpoints import Progress, TrainingFiles
from napari_surgisam.training.lessons import Lesson, Outcome, Practice
from napari_surgisam.training.synthesis import SyntheticBatch


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


Curriculum = Callable[[int], tuple[SyntheticBatch, Lesson]]
Validation = Callable[[Practice], dict[str, float]]


def fit(
    practice: Practice,
    curriculum: Curriculum,
    validation: Validation,
    options: FitOptions,
    out: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
    seed: int = 0,
) -> Generator[StepTrained, None, None]:
    """Train until the step or the time is reached; a job.

    Next to `out` (averaged weights, float16, with `metadata`) lie `.state.pt`, from which
    training resumes, and `.curves.csv`. All are replaced at once, never half-written.

    Parameters
    ----------
    practice : Practice
    curriculum : callable
        Gives batch and lesson of a step.
    validation : callable
        Gives figures of the averaged network; the first decides whether it collapsed.
    resume : bool
        Go on from `.state.pt`, or, where there is none, from the weights in `out`.

    Raises
    ------
    JobError
        If the loss stays not finite after three rollbacks.
    """
    torch.set_flush_denormal(True)
    # memory and its attention rest while single images are practised
    resting = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(cpu=_on_cpu(practice), kwargs_handlers=[resting])
    model = practice.model
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=options.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=options.weight_decay,
    )
    trainee, optimiser = accelerator.prepare(practice, optimiser)
    averaged = {name: value.detach().clone().float() for name, value in model.state_dict().items()}
    progress = Progress()
    files = TrainingFiles(out)
    if resume:
        files.resume(model, optimiser, averaged, progress)
    random = torch.Generator(device=accelerator.device)
    random.manual_seed(seed + progress.step + 7919 * accelerator.process_index)
    started = time.monotonic() - progress.seconds
    rollbacks = 0
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    batches = _ReadAhead(curriculum, options.steps)
    while progress.step < options.steps:
        rate = _rate(progress, options)
        for group in optimiser.param_groups:
            group["lr"] = rate
        model.train()
        batch, lesson = batches(progress.step)
        outcome: Outcome = trainee(batch, lesson, random)
        optimiser.zero_grad()
        accelerator.backward(outcome.loss)
        accelerator.clip_grad_norm_(model.parameters(), options.clip_norm)
        loss = float(outcome.loss.detach())
        if torch.isfinite(outcome.loss):
            optimiser.step()
            _average(averaged, model, min(options.average, (progress.step + 1) / 100))
        progress.step += 1
        progress.prompts += outcome.prompts * accelerator.num_processes
        progress.seconds = time.monotonic() - started
        for name, iou in outcome.ious.items():
            progress.running[name] = 0.99 * progress.running.get(name, iou) + 0.01 * iou
        out_of_time = progress.seconds > options.minutes * 60
        figures: dict[str, float] | None = None
        message = ""
        if (
            progress.step % options.check_every == 0
            or progress.step == options.steps
            or (out_of_time or not torch.isfinite(outcome.loss))
        ):
            with _Swapped(model, averaged):
                figures = validation(practice)
            score = next(iter(figures.values()))
            collapsed = not torch.isfinite(outcome.loss) or score < 0.6 * progress.best
            if collapsed and files.state.exists():
                rollbacks += 1
                if rollbacks > 3:
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
            elif accelerator.is_main_process:
                progress.best = max(progress.best, score)
                files.save(model, optimiser, averaged, progress, metadata or {}, figures, loss)
                message = f"saved {out.name}"
        yield StepTrained(
            done=progress.step,
            total=options.steps,
            loss=loss,
            prompts=progress.prompts,
            ious=dict(progress.running),
            validation=figures,
            message=message,
        )
        if out_of_time:
            return


class _ReadAhead:
    """Makes the next step's batch while this one is practised."""

    def __init__(self, curriculum: Curriculum, steps: int) -> None:
        self.curriculum, self.steps = curriculum, steps
        self.maker = ThreadPoolExecutor(1, thread_name_prefix="clips")
        self.step = -1
        self.following: Future[tuple[SyntheticBatch, Lesson]] | None = None

    def __call__(self, step: int) -> tuple[SyntheticBatch, Lesson]:
        batch = self.following
        if batch is None or step != self.step:
            batch = self.maker.submit(self.curriculum, step)
        made = batch.result()
        self.step = step + 1
        more = self.step < self.steps
        self.following = self.maker.submit(self.curriculum, self.step) if more else None
        return made


class _Swapped:
    """Puts the averaged weights into the model for a while."""

    def __init__(self, model: nn.Module, averaged: Mapping[str, Tensor]) -> None:
        self.model, self.averaged = model, averaged

    def __enter__(self) -> None:
        self.kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(dict(self.averaged))
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        self.model.load_state_dict(self.kept)


@torch.no_grad()
def _average(averaged: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            averaged[name].lerp_(value.float(), 1 - decay)
        else:
            averaged[name].copy_(value)


def _rate(progress: Progress, options: FitOptions) -> float:
    warm = min(1.0, (progress.step - progress.warm_from + 1) / max(options.warmup, 1))
    left = options.steps - progress.step
    cool = min(1.0, left / options.cooldown) if options.cooldown else 1.0
    return options.learning_rate * progress.scale * warm * cool


def _on_cpu(practice: Practice) -> bool:
    return next(practice.parameters()).device.type == "cpu"
