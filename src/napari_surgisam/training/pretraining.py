"""How the embedded model is made: from random weights, on synthetic clips alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from napari_surgisam.engine.compact_network import CompactConfig, load_compact
from napari_surgisam.engine.cpu_attention import multiply_attention
from napari_surgisam.training.checkpoints import read_metadata
from napari_surgisam.training.lessons import Lesson
from napari_surgisam.training.practice import Practice
from napari_surgisam.training.synthesis import SyntheticBatch, SyntheticClips
from napari_surgisam.training.trainer import FitOptions, StepTrained, fit


@dataclass(frozen=True, slots=True)
class PretrainOptions:
    """What `surgisam pretrain` may be told.

    Parameters
    ----------
    image_steps : int
        Steps on single images before clips join in.
    ramp : int
        Steps over which objects become small and faint.
    images, clips, frames : int
        Images in an image batch; clips in a clip batch and their frames.
    clip_share : float
        Share of clip batches once they have joined in.
    views : int
        How often a drawn batch is practised, each time turned, mirrored and coloured otherwise
        and with other objects and clicks: drawing one takes as long as practising it.
    """

    image_steps: int = 1500
    ramp: int = 6000
    images: int = 10
    clips: int = 3
    frames: int = 5
    clip_share: float = 0.5
    views: int = 2
    seed: int = 0


VALIDATION_SEED = 20_000_003
APART = 6  # batches between two views of one


def pretrain(
    out: Path,
    fit_options: FitOptions,
    options: PretrainOptions | None = None,
    *,
    config: CompactConfig | None = None,
    device: str = "cpu",
    precision: torch.dtype = torch.bfloat16,
    resume: bool = False,
) -> Generator[StepTrained, None, None]:
    """Train the compact network from scratch; a job. See `fit` for the files it writes."""
    options, config = options or PretrainOptions(), config or CompactConfig()
    torch.manual_seed(options.seed)
    network = load_compact(config, None, device=device, precision=precision)
    multiply_attention(network.model, learning=True)
    practice = Practice(network, network.model)
    stage = {
        "image_size": config.image_size,
        "pretrain": asdict(options),
        "fit": asdict(fit_options),
    }
    metadata = {
        "architecture": "compact",
        "config": asdict(config),
        "stages": [*(_earlier_stages(out) if resume else ()), stage],
    }
    yield from fit(
        practice,
        _Curriculum(options, config.image_size, device),
        _Validation(config.image_size, device),
        fit_options,
        out,
        metadata=metadata,
        resume=resume,
        seed=options.seed,
    )


def _earlier_stages(out: Path) -> list[Any]:
    """Return how the weights were trained until now, each stage with the step it reached."""
    if not out.exists():
        return []
    facts = read_metadata(out)
    stages: list[Any] = facts.get("stages", [])
    if stages:
        stages[-1] = {**stages[-1], "until_step": facts.get("step")}
    same = len(stages) > 1 and _settings(stages[-1]) == _settings(stages[-2])
    return [*stages[:-2], stages[-1]] if same else stages


def _settings(stage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stage.items() if key != "until_step"}


class _Curriculum:
    """Image batches first, then clips among them; from clear and large to faint and small."""

    def __init__(self, options: PretrainOptions, size: int, device: str) -> None:
        self.options, self.size, self.device = options, size, device
        self.streams: dict[tuple[bool, float], Iterator[SyntheticBatch]] = {}
        self.drawn: dict[tuple[bool, float], deque[SyntheticBatch]] = {}
        self.process = PartialState(cpu=device == "cpu").process_index

    def __call__(self, step: int) -> tuple[SyntheticBatch, Lesson]:
        options = self.options
        difficulty = round(min(1.0, 0.2 + 0.8 * step / max(options.ramp, 1)), 1)
        # a fixed pattern, so that a resumed run goes on as it would have
        turn = (step * 0.618034) % 1.0
        moving = step >= options.image_steps and turn < options.clip_share
        key = (moving, difficulty)
        if key not in self.streams:
            for kept in (self.streams, self.drawn):
                for old in [k for k in kept if k[0] == moving]:
                    del kept[old]
            clips = SyntheticClips(
                batch=options.clips if moving else options.images,
                frames=options.frames if moving else 1,
                size=self.size,
                difficulty=difficulty,
                layers=6 if moving else 8,
                seed=options.seed * 1_000_003 + step + 7919 * self.process,
                device=self.device,
            )
            self.streams[key] = iter(clips)
            self.drawn[key] = deque()
        batch = self._next(key, step)
        if moving:
            early = step < 2 * options.image_steps
            return _thinned(batch, step), Lesson(
                objects=4,
                rounds=1 + step % 2,
                mask=0.6 if early else 0.3,
                again=0.25,
                mistaken=0.25,
                between=0.25,
            )
        return batch, Lesson(objects=5, rounds=(2, 4, 2, 8)[step % 4], again=0.25)

    def _next(self, key: tuple[bool, float], step: int) -> SyntheticBatch:
        """Return a batch that is new, or one that was seen some steps ago in another view.

        References
        ----------
        Choi et al., Faster Neural Network Training with Data Echoing, arXiv:1907.05550.
        """
        waiting = self.drawn[key]
        if len(waiting) > APART * (self.options.views - 1):
            random = np.random.default_rng((self.options.seed, self.process, step))
            return waiting.popleft().varied(random)
        batch = next(self.streams[key])
        waiting.extend([batch] * (self.options.views - 1))
        return batch


def _thinned(batch: SyntheticBatch, step: int) -> SyntheticBatch:
    """Play a clip backwards every other time."""
    if step % 2:
        return SyntheticBatch(batch.images.flip(1), batch.labels.flip(1), batch.parents)
    return batch


class _Validation:
    """Figures on a fixed set of synthetic images and clips, at full difficulty."""

    def __init__(self, size: int, device: str) -> None:
        images = SyntheticClips(8, 1, size, seed=VALIDATION_SEED, device=device)
        clips = SyntheticClips(2, 6, size, seed=VALIDATION_SEED + 1, layers=6, device=device)
        self.images = list(islice(images, 4))
        self.clips = list(islice(clips, 4))

    @torch.no_grad()
    def __call__(self, practice: Practice) -> dict[str, float]:
        random = torch.Generator(device=self.images[0].images.device).manual_seed(VALIDATION_SEED)
        totals: dict[str, list[float]] = {"click 1": [], "click 3": [], "clip": []}
        for batch in self.images:
            ious = practice(batch, Lesson(objects=6, rounds=3, box=0.0), random).ious
            totals["click 1"].append(ious["click 1"])
            totals["click 3"].append(ious["click 3"])
        for batch in self.clips:
            lesson = Lesson(objects=4, rounds=2, box=0.0, mask=0.0, corrected=0.0)
            ious = practice(batch, lesson, random).ious
            later = [iou for name, iou in ious.items() if name.startswith("frame")]
            totals["clip"].append(sum(later) / max(len(later), 1))
        return {name: sum(values) / len(values) for name, values in totals.items()}
