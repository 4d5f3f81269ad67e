"""What is trained in a fine-tuning: the network, the clips it practises, its examination."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from torch import Tensor

from napari_surgisam.engine.checkpoints import ENCODER, Checkpoint, read_checkpoint
from napari_surgisam.engine.class_prompts import with_class_prompts
from napari_surgisam.engine.devices import choose_device
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.focus import choose_focus
from napari_surgisam.engine.models import build_network
from napari_surgisam.engine.policies import choose_policy
from napari_surgisam.engine.registry import published_model
from napari_surgisam.errors import ModelError
from napari_surgisam.training.adapters import adapted_names, insert_adapters, merged_state
from napari_surgisam.training.class_lessons import ClassPractice
from napari_surgisam.training.clip_reading import ClipReader, LabelledClip, Schedule, embed_cached
from napari_surgisam.training.lessons import Lesson
from napari_surgisam.training.practice import Practice
from napari_surgisam.training.recipes import freeze, part_of, resting_modules
from napari_surgisam.training.validation import TrackedDice

if TYPE_CHECKING:
    from napari_surgisam.training.finetuning import Finetuning


class Trainee:
    """The network of a fine-tuning, with what feeds and examines it.

    Parameters
    ----------
    job : Finetuning

    Raises
    ------
    ModelError
        If the base cannot be loaded, or has nothing that the recipe's adapters fit on.
    """

    def __init__(self, job: Finetuning) -> None:
        options, recipe = job.options, job.recipe
        self.job = job
        self.device = choose_device(options.device)
        self.checkpoint, self.sha256, own = _read_base(job.base)
        if job.classes:
            self.checkpoint = with_class_prompts(self.checkpoint, job.classes, options.seed)
        self.size_of_image = options.image_size or own
        network = build_network(
            self.checkpoint,
            self.size_of_image,
            str(self.device),
            options.precision,
            str(job.base),
            learning=True,
        )
        model = getattr(network, "model", None)
        if not isinstance(model, torch.nn.Module):
            raise ModelError(f"{options.base} cannot be fine-tuned: it has no weights to train.")
        insert_adapters(model, recipe.adapters, options.seed)
        freeze(model, recipe)
        moving = [n for n, p in model.named_parameters() if p.requires_grad]
        fixed = not any(name.startswith(ENCODER) for name in moving)
        self.cache = EmbeddingCache() if fixed else None
        focus = choose_focus("default", options.base)
        embed = None
        if recipe.cached and self.cache is not None:
            embed = partial(embed_cached, cases=job.cases, network=network, cache=self.cache)
        resting = resting_modules(model)
        self.practice = (
            ClassPractice(
                network, model, recipe.losses, resting=resting, embed=embed, classes=[*job.classes]
            )
            if job.classes
            else Practice(network, model, recipe.losses, resting=resting, embed=embed)
        )
        self.reader = ClipReader(
            job.cases,
            recipe,
            self.size_of_image,
            focused=focus is not None,
            device=self.device,
            classes=[*job.classes],
        )
        self.schedule = Schedule(job.samples, options.seed)
        examined = [job.cases[case] for case in job.split.validation]
        policy = choose_policy("auto", options.base)
        self.validation = (
            TrackedDice(
                examined, network, policy, focus, self.cache, options.seed, by_class=recipe.by_class
            )
            if examined
            else None
        )
        total = sum(p.numel() for p in model.parameters())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.size = {"parameters": total, "trained_parameters": trained}

    def curriculum(self, number: int) -> tuple[LabelledClip, Lesson]:
        """Return the clip to practise, by its number among those of this process."""
        recipe, seed = self.job.recipe, self.job.options.seed
        state = PartialState(cpu=self.device.type == "cpu")
        step, turn = divmod(number, recipe.batch)
        place = (step * state.num_processes + state.process_index) * recipe.batch + turn
        return self.reader.read(self.schedule(place), (seed, 3, place)), recipe.lesson

    @property
    def example(self) -> list[bytes]:
        """JPEG of a validation case as the latest validation found it; none without one."""
        return self.validation.example if self.validation is not None else []

    def pack(self, averaged: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Merge adapters; what was frozen is written as it was read, to the bit."""
        adapted = adapted_names(self.practice.model)
        trained = self.job.recipe.trained
        merged = merged_state(self.practice.model, averaged)
        return {
            name: value if part_of(name) in trained or name in adapted else base
            for name, value in merged.items()
            for base in [self.checkpoint.state[name]]
        }


def _read_base(path: Path) -> tuple[Checkpoint, str, int]:
    """Return the weights of a base, their file's hash and the image size that suits them."""
    import pooch

    checkpoint = read_checkpoint(path)
    published = published_model(path.name, checkpoint.config)
    own = checkpoint.image_size if published is None else published.image_size
    return checkpoint, str(pooch.file_hash(str(path))), own
