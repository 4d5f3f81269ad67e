"""What a training writes and goes on from."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_surgisam.errors import ModelError


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


class TrainingFiles:
    """The weights and what lies next to them.

    Parameters
    ----------
    out : Path
        Averaged weights, float16; `.state.pt` and `.curves.csv` stand beside it.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
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
    ) -> None:
        """Write weights, state and a row of the curves, each at once or not at all."""
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


def _copy_into(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
