"""What a person labelled, as training material: cases, their split, samples per class."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.evaluation.cases import Case, FileCase, OpenCase, Truth
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.formats.datasets import find_cases

SMALLEST_SAMPLE = 4
"""Pixels below which a mask teaches nothing: it is a slip of the brush, or lost in resizing."""

MOST_CLASSES = 255
"""That a model can be asked for by name."""

WHOLE = "object"
"""The class of labels that were merged into one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One object on one labelled frame.

    Parameters
    ----------
    case : str
    frame : int
    object_id : ObjectId
    class_name : str
    """

    case: str
    frame: int
    object_id: ObjectId
    class_name: str

    def __str__(self) -> str:
        return f"object {self.object_id} on frame {self.frame} of {self.case}"


@dataclass(frozen=True, slots=True)
class Split:
    """Which cases teach and which examine; never frames of one case in both.

    Parameters
    ----------
    training, validation : tuple of str
        Names of cases, in order.
    seed : int
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    seed: int


def find_labelled(data: Iterable[Path]) -> list[FileCase]:
    """Find cases with labels in folders of the evaluation's layouts.

    Parameters
    ----------
    data : iterable of Path
        Folders as `find_cases` reads them. Where there are several, the name of a case
        begins with its folder's.

    Returns
    -------
    list of FileCase

    Raises
    ------
    DataError
        If a folder matches no layout, or nothing has labels.
    """
    folders = list(data)
    found = []
    for folder in folders:
        dataset = find_cases(folder)
        for files in dataset.cases:
            if files.labels is None:
                continue
            name = f"{folder.name}/{files.name}" if len(folders) > 1 else files.name
            found.append(FileCase(replace(files, name=name), dataset.classes))
    if not found:
        raise DataError(
            f"No image in {', '.join(map(str, folders))} has labels, so there is nothing to "
            "learn from. Label some, or check that labels are named like their images."
        )
    return found


def open_labelled(cases: Iterable[Case], *, merge: bool = False) -> dict[str, OpenCase]:
    """Open cases by name, with their labels.

    Parameters
    ----------
    cases : iterable of Case
    merge : bool
        Take all labels as one object.

    Raises
    ------
    DataError
        If a case cannot be used (no labels, another grid, no whole numbers), or two have one
        name.
    """
    opened: dict[str, OpenCase] = {}
    for case in cases:
        if case.name in opened:
            raise DataError(f"Two cases are named {case.name}: rename one of them.")
        try:
            found = case.open()
        except SurgisamError as error:
            if case.name in str(error):
                raise
            raise DataError(f"{case.name} cannot be learned from: {error}") from error
        if merge:
            truth = Truth((found.truth.labels > 0).astype(np.uint8), found.truth.frames)
            found = OpenCase(case.name, found.frames, truth, ClassTable({("", 1): WHOLE}))
        opened[case.name] = found
    return opened


def split_cases(names: Sequence[str], fraction: float, seed: int) -> Split:
    """Draw the cases that examine.

    Parameters
    ----------
    names : sequence of str
    fraction : float
        Share of the cases that examine, at least one of them; 0 leaves all to teach.
    seed : int
        With the names, all that the draw depends on.

    Raises
    ------
    DataError
        If the fraction is impossible, or leaves nothing to teach or to examine.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"A validation fraction of {fraction} is impossible: 0 up to below 1.")
    ordered = sorted(names)
    if fraction == 0:
        return Split(tuple(ordered), (), seed)
    if len(ordered) < 2:
        raise DataError(
            f"There is one case only ({', '.join(ordered)}), so nothing would be left to validate "
            "on: frames of one case look too much alike to examine each other. Add a case, or "
            "train for a fixed time with --val-fraction 0."
        )
    count = min(max(1, round(fraction * len(ordered))), len(ordered) - 1)
    drawn = np.random.default_rng([seed, 1]).permutation(len(ordered))[:count]
    chosen = {ordered[k] for k in drawn}
    return Split(
        tuple(name for name in ordered if name not in chosen),
        tuple(name for name in ordered if name in chosen),
        seed,
    )


def choose_samples(
    cases: Mapping[str, OpenCase], per_class: int | None = None, seed: int = 0
) -> tuple[Sample, ...]:
    """Draw labelled frames of objects, as many of every class, and of its cases in turn.

    Cases differ more than what one of them shows: a picture with a thousand cells must not keep
    out one with ten.

    Parameters
    ----------
    cases : mapping of str to OpenCase
    per_class : int, optional
        Of a class with fewer, all are taken; None takes all of every class.
    seed : int
        A larger `per_class` with the same seed adds samples, and takes none away.

    Returns
    -------
    tuple of Sample

    Raises
    ------
    DataError
        If the number is below 1, or a class is nowhere larger than a few pixels.
    """
    if per_class is not None and per_class < 1:
        raise DataError(f"{per_class} samples per class teach nothing: take 1 or more, or all.")
    large: dict[str, list[Sample]] = {}
    seen: Counter[str] = Counter()
    for name, case in cases.items():
        for frame in case.truth.frames:
            labels, areas = np.unique(case.truth.on(frame), return_counts=True)
            for label, area in zip(labels.tolist(), areas.tolist(), strict=True):
                if not label:
                    continue
                kind = case.classes.name(name, label)
                seen[kind] = max(seen[kind], area)
                if area >= SMALLEST_SAMPLE:
                    sample = Sample(name, frame, ObjectId(label), kind)
                    large.setdefault(kind, []).append(sample)
    tiny = sorted(set(seen) - set(large))
    if tiny:
        raise DataError(
            f"The class {tiny[0]} is nowhere larger than {seen[tiny[0]]} pixels; less than "
            f"{SMALLEST_SAMPLE} cannot be learned. Remove that label, or paint the object."
        )
    chosen: list[Sample] = []
    for kind, samples in sorted(large.items()):
        order = np.random.default_rng([seed, zlib.crc32(kind.encode())]).permutation(len(samples))
        turns: Counter[str] = Counter()
        queue = []
        for place, k in enumerate(order.tolist()):
            turns[samples[k].case] += 1
            queue.append((turns[samples[k].case], place, k))
        chosen += [samples[k] for k in sorted(k for _, _, k in sorted(queue)[:per_class])]
    return tuple(chosen)


def count_by_class(samples: Iterable[Sample]) -> dict[str, int]:
    """Return how many samples each class has."""
    return dict(sorted(Counter(sample.class_name for sample in samples).items()))


def label_classes(cases: Mapping[str, OpenCase]) -> dict[str, int]:
    """Return the classes that occur in cases, with a label for each.

    It is the label that the class has everywhere, where all classes have one of their own; else
    they are numbered by name.

    Raises
    ------
    DataError
        If there are more classes than can be told apart.
    """
    labels: dict[str, set[int]] = {}
    for name, case in cases.items():
        for label in case.truth.object_ids:
            labels.setdefault(case.classes.name(name, label), set()).add(int(label))
    if len(labels) > MOST_CLASSES:
        raise DataError(
            f"The labels are of {len(labels)} classes, and at most {MOST_CLASSES} can be asked for "
            "by name. If each label is an object of its own, and not a class, learn them as one "
            "(--merge-labels), or say which class each is (classes.csv)."
        )
    own = {name: min(found) for name, found in labels.items() if len(found) == 1}
    if len(set(own.values())) == len(labels):
        return dict(sorted(own.items(), key=lambda item: item[1]))
    return {name: number for number, name in enumerate(sorted(labels), start=1)}
