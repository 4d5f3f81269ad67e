"""What is kept exactly, and what is rebuilt from stored masks."""

import pytest
import torch
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.network import Query
from napari_surgisam.engine.recollection import Recollection, RememberedFrames
from napari_surgisam.engine.tracker import Tracker


@pytest.fixture
def film():
    return MovingDiscs(length=6)


@pytest.fixture
def tracker():
    return Tracker(FakeNetwork())


def answer(tracker, film, frame):
    return tracker.segment(film, frame, [Query(points=(Point(*film.centre(230, frame)),))])[0]


def test_exact_while_kept(tracker, film):
    recollection = Recollection(film, tracker)
    prediction = answer(tracker, film, 2)
    (memory,) = tracker.remember(film, 2, [prediction])
    stored = recollection.store(prediction, 0, memory)
    assert recollection.prediction(stored) is prediction
    assert recollection.memories(2, [stored]) == [memory]
    assert tracker.network.remembered == [2]


def test_rebuilt_when_the_budget_is_spent(tracker, film):
    recollection = Recollection(film, tracker, budget=0)
    prediction = answer(tracker, film, 2)
    stored = recollection.store(prediction, -1)
    assert (stored.conditioning, stored.direction) == (True, -1)
    rebuilt = recollection.prediction(stored)
    assert len(rebuilt.candidates) == 1
    assert rebuilt.prompted
    assert rebuilt.iou == pytest.approx(prediction.iou)
    assert torch.equal(rebuilt.mask_logits > 0, prediction.mask_logits > 0)
    torch.testing.assert_close(rebuilt.pointer, prediction.pointer)
    (memory,) = recollection.memories(2, [stored])
    assert memory.frame == 2
    assert tracker.network.remembered == [2]


def test_an_absent_object_is_rebuilt_as_absent(tracker, film):
    recollection = Recollection(film, tracker, budget=0)
    nothing = tracker.segment(film, 2, [Query(points=(Point(0, 0, positive=False),))])[0]
    rebuilt = recollection.prediction(recollection.store(nothing, 0))
    assert rebuilt.presence < 0
    assert torch.equal(rebuilt.mask_logits, nothing.mask_logits)


def test_a_tracked_prediction_is_kept_with_its_choice_only(tracker, film):
    prediction = answer(tracker, film, 2).choosing(2)
    tracked = type(prediction)(
        prediction.logits,
        prediction.ious,
        prediction.pointers,
        prediction.presence,
        prompted=False,
        choice=2,
    )
    recollection = Recollection(film, tracker)
    kept = recollection.prediction(recollection.store(tracked, 1))
    assert len(kept.candidates) == 1
    assert torch.equal(kept.mask_logits, prediction.mask_logits)
    assert kept.iou == prediction.iou


def test_prompted_frames_are_encoded_when_first_attended_to(tracker, film):
    recollection = Recollection(film, tracker)
    masks = {f: recollection.store(answer(tracker, film, f), 0) for f in (1, 4)}
    frames = RememberedFrames(recollection, masks)
    assert sorted(frames) == [1, 4]
    assert 4 in frames
    assert tracker.network.remembered == []
    assert frames[4] is frames[4]
    assert frames[4].frame == 4
    assert tracker.network.remembered == [4]
    frames[3] = frames[1]
    assert len(frames) == 3
    del frames[1]
    assert sorted(frames) == [3, 4]
