"""Each protocol: where it prompts, in which order it goes, and that it finds the discs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import FakeNetwork, MovingDiscs
from films import truth_of

from napari_surgisam.data.prompts import MaskPrompt, Prompt
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import PromptError
from napari_surgisam.evaluation.answers import Prompting
from napari_surgisam.evaluation.cases import OpenCase, Truth, whole_truth
from napari_surgisam.evaluation.interaction import CorrectionProtocol, InteractiveProtocol
from napari_surgisam.evaluation.protocols import (
    PROTOCOLS,
    ClassProtocol,
    ImageProtocol,
    SemanticProtocol,
    VideoProtocol,
    VolumeProtocol,
)
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.metrics.masks import dsc, iou


def run(protocol, case, tracker, seed=0):
    """Exhaust a protocol; its events and its answer."""
    job, events = protocol.run(case, tracker, seed), []
    while True:
        try:
            events.append(next(job))
        except StopIteration as end:
            return events, end.value


@pytest.fixture
def prompted(monkeypatch):
    """All prompts that sessions are given, in order."""
    prompts = []
    set_prompts, add_point = Session.set_prompts, Session.add_point

    def record(self, given):
        given = list(given)
        prompts.extend(given)
        set_prompts(self, given)

    def record_point(self, object_id, frame, point):
        prompts.append(Prompt(object_id, frame, (point,)))
        add_point(self, object_id, frame, point)

    monkeypatch.setattr(Session, "set_prompts", record)
    monkeypatch.setattr(Session, "add_point", record_point)
    return prompts


def agreement(answer, object_id):
    return dsc(answer.labels == object_id, answer.truth.labels == object_id)


@pytest.mark.parametrize("name", sorted({*PROTOCOLS} - {"classes"}))
def test_every_protocol_finds_the_discs_and_counts_its_steps(name, open_case, tracker):
    protocol = PROTOCOLS[name](prompting=Prompting(mode="center"))
    events, answer = run(protocol, open_case, tracker)
    if name == "image-interactive":  # negative clicks make holes in the fake network's masks
        first = [point.iou for point in answer.curve if point.step == 1]
        assert len(first) == 20
        assert min(first) > 0.6
    else:
        assert agreement(answer, 1) > 0.8
        assert agreement(answer, 2) > 0.8
    steps = [event.done for event in events]
    assert steps == sorted(steps)
    assert all(1 <= event.done <= event.total for event in events)
    assert answer.labels.shape == answer.truth.labels.shape


def test_single_frames_are_prompted_on_each_and_remember_nothing(open_case, tracker, prompted):
    _, answer = run(ImageProtocol(Prompting(clicks=5)), open_case, tracker)
    assert [(p.object_id, p.frame, len(p.points)) for p in prompted] == [
        (o, f, 5) for f in range(10) for o in (1, 2)
    ]
    assert all(query.recall is None for query in tracker.network.queries)
    assert not tracker.network.remembered
    assert answer.clicks == {1: 50, 2: 50}


def test_some_of_the_frames_are_spread_over_all(open_case, tracker):
    _, answer = run(ImageProtocol(max_frames=3), open_case, tracker)
    assert answer.truth.frames == (0, 4, 9)


def test_clicks_are_corrected_one_by_one(open_case, tracker, prompted):
    _, answer = run(InteractiveProtocol(max_clicks=4, max_frames=1), open_case, tracker)
    by_object = {o: [p for p in answer.curve if p.object_id == o] for o in (1, 2)}
    assert {o: [p.step for p in points] for o, points in by_object.items()} == {
        1: [1, 2, 3, 4],
        2: [1, 2, 3, 4],
    }
    assert len(prompted) == sum(answer.clicks.values())
    assert all(len(p.points) == 1 for p in prompted)
    assert by_object[1][-1].iou == pytest.approx(
        np.mean((answer.labels == 1) & (answer.truth.labels == 1))
        / np.mean((answer.labels == 1) | (answer.truth.labels == 1))
    )


class Growing(FakeNetwork):
    """Object 1, the brighter one, is sure of itself; the other is seen everywhere, faintly."""

    def segment(self, embedding, queries):
        answers = super().segment(embedding, queries)
        return [
            a if a.pointer[0] > 180 else replace(a, logits=torch.ones_like(a.logits))
            for a in answers
        ]


def test_of_objects_that_overlap_the_surer_one_is_scored(open_case):
    _, answer = run(InteractiveProtocol(max_clicks=1, max_frames=1), open_case, Tracker(Growing()))
    last = next(p for p in answer.curve if p.object_id == 1)
    assert last.iou > 0.5
    ours, theirs = answer.labels == 1, answer.truth.labels == 1
    assert iou(ours, theirs) == pytest.approx(last.iou)


def test_a_volume_is_prompted_in_its_middle_labelled_slice(tracker, prompted):
    """Object 1 is on slices 2 to 8, object 2 on 0 to 3."""
    hidden = {230: {0, 1, 9}, 140: set(range(4, 10))}
    discs = MovingDiscs(10, (230, 140), (96, 128), hidden=hidden, temporal=False)
    case = OpenCase("volume", discs, whole_truth(truth_of(discs), discs))
    assert case.is_volume
    run(VolumeProtocol(Prompting("box")), case, tracker)
    assert [(p.object_id, p.frame) for p in prompted] == [(1, 5), (2, 2)]
    assert all(p.box is not None for p in prompted)
    # conditioning frames first, forward to the end, then backward to the beginning
    order = list(dict.fromkeys(tracker.network.remembered))
    assert order[:2] == [2, 5]
    assert [f for f in tracker.network.remembered if f > 5] == sorted(
        f for f in tracker.network.remembered if f > 5
    )
    assert tracker.network.remembered[-1] == 0


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_movie_is_prompted_where_each_object_is_first_seen(count, tracker, prompted):
    discs = MovingDiscs(10, (230, 140), (96, 128), hidden={140: {0, 1, 2}})
    case = OpenCase("film", discs, whole_truth(truth_of(discs), discs))
    _, answer = run(VideoProtocol(Prompting("mask"), count), case, tracker)
    assert answer.prompted == {1: tuple(range(count)), 2: tuple(range(3, 3 + count))}
    assert all(isinstance(p, MaskPrompt) for p in prompted)
    assert answer.clicks == {1: 0, 2: 0}
    assert not (answer.labels[:3] == 2).any()


def test_only_the_labelled_frames_can_be_prompted_and_answer(tracker, prompted):
    """As in datasets that label every fifth frame."""
    discs = MovingDiscs(11, (230,), (96, 128))
    sparse = Truth(truth_of(discs)[[3, 6, 9]], (3, 6, 9))
    case = OpenCase("film", discs, sparse)
    assert not case.is_volume
    _, answer = run(VideoProtocol(Prompting(mode="center"), prompted_frames=2), case, tracker)
    assert [p.frame for p in prompted] == [3, 6]
    assert answer.labels.shape == (3, 96, 128)
    assert agreement(answer, 1) > 0.85


def test_semantic_clicks_are_those_of_the_video_protocol(open_case, tracker):
    _, video = run(VideoProtocol(), open_case, tracker)
    _, semantic = run(SemanticProtocol(), open_case, Tracker(FakeNetwork()))
    np.testing.assert_array_equal(video.labels, semantic.labels)


def test_corrections_click_the_worst_frame_of_each_object(open_case, tracker, prompted):
    _, answer = run(CorrectionProtocol(Prompting(clicks=1), rounds=2), open_case, tracker)
    first, *later = [p for p in prompted if p.object_id == 1]
    assert first.frame == 0
    assert len(later) == 2
    rounds = [p for p in answer.curve if p.object_id == 1]
    assert [p.step for p in rounds] == [0, 1, 2]
    assert answer.clicks == {1: 3, 2: 3}
    assert set(answer.prompted[1]) == {p.frame for p in (first, *later)}


def test_the_first_correction_lies_on_the_frame_with_the_least_iou(open_case, prompted):
    protocol = CorrectionProtocol(Prompting(clicks=1), rounds=0)
    _, before = run(protocol, open_case, Tracker(FakeNetwork()))
    prompted.clear()
    run(replace(protocol, rounds=1), open_case, Tracker(FakeNetwork()))
    for object_id in (1, 2):
        first, second = [p.frame for p in prompted if p.object_id == object_id]
        ious = [
            iou(a == object_id, b == object_id)
            for a, b in zip(before.labels, before.truth.labels, strict=True)
        ]
        assert first == 0
        assert ious[second] == min(ious)


def test_clicks_follow_the_seed_and_the_case_alone(open_case, tracker, prompted):
    def points(case, seed):
        prompted.clear()
        run(VideoProtocol(), case, Tracker(FakeNetwork()), seed)
        return [p.points for p in prompted]

    here = points(open_case, 1)
    assert points(open_case, 1) == here
    assert points(open_case, 2) != here
    assert points(replace(open_case, name="other"), 1) != here
    alone = replace(
        open_case, truth=Truth(np.where(open_case.truth.labels == 2, 2, 0), tuple(range(10)))
    )
    assert points(alone, 1) == here[1:]


def test_impossible_prompts_are_refused_before_anything_runs():
    with pytest.raises(PromptError, match="1 to 10"):
        Prompting(clicks=11)


def test_classes_are_found_by_name_and_objects_of_a_class_are_one(discs, prompted):
    """Two discs of one class, one of another, and a class that the network has never heard of."""
    network = FakeNetwork()
    network.classes = {"bright": 230, "dim": 140}
    film = MovingDiscs(length=6, levels=(230, 235, 140, 90), shape=(192, 128))
    names = {1: "bright", 2: "bright", 3: "dim", 4: "dark"}
    table = ClassTable({("", label): name for label, name in names.items()})
    case = OpenCase("film", film, whole_truth(truth_of(film), film), table)
    events, answer = run(ClassProtocol(), case, Tracker(network))
    assert [event.done for event in events] == list(range(1, 7))
    assert prompted == []
    assert answer.truth.object_ids == (1, 3, 4)
    assert agreement(answer, 1) > 0.7
    assert agreement(answer, 3) > 0.6
    assert agreement(answer, 4) == 0
    assert answer.clicks == {}


def test_only_labelled_frames_are_looked_at_by_class(discs):
    network = FakeNetwork()
    network.classes = {"1": 230, "other": 140}
    truth = whole_truth(truth_of(discs), discs).only([2, 7])
    case = OpenCase("film", discs, Truth((truth.labels == 1).astype(np.uint8), truth.frames))
    _, answer = run(ClassProtocol(), case, Tracker(network))
    assert sorted(discs.reads) == [2, 7]
    assert set(np.unique(answer.labels)) == {0, 1}


def test_a_model_that_knows_none_of_the_classes_is_not_scored(open_case, tracker):
    with pytest.raises(PromptError, match=r"none of the classes of film \(1, 2\); it knows none"):
        run(ClassProtocol(), open_case, tracker)
