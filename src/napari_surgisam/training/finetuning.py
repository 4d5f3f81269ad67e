"""Fine-tune a model on someone's labels: what is planned, the job, and what comes out."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from accelerate import PartialState

from napari_surgisam.engine.models import find_weights
from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.cases import Case, OpenCase
from napari_surgisam.evaluation.jobs import peak_memory
from napari_surgisam.jobs import Event
from napari_surgisam.training.clips import (
    Sample,
    Split,
    choose_samples,
    count_by_class,
    label_classes,
    open_labelled,
    split_cases,
)
from napari_surgisam.training.recipes import (
    Recipe,
    choose_recipe,
    parameter_groups,
)
from napari_surgisam.training.trainee import Trainee
from napari_surgisam.training.trainer import FitOptions, StepTrained, fit
from napari_surgisam.training.tuned_models import model_card, register_tuned


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneOptions:
    """What `surgisam finetune` may be told.

    Parameters
    ----------
    recipe : str
        Name of one of `recipes.RECIPES`.
    base : str
        Name or file of the model to start from.
    samples_per_class : int, optional
        Labelled frames of each class to learn from; all by default.
    epochs : int, optional
        The recipe's by default.
    val_fraction : float
        Share of the cases that examine; with 0, training ends after all epochs and the
        last weights are kept.
    seed : int
        Of split, samples, clips and clicks.
    merge : bool
        Take all labels as one object.
    patience : int
        Epochs without a better validation after which training stops; 0 never stops.
    learning_rate : float, optional
        The recipe's by default.
    batch : int, optional
        Clips per step and process; the recipe's by default.
    image_size : int, optional
        The model's by default, in pixels.
    device, precision : str
        As for `load_network`.
    """

    recipe: str = "decoder-only"
    base: str = "embedded"
    samples_per_class: int | None = None
    epochs: int | None = None
    val_fraction: float = 0.2
    seed: int = 0
    merge: bool = False
    patience: int = 8
    learning_rate: float | None = None
    batch: int | None = None
    image_size: int | None = None
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Event):
    """What will be trained is settled.

    Parameters
    ----------
    facts : mapping of str to Any
        Plain values, fit for JSON.
    """

    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned(Event):
    """The model is tuned and in the list of models.

    Parameters
    ----------
    name : str
    path : Path
    before, after : mapping of str to float
        Validation of the base and of what was written; empty without validation.
    """

    name: str
    path: Path
    before: Mapping[str, float]
    after: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Finetuning:
    """A fine-tuning that can be run: labels, split and samples are checked.

    Parameters
    ----------
    options : FinetuneOptions
    recipe : Recipe
    cases : mapping of str to OpenCase
    split : Split
    samples : tuple of Sample
    base : Path
        Weights of the model to start from.
    """

    options: FinetuneOptions
    recipe: Recipe
    cases: Mapping[str, OpenCase]
    split: Split
    samples: tuple[Sample, ...]
    base: Path

    @classmethod
    def prepare(cls, cases: Iterable[Case], options: FinetuneOptions) -> Finetuning:
        """Open the cases and draw split and samples.

        Raises
        ------
        DataError
            If the labels cannot be learned from, or the split leaves nothing.
        ModelError
            If there is no such recipe or model.
        """
        recipe = choose_recipe(options.recipe)
        if options.batch is not None:
            recipe = replace(recipe, batch=options.batch)
        if options.learning_rate is not None:
            recipe = replace(recipe, learning_rate=options.learning_rate)
        base = find_weights(options.base)
        if options.epochs is not None and options.epochs < 1:
            raise DataError(f"{options.epochs} epochs train nothing: take 1 or more.")
        opened = open_labelled(cases, merge=options.merge)
        split = split_cases(list(opened), options.val_fraction, options.seed)
        teaching = {name: opened[name] for name in split.training}
        samples = choose_samples(teaching, options.samples_per_class, options.seed)
        return cls(options, recipe, opened, split, samples, base)

    @property
    def epochs(self) -> int:
        """How often every sample is practised."""
        return self.options.epochs or self.recipe.epochs

    def steps_per_epoch(self, processes: int = 1) -> int:
        """Return how many steps see every sample once."""
        return ceil(len(self.samples) / (self.recipe.batch * processes))

    @cached_property
    def classes(self) -> dict[str, int]:
        """The classes that are learned by name, with their labels; none by most recipes."""
        if not self.recipe.by_class:
            return {}
        return label_classes({name: self.cases[name] for name in self.split.training})

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What is settled, in plain values: with it, the run can be repeated."""
        return {
            "recipe": self.recipe.name,
            "source": self.recipe.source,
            "base": self.options.base,
            "classes": count_by_class(self.samples),
            "split": asdict(self.split),
            "samples_per_class": self.options.samples_per_class,
            "epochs": self.epochs,
            "seed": self.options.seed,
            "merged": self.options.merge,
        }

    def run(
        self, out: Path, name: str, *, resume: bool = False
    ) -> Generator[Planned | StepTrained | Tuned, None, None]:
        """Train, and enter the result into the list of models; a job.

        Closing it cancels; the best weights until then are in `out`.

        Parameters
        ----------
        out : Path
            The weights, ``.safetensors``; see `fit` for what lies beside. ``.plan.json``
            holds split, samples per class and settings; ``.before.jpg`` and ``.after.jpg``
            show the first validation case, segmented by the base and by the weights.
        name : str
            To use the model by.
        resume : bool
            Go on from what lies beside `out`; the settings must be the same.

        Raises
        ------
        DataError, ModelError
            If the settings differ from those of the run to resume, or the model is damaged.
        JobError
            If the loss is not finite, or a file cannot be written.
        """
        if out.resolve() == self.base.resolve():
            raise DataError(f"{out} is the base model itself: give another --out.")
        trainee = Trainee(self)
        process = PartialState(cpu=trainee.device.type == "cpu")
        if process.is_main_process:
            self._write_plan(out, trainee.sha256, resume=resume)
            for ending in () if resume else (".state.pt", ".curves.csv"):
                out.with_suffix(ending).unlink(missing_ok=True)  # of a run that is replaced
        yield Planned(done=0, total=self.epochs, facts={**self.facts, **trainee.size})
        every = self.steps_per_epoch(process.num_processes)
        steps = every * self.epochs
        options = FitOptions(
            steps=steps,
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            clip_norm=self.recipe.clip_norm,
            warmup=min(20, max(1, steps // 10)),
            cooldown=steps,
            average=0.99,
            check_every=every,
            accumulate=self.recipe.batch,
            rollbacks=0,
            keep_best=True,
            patience=self.options.patience if self.split.validation else 0,
        )
        for event in fit(
            trainee.practice,
            trainee.curriculum,
            trainee.validation,
            options,
            out,
            metadata=model_card(self, trainee.checkpoint, trainee.size_of_image, trainee.sha256),
            resume=resume,
            seed=self.options.seed,
            parameters=parameter_groups(trainee.practice.model, self.recipe),
            pack=trainee.pack,
        ):
            if event.validation is not None and process.is_main_process:
                self._keep(event, out, name, trainee.example)
            yield event
        if not process.is_main_process:
            return
        before, best = register_tuned(out, name, self.options.base)
        yield Tuned(
            done=self.epochs, total=self.epochs, name=name, path=out, before=before, after=best
        )

    def trial(self) -> dict[str, Any]:
        """Practise a few clips and return what training will take, in plain values.

        Returns
        -------
        dict
            Beside `facts`: ``parameters`` that are trained and all of them,
            ``seconds_per_epoch`` without validation, ``bytes`` of memory.
        """
        trainee = Trainee(self)
        trainee.practice.train()
        random = torch.Generator(device=trainee.device).manual_seed(self.options.seed)
        seconds = []
        for number in (0, 0, 1, 2, 3):  # the first one warms up
            started = perf_counter()
            clip, lesson = trainee.curriculum(number)
            trainee.practice(clip, lesson, random).loss.backward()
            seconds.append(perf_counter() - started)
        mean = sum(seconds[1:]) / (len(seconds) - 1)
        trained = int(trainee.size["trained_parameters"])
        return {
            **self.facts,
            **trainee.size,
            "seconds_per_epoch": round(mean * len(self.samples), 1),
            # beside the gradients that are there: two moments of AdamW, and the average
            "bytes": peak_memory() + 4 * (2 * trained + int(trainee.size["parameters"])),
        }

    def _keep(self, event: StepTrained, out: Path, name: str, example: Sequence[bytes]) -> None:
        """Enter what was written into the list of models, and show how it looks.

        At once: whoever stops the run, and however, has the best until then.
        """
        if event.done and out.is_file():
            register_tuned(out, name, self.options.base)
        written = event.message.startswith("saved")
        for picture in example if written else ():
            for word in ("before", "after") if event.done == 0 else ("after",):
                with suppress(OSError):  # a picture is no reason to stop
                    out.with_suffix(f".{word}.jpg").write_bytes(picture)

    def _write_plan(self, out: Path, sha256: str, *, resume: bool) -> None:
        plan = {
            **self.facts,
            "base_sha256": sha256,
            "learning_rate": self.recipe.learning_rate,
            "batch": self.recipe.batch,
            "image_size": self.options.image_size,
            "samples": [str(sample) for sample in self.samples],
        }
        plan = json.loads(json.dumps(plan))  # as it will be read: with lists for tuples
        path = out.with_suffix(".plan.json")
        if resume and path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            changed = sorted(key for key in plan if known.get(key) != plan[key])
            if changed:
                raise DataError(
                    f"{out} was begun otherwise: {', '.join(changed)} changed since. Give the same "
                    "data and options as then, or another --out."
                )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(plan, indent=1), encoding="utf-8")
        except OSError as error:
            raise DataError(f"Cannot write {path}: {error.strerror}.") from error
