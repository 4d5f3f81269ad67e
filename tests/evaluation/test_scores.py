"""The figures of cases small enough to count."""

from dataclasses import replace
from math import inf, isnan, nan
from types import MappingProxyType

import numpy as np
import pytest
from fakes import MovingDiscs
from films import truth_of

from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.answers import Answer, CurvePoint
from napari_surgisam.evaluation.cases import OpenCase, Truth, whole_truth
from napari_surgisam.evaluation.interaction import InteractiveProtocol
from napari_surgisam.evaluation.protocols import (
    ImageProtocol,
    SemanticProtocol,
    VideoProtocol,
    VolumeProtocol,
)
from napari_surgisam.evaluation.rows import Scoring
from napari_surgisam.evaluation.scores import score_answer, score_labels
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.metrics.masks import dsc, iou
from napari_surgisam.metrics.surfaces import hd95, nsd
from napari_surgisam.metrics.video import j_and_f


def answer_to(case, labels, prompted=None, clicks=None, curve=()):
    where = prompted or {o: (frames[0],) for o, frames in case.truth.visible.items()}
    return Answer(case.truth, labels.astype(np.uint16), where, clicks or {}, tuple(curve))


def by_object(scores):
    return {row.object_id: row.figures for row in scores.rows if row.object_id}


@pytest.fixture
def moved(open_case):
    """Predictions one pixel to the left; the second object is lost on the last three frames."""
    labels = np.roll(open_case.truth.labels, -1, axis=2).astype(np.uint16)
    labels[-3:][labels[-3:] == 2] = 0
    return labels


def test_a_movie_is_scored_frame_by_frame_and_as_davis_does(open_case, moved):
    scores = score_answer(open_case, answer_to(open_case, moved), VideoProtocol(), Scoring())
    for object_id, figures in by_object(scores).items():
        ours, theirs = moved == object_id, open_case.truth.labels == object_id
        pairs = list(zip(ours, theirs, strict=True))
        assert figures["dsc"] == pytest.approx(np.mean([dsc(a, b) for a, b in pairs]))
        assert figures["nsd"] == pytest.approx(
            np.mean([nsd(a, b, spacing=(1, 1), tolerance=2) for a, b in pairs])
        )
        assert figures["j_and_f"] == pytest.approx(j_and_f(ours, theirs))
        assert figures["frames"] == 10
        assert figures["prompted_frames"] == 1
    first, second = by_object(scores)[1], by_object(scores)[2]
    assert first["hd95_px"] == 1
    assert second["hd95_px"] == inf
    assert "hd95" not in first
    frame = next(r for r in scores.frames if r.object_id == 2 and r.frame == 9)
    assert (frame.figures["dsc"], frame.figures["nsd"], frame.figures["predicted_area"]) == (
        0,
        0,
        0,
    )


def test_a_volume_is_one_body_in_mm(moved):
    discs = MovingDiscs(10, (230, 140), (96, 128), temporal=False)
    discs.spacing = (3.0, 0.5, 0.5)
    case = OpenCase("volume", discs, whole_truth(truth_of(discs), discs))
    figures = by_object(score_answer(case, answer_to(case, moved), VolumeProtocol(), Scoring()))
    for object_id in (1, 2):
        masks = moved == object_id, case.truth.labels == object_id
        spacing = discs.spacing
        assert figures[object_id]["dsc"] == dsc(*masks)
        assert figures[object_id]["iou"] == iou(*masks)
        assert figures[object_id]["nsd"] == pytest.approx(nsd(*masks, spacing=spacing, tolerance=2))
        assert figures[object_id]["hd95"] == hd95(*masks, spacing=spacing)
        assert "j_and_f" not in figures[object_id]


def test_the_tolerance_is_in_pixels_where_the_image_has_no_spacing(open_case):
    assert Scoring().spacing(open_case) is None
    with pytest.raises(DataError, match="needs the size of a voxel"):
        Scoring(unit="mm").spacing(open_case)
    open_case.frames.spacing = (1.0, 0.5, 0.5)
    assert Scoring().spacing(open_case) == (1.0, 0.5, 0.5)
    assert Scoring(unit="px").spacing(open_case) is None
    with pytest.raises(DataError, match="distance of 0"):
        Scoring(tolerance=-1)
    with pytest.raises(DataError, match="in mm, px or auto"):
        Scoring(unit="cm")


