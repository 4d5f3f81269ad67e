"""The figures of a case: per object, per frame, and of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.answers import Answer, EvaluationProtocol
from napari_surgisam.evaluation.cases import Labels, OpenCase, Truth
from napari_surgisam.evaluation.class_scores import semantic_rows
from napari_surgisam.evaluation.rows import (
    CaseScores,
    CurveRow,
    Figures,
    FrameRow,
    ScoreRow,
    Scoring,
    mean,
)
from napari_surgisam.metrics.instances import InstanceCounts, match_instances
from napari_surgisam.metrics.masks import dsc, iou
from napari_surgisam.metrics.pairs import union_window
from napari_surgisam.metrics.surfaces import surface_distances
from napari_surgisam.metrics.video import contour_accuracy

NOC_TARGETS = (80, 85, 90)
_MEANT = ("dsc", "iou", "nsd", "hd95", "hd95_px")


def score_answer(
    case: OpenCase, answer: Answer, protocol: EvaluationProtocol, scoring: Scoring
) -> CaseScores:
    """Compare what a protocol found with the truth.

    Parameters
    ----------
    case : OpenCase
    answer : Answer
    protocol : EvaluationProtocol
    scoring : Scoring

    Returns
    -------
    CaseScores

    Raises
    ------
    DataError
        If NSD is asked for in mm and the image has no spacing.
    """
    solid = case.is_whole and (
        not case.frames.temporal if protocol.solid is None else protocol.solid
    )
    scores = score_labels(
        case,
        answer.labels,
        answer.truth,
        scoring,
        solid=solid,
        prompted=answer.prompted,
        only_seen=protocol.per_picture,
    )
    rows = []
    for row in scores.rows:
        own = ObjectId(row.object_id)
        extra: Figures = {"clicks": float(answer.clicks.get(own, 0))}
        for target in NOC_TARGETS if protocol.name == "image-interactive" else ():
            extra[f"noc{target}"] = _clicks_needed(answer, own, target / 100)
        rows.append(ScoreRow(row.case, row.object_id, row.class_name, row.figures | extra))
    if protocol.per_picture:
        rows.append(_instances(case, answer))
    if protocol.name == "video-semantic":
        rows += semantic_rows(case, answer)
    curve = tuple(
        CurveRow(
            case.name,
            point.object_id,
            case.classes.name(case.name, point.object_id),
            -1 if point.frame is None else point.frame,
            point.step,
            point.iou,
        )
        for point in answer.curve
    )
    return CaseScores(tuple(rows), scores.frames, curve)


def score_labels(
    case: OpenCase,
    labels: Labels,
    truth: Truth,
    scoring: Scoring,
    *,
    solid: bool,
    prompted: Mapping[ObjectId, tuple[int, ...]] | None = None,
    only_seen: bool = False,
) -> CaseScores:
    """Compare labels with the truth, object by object; see `scored_objects`."""
    found = list(
        scored_objects(
            case, labels, truth, scoring, solid=solid, prompted=prompted, only_seen=only_seen
        )
    )
    return CaseScores(
        tuple(row for row, _ in found), tuple(row for _, rows in found for row in rows)
    )


def scored_objects(
    case: OpenCase,
    labels: Labels,
    truth: Truth,
    scoring: Scoring,
    *,
    solid: bool,
    prompted: Mapping[ObjectId, tuple[int, ...]] | None = None,
    only_seen: bool = False,
) -> Iterator[tuple[ScoreRow, list[FrameRow]]]:
    """Compare labels with the truth, one object after the other.

    Parameters
    ----------
    case : OpenCase
        Names, classes and spacing are taken from it.
    labels : (K, H, W) integer array
        Predicted labels of the truth's frames. An object that is in none of the true labels
        is scored too: as invented.
    truth : Truth
    scoring : Scoring
    solid : bool
        Whether an object is one body in space: DSC, IoU, NSD and HD95 are then of the whole,
        else means over the frames.
    prompted : mapping of ObjectId to tuple of int, optional
    only_seen : bool
        Whether frames count only where the object truly is, each by itself; there is no
        J&F then, which is a figure of clips.

    Yields
    ------
    ScoreRow, list of FrameRow

    Raises
    ------
    DataError
        If the shapes differ, the labels are no whole numbers, or NSD is asked for in mm and
        the image has no spacing.
    """
    if labels.dtype.kind not in "bui" or labels.shape != truth.labels.shape:
        raise DataError(
            f"The prediction holds {labels.dtype} of the shape {labels.shape}, the reference "
            f"{truth.labels.dtype} of {truth.labels.shape}: both must be labels on one grid."
        )
    spacing = scoring.spacing(case)
    for object_id in objects_of(labels, truth):
        name = case.classes.name(case.name, object_id)
        own = (prompted or {}).get(ObjectId(object_id), ())
        ours, theirs = np.equal(labels, object_id), np.equal(truth.labels, object_id)
        found: list[FrameRow] = []
        for k, frame in enumerate(truth.frames):
            if only_seen and not theirs[k].any():
                continue
            figures = _frame_figures(ours[k], theirs[k], spacing, scoring, solid=solid)
            figures["prompted"] = float(frame in own)
            found.append(FrameRow(case.name, object_id, name, frame, figures))
        figures = {"frames": float(len(found)), "prompted_frames": float(len(own))}
        if solid:
            figures |= _solid_figures(ours, theirs, spacing, scoring)
        else:
            figures |= _means(found)
            if not only_seen:
                figures |= _j_and_f(found)
        yield ScoreRow(case.name, object_id, name, figures), found


def objects_of(labels: Labels, truth: Truth) -> list[int]:
    """Return the objects that are true or predicted, ascending."""
    return sorted({*truth.object_ids, *(int(k) for k in np.unique(labels))} - {0})


def _frame_figures(
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
    spacing: tuple[float, float, float] | None,
    scoring: Scoring,
    *,
    solid: bool,
) -> Figures:
    figures = {
        "dsc": dsc(ours, theirs, empty=scoring.empty),
        "iou": iou(ours, theirs, empty=scoring.empty),
    }
    if not solid:
        figures |= _surface_figures(ours, theirs, spacing and spacing[1:], scoring)
        figures["f"] = contour_accuracy(ours, theirs, empty=scoring.empty)
    figures["predicted_area"] = float(np.count_nonzero(ours))
    figures["true_area"] = float(np.count_nonzero(theirs))
    return figures


def _solid_figures(
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
    spacing: tuple[float, float, float] | None,
    scoring: Scoring,
) -> Figures:
    window = union_window(ours, theirs)
    if window is not None:  # the scores are those of the whole, found in a part of it
        ours, theirs = ours[window], theirs[window]
    return {
        "dsc": dsc(ours, theirs, empty=scoring.empty),
        "iou": iou(ours, theirs, empty=scoring.empty),
        **_surface_figures(ours, theirs, spacing, scoring),
        "predicted_volume": float(np.count_nonzero(ours)),
        "true_volume": float(np.count_nonzero(theirs)),
    }


def _surface_figures(
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
    spacing: tuple[float, ...] | None,
    scoring: Scoring,
) -> Figures:
    """Return NSD and HD95; pixels and mm are not mixed under one name."""
    found = surface_distances(ours, theirs, spacing=spacing or (1.0,) * ours.ndim)
    return {
        "nsd": found.nsd(scoring.tolerance, empty=scoring.empty),
        "hd95" if spacing else "hd95_px": found.hausdorff(empty=nan),
    }


def _means(rows: list[FrameRow]) -> Figures:
    return {
        name: mean([row.figures[name] for row in rows])
        for name in _MEANT
        if rows and name in rows[0].figures
    }


def _j_and_f(rows: list[FrameRow]) -> Figures:
    """Return DAVIS' figures: without the first and the last labelled frame of a clip.

    Of fewer than three labelled frames, those that were not prompted count, or all.
    """
    if len(rows) >= 3:
        rows = rows[1:-1]
    else:
        rows = [row for row in rows if not row.figures["prompted"]] or rows
    j, f = (mean([row.figures[name] for row in rows]) for name in ("iou", "f"))
    return {"j": j, "f": f, "j_and_f": (j + f) / 2}


def _instances(case: OpenCase, answer: Answer) -> ScoreRow:
    counts = InstanceCounts()
    for ours, theirs in zip(answer.labels, answer.truth.labels, strict=True):
        counts += match_instances(ours, theirs)
    figures = {
        "f1": counts.f1,
        "true_positives": float(counts.true_positives),
        "false_positives": float(counts.false_positives),
        "false_negatives": float(counts.false_negatives),
    }
    return ScoreRow(case.name, 0, "", figures)


def _clicks_needed(answer: Answer, object_id: ObjectId, target: float) -> float:
    """Return NoC, as a mean over the frames on which an object was clicked."""
    by_frame: dict[int | None, list[tuple[int, float]]] = {}
    for point in answer.curve:
        if point.object_id == object_id:
            by_frame.setdefault(point.frame, []).append((point.step, point.iou))
    counts = [
        next((step for step, value in points if value >= target), points[-1][0])
        for points in by_frame.values()
    ]
    return float(np.mean(counts)) if counts else nan
