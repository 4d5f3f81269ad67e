"""One readable training loop; pretraining is `fit` fed by `SyntheticClips`."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_surgisam.errors import JobError, ModelError
from napari_surgisam.jobs import Event
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


@dataclass(slots=True)
class _Progress:
    """What a checkpoint carries besides tensors."""

    step: int = 0
    prompts: int = 0
    scale: float = 1.0  # of the learning rate; halved at every rollback
    warm_from: int = 0
    best: float = 0.0
    running: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


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
    accelerator = Accelerator(cpu=_on_cpu(practice))
    model = practice.model
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=options.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=options.weight_decay,
    )
    trainee, optimiser = accelerator.prepare(practice, optimiser)
    averaged = {name: value.detach().clone().float() for name, value in model.state_dict().items()}
    progress = _Progress()
    files = _Files(out)
    if resume:
        files.resume(model, optimiser, averaged, progress)
    random = torch.Generator(device=accelerator.device)
    random.manual_seed(seed + progress.step + 7919 * accelerator.process_index)
    started = time.monotonic() - progress.seconds
    rollbacks = 0
    for group in optimiser.param_groups:
        group["lr"] = 0.0
    while progress.step < options.steps:
        rate = _rate(progress, options)
        for group in optimiser.param_groups:
            group["lr"] = rate
        model.train()
        batch, lesson = curriculum(progress.step)
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


class _Files:
    """The weights and what lies next to them."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.state = out.with_suffix(".state.pt")
        self.curves = out.with_suffix(".curves.csv")

    def save(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        averaged: Mapping[str, Tensor],
        progress: _Progress,
        metadata: Mapping[str, Any],
        figures: Mapping[str, float],
        loss: float,
    ) -> None:
        self.out.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            **metadata,
            "step": progress.step,
            "prompts": progress.prompts,
            "seconds": round(progress.seconds),
            "validation": dict(figures),
        }
        half = {
            name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
            for name, value in averaged.items()
        }
        partial = self.out.with_suffix(".part")
        save_file(half, partial, metadata={k: json.dumps(v) for k, v in facts.items()})
        os.replace(partial, self.out)
        partial = self.state.with_suffix(".part")
        torch.save(
            {
                "model": model.state_dict(),
                "averaged": dict(averaged),
                "optimiser": optimiser.state_dict(),
                "progress": asdict(progress),
            },
            partial,
        )
        os.replace(partial, self.state)
        row = {"step": progress.step, "prompts": progress.prompts, "loss": loss, **figures}
        row["seconds"] = round(progress.seconds)
        fresh = not self.curves.exists()
        with self.curves.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(row))
            if fresh:
                writer.writeheader()
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})

    def resume(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        averaged: dict[str, Tensor],
        progress: _Progress,
    ) -> None:
        """Go on from the state, or from the weights alone; change nothing in place of neither."""
        if self.state.exists():
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            _copy_into(averaged, state["averaged"])
            for name, value in state["progress"].items():
                setattr(progress, name, value)
        elif self.out.exists():
            weights = load_file(self.out)
            model.load_state_dict({name: value.float() for name, value in weights.items()})
            _copy_into(averaged, weights)
            facts = read_metadata(self.out)
            progress.step = progress.warm_from = int(facts.get("step", 0))
            progress.prompts = int(facts.get("prompts", 0))
            progress.seconds = float(facts.get("seconds", 0))
        else:
            raise ModelError(
                f"There is nothing to resume: neither {self.state} nor {self.out} exists. "
                "Start without --resume."
            )


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the JSON metadata of a safetensors file."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}


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


def _copy_into(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)


def _rate(progress: _Progress, options: FitOptions) -> float:
    warm = min(1.0, (progress.step - progress.warm_from + 1) / max(options.warmup, 1))
    left = options.steps - progress.step
    cool = min(1.0, left / options.cooldown) if options.cooldown else 1.0
    return options.learning_rate * progress.scale * warm * cool


def _on_cpu(practice: Practice) -> bool:
    return next(practice.parameters()).device.type == "cpu"