def test_an_object_only_in_the_prediction_is_scored_as_invented(open_case):
    labels = np.array(open_case.truth.labels)
    labels[4, :5, :5] = 7
    scores = score_labels(open_case, labels, open_case.truth, Scoring(), solid=False)
    figures = by_object(scores)
    assert list(figures) == [1, 2, 7]
    assert figures[1]["dsc"] == 1
    assert figures[7]["dsc"] == pytest.approx(9 / 10)  # absent and not found on nine frames
    strict = score_labels(open_case, labels, open_case.truth, Scoring(empty=nan), solid=False)
    assert by_object(strict)[7]["dsc"] == 0


@pytest.mark.parametrize(("empty", "expected"), [(1.0, 1.0), (0.0, 0.9), (nan, 1.0)])
def test_the_convention_for_absent_objects_is_an_argument(empty, expected):
    discs = MovingDiscs(10, (230,), (48, 64), hidden={230: {6}})
    case = OpenCase("film", discs, whole_truth(truth_of(discs), discs))
    scores = score_answer(
        case, answer_to(case, case.truth.labels), VideoProtocol(), Scoring(empty=empty)
    )
    figures = by_object(scores)[1]
    assert figures["dsc"] == figures["iou"] == figures["nsd"] == pytest.approx(expected)


def test_of_two_labelled_frames_the_one_not_prompted_counts():
    """As in EchoNet, which labels the end of diastole and of systole."""
    discs = MovingDiscs(11, (230,), (48, 64))
    sparse = Truth(truth_of(discs)[[2, 8]], (2, 8))
    case = OpenCase("film", discs, sparse)
    labels = np.array(sparse.labels)
    labels[1] = 0
    figures = by_object(score_answer(case, answer_to(case, labels), VideoProtocol(), Scoring()))[1]
    assert figures["j_and_f"] == 0
    assert figures["dsc"] == 0.5


def test_single_frames_count_where_the_object_is_and_as_instances(open_case, moved):
    """The discs touch the border on the first and the last frame, where they do not count."""
    hidden = MovingDiscs(10, (230, 140), (96, 128), hidden={140: {0, 1}})
    case = replace(open_case, truth=whole_truth(truth_of(hidden), hidden))
    scores = score_answer(case, answer_to(case, moved), ImageProtocol(), Scoring())
    assert by_object(scores)[2]["frames"] == 8
    (whole,) = [row for row in scores.rows if not row.object_id]
    counts = [whole.figures[f"{k}s"] for k in ("true_positive", "false_positive", "false_negative")]
    assert counts == [8 + 5, 1, 2]
    assert whole.figures["f1"] == pytest.approx(26 / 29)


def test_noc_is_the_first_click_that_reaches_the_target(open_case):
    case = replace(open_case, truth=open_case.truth.only([0, 5]))
    ious = {0: [0.5, 0.83, 0.86, 0.8], 5: [0.9, 0.9, 0.9, 0.9]}
    curve = [
        CurvePoint(ObjectId(1), frame, step, value)
        for frame, values in ious.items()
        for step, value in enumerate(values, start=1)
    ]
    answer = answer_to(case, case.truth.labels, clicks={1: 8}, curve=curve)
    figures = by_object(score_answer(case, answer, InteractiveProtocol(), Scoring()))
    assert [figures[1][f"noc{t}"] for t in (80, 85, 90)] == [1.5, 2, 2.5]
    assert figures[1]["clicks"] == 8
    assert isnan(figures[2]["noc80"])


def test_semantic_scores_are_of_classes(open_case):
    table = ClassTable(MappingProxyType({("", 1): "grasper", ("", 2): "grasper"}))
    swapped = (3 - open_case.truth.labels) * (open_case.truth.labels > 0)
    both = replace(open_case, classes=table)
    answer = answer_to(both, swapped)
    rows = score_answer(both, answer, SemanticProtocol(), Scoring()).rows
    classes = {r.class_name: r.figures["class_iou"] for r in rows if "class_iou" in r.figures}
    assert classes == {"grasper": 1}
    whole = rows[-1].figures
    assert (whole["miou"], whole["challenge_iou"], whole["mciou"]) == (1, 1, 1)
    assert 0 < whole["vc8"] <= 1
    assert isnan(whole["vc16"])  # ten frames are too few
    apart = score_answer(open_case, answer, SemanticProtocol(), Scoring()).rows[-1].figures
    assert apart["miou"] == 0
