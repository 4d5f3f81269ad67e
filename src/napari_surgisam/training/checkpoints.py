"""What a training writes and goes on from."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_surgisam.errors import JobError, ModelError


@dataclass(slots=True)
class Progress:
    """What a checkpoint carries besides tensors."""

    step: int = 0
    prompts: int = 0
    scale: float = 1.0  # of the learning rate; halved at every rollback
    warm_from: int = 0
    best: float = 0.0
    running: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    stale: int = 0  # validations since the best
    before: dict[str, float] = field(default_factory=dict)  # figures before the first step

    def judge(self, score: float) -> bool:
        """Count a validation; returns whether it is the best so far, or the first."""
        better = score > self.best or not (self.step or self.best)
        self.stale = 0 if better else self.stale + 1
        self.best = max(self.best, score)
        return better


Pack = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in half precision."""
    return {n: v.half() if v.is_floating_point() else v for n, v in weights.items()}


class TrainingFiles:
    """The weights and what lies next to them.

    Parameters
    ----------
    out : Path
        Averaged weights; `.state.pt` and `.curves.csv` stand beside it.
    pack : callable
        Turns averaged weights into those that are written.
    """

    def __init__(self, out: Path, pack: Pack = halved) -> None:
        self.out, self.pack = out, pack
        self.state = out.with_suffix(".state.pt")
        self.curves = out.with_suffix(".curves.csv")

    def save(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        averaged: Mapping[str, Tensor],
        progress: Progress,
        metadata: Mapping[str, Any],
        figures: Mapping[str, float],
        loss: float,
        *,
        weights: bool = True,
    ) -> None:
        """Write weights if wanted, state and a row of the curves, each at once or not at all.

        Raises
        ------
        JobError
            If one cannot be written; what was written before is kept.
        """
        self.out.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            **metadata,
            "step": progress.step,
            "prompts": progress.prompts,
            "seconds": round(progress.seconds),
            "validation": dict(figures),
        }
        if progress.before:
            facts["validation_before"] = progress.before
        if weights:
            packed = {n: v.contiguous().cpu() for n, v in self.pack(averaged).items()}
            card = {key: json.dumps(value) for key, value in facts.items()}
            _write(self.out, lambda path: save_file(packed, path, metadata=card))
        state = {
            "model": model.state_dict(),
            "averaged": dict(averaged),
            "optimiser": optimiser.state_dict(),
            "progress": asdict(progress),
        }
        _write(self.state, lambda path: torch.save(state, path))
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
        progress: Progress,
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
    with safe_open(path, framework="pt") as file:
        return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name and put it in its place."""
    part = path.with_suffix(".part")
    try:
        write(part)
        os.replace(part, path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch's word is the second
        reason = str(error).strip().splitlines()[0]
        raise JobError(
            f"Cannot write {path} ({reason}). What was written before is kept: make room on the "
            "disk, and go on with --resume."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _copy_into(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
