import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.focus import Focus
from napari_surgisam.engine.network import Query
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.engine.written import label_to_disk
from napari_surgisam.errors import PromptError
from napari_surgisam.formats.label_runs import begin_run
from napari_surgisam.formats.labels import read_labels

OBJECTS = {ObjectId(1): "bright", ObjectId(2): "dim"}


class _Named(FakeNetwork):
    classes = {"bright": 230, "dim": 140}  # noqa: RUF012


@pytest.fixture
def discs():
    return MovingDiscs(length=8, levels=(230, 140), shape=(96, 128), hidden={140: range(3, 6)})


@pytest.fixture
def session(discs):
    return Session(discs, Tracker(_Named()))


def _overlap(labels, object_id, truth):
    mask = labels == object_id
    return 2 * (mask & truth).sum() / max(mask.sum() + truth.sum(), 1)


def test_every_frame_gets_the_classes_that_it_shows(session, discs):
    events = list(session.label_classes(OBJECTS, Span()))
    assert [(e.frame, e.done, e.total) for e in events] == [(f, f + 1, 8) for f in range(8)]
    assert all(event.direction is None and not event.memories for event in events)
    for frame in range(8):
        labels = session.labels(frame)
        assert _overlap(labels, 1, discs.mask(230, frame)) > 0.8
        if frame in range(3, 6):
            assert (labels == 2).sum() < 20  # the rim of the other disc is as bright
        else:
            assert _overlap(labels, 2, discs.mask(140, frame)) > 0.8


def test_it_looks_at_no_memory_and_encodes_none(session):
    list(session.label_classes(OBJECTS, Span()))
    network = session.tracker.network
    assert network.remembered == []
    assert all(query.recall is None and not query.prompted for query in network.queries)


def test_only_the_frames_of_a_span_are_labelled(session):
    list(session.label_classes(OBJECTS, Span(2, 5)))
    assert sorted(session.masklets[ObjectId(1)]) == [2, 3, 4]
    with pytest.raises(PromptError, match="frames 0 to 7"):
        session.label_classes(OBJECTS, Span(20))


def test_an_unknown_class_is_refused_before_a_frame_is_read(session, discs):
    with pytest.raises(PromptError, match="no class 'spleen'"):
        session.label_classes({ObjectId(1): "spleen"}, Span())
    assert discs.reads == []


def test_the_whole_labelling_is_one_step_of_undo_and_stops_where_it_is_closed(session):
    running = session.label_classes(OBJECTS, Span())
    for _ in range(3):
        next(running)
    running.close()
    assert sorted(session.masklets[ObjectId(1)]) == [0, 1, 2]
    assert session.undo()
    assert not session.masklets
    assert session.redo()
    assert sorted(session.masklets[ObjectId(1)]) == [0, 1, 2]


def test_what_a_person_prompted_stays_and_the_rest_is_not_made_stale_by_it(session, discs):
    list(session.label_classes(OBJECTS, Span()))
    y, x = discs.centre(230, 4)
    session.add_point(ObjectId(2), 4, Point(y, x))  # "no, this one is the dim class"
    session.segment(4)
    corrected = session.masklets[ObjectId(2)][4]
    assert corrected.conditioning
    assert session.stale(ObjectId(2)) == ()
    list(session.label_classes(OBJECTS, Span()))
    assert session.masklets[ObjectId(2)][4] is corrected
    assert not session.masklets[ObjectId(1)][4].conditioning


def test_tracked_masks_beside_labelled_ones_still_go_stale(session, discs):
    y, x = discs.centre(230, 0)
    session.set_prompt(Prompt(ObjectId(1), 0, (Point(y, x),)))
    list(session.propagate(Plan("forward")))
    list(session.label_classes({ObjectId(1): "bright"}, Span(5)))
    session.add_point(ObjectId(1), 0, Point(y, x, positive=False))
    assert session.stale(ObjectId(1)) == (Span(1, 5),)


def test_a_killed_run_goes_on_and_gives_the_same_labels(session, discs, tmp_path):
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    run = begin_run(whole, discs, 2, {"model": "fake"})
    list(label_to_disk(session, OBJECTS, Span(), run))
    run.close()
    run = begin_run(cut, discs, 2, {"model": "fake"})
    running = label_to_disk(Session(discs, Tracker(_Named())), OBJECTS, Span(), run)
    for _ in range(4):
        next(running)
    running.close()
    run.abort(keep=True)
    again = Session(discs, Tracker(_Named()))
    run = begin_run(cut, discs, 2, {"model": "fake"}, resume=True)
    done = [event.frame for event in label_to_disk(again, OBJECTS, Span(), run)]
    run.close()
    assert done == [4, 5, 6, 7]
    np.testing.assert_array_equal(read_labels(cut), read_labels(whole))
    assert sorted(again.masklets[ObjectId(1)]) == list(range(8))


def test_a_class_that_is_small_in_the_frame_is_looked_at_again():
    small = MovingDiscs(length=1, levels=(230, 140), shape=(400, 500))
    tracker = Tracker(_Named(), focus=Focus())
    (found,) = tracker.segment(small, 0, [Query(class_name="bright")])
    assert isinstance(found.region, Region)
    assert found.region.side <= 250
    y, x = small.centre(230, 0)
    top, left = found.region.top, found.region.left
    assert top <= y <= top + found.region.height
    assert left <= x <= left + found.region.width
    whole = Tracker(_Named()).segment(small, 0, [Query(class_name="bright")])[0]
    assert whole.region is None
