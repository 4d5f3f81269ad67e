"""The figures of class maps: every object's mask becomes its class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.evaluation.answers import Answer
from napari_surgisam.evaluation.cases import Labels, OpenCase
from napari_surgisam.evaluation.rows import ScoreRow, mean
from napari_surgisam.metrics.classes import class_ious, endovis_scores, video_consistency

CONSISTENCY_WINDOWS = (8, 16)


def class_maps(case: OpenCase, labels: Labels, names: list[str]) -> Iterator[NDArray[np.uint16]]:
    """Yield each frame's (H, W) map of class numbers, from 1 in the order of `names`."""
    numbers = np.zeros(int(labels.max(initial=0)) + 1, np.uint16)
    for label in np.unique(labels):
        name = case.classes.name(case.name, int(label))
        if label and name in names:
            numbers[label] = names.index(name) + 1
    return (numbers[frame] for frame in labels)


def semantic_rows(case: OpenCase, answer: Answer) -> list[ScoreRow]:
    """Return a row per class with its IoU, and one of the whole case."""
    names = case.classes.names(case.name, answer.truth.object_ids)
    numbers = range(1, len(names) + 1)
    ours, theirs = (
        np.stack(list(class_maps(case, labels, names)))
        for labels in (answer.labels, answer.truth.labels)
    )
    pooled = class_ious(ours, theirs, list(numbers))
    endovis = endovis_scores(ours, theirs, list(numbers))
    figures = {
        "miou": mean(list(pooled.values())),
        "challenge_iou": endovis.challenge_iou,
        "mciou": endovis.mc_iou,
        **{
            f"vc{length}": video_consistency(ours, theirs, length=length)
            for length in CONSISTENCY_WINDOWS
        },
    }
    rows = [ScoreRow(case.name, 0, names[c - 1], {"class_iou": pooled[c]}) for c in numbers]
    return [*rows, ScoreRow(case.name, 0, "", figures)]
