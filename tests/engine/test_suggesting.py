"""Objects that a grid of clicks finds."""

import numpy as np
import pytest
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.suggestions import with_suggestions
from napari_surgisam.engine.focus import Focus
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.suggesting import POINTS_AT_ONCE, Suggested, Suggesting, suggest_objects
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError, PromptError

LEVELS = (230, 150)


@pytest.fixture
def film():
    return MovingDiscs(length=6, levels=LEVELS, shape=(96, 128))


def found(tracker, film, frame=2, known=None, **settings):
    wanted = Suggesting(**{"min_stability": 0.5, "points_per_side": 16, **settings})
    *events, last = suggest_objects(tracker, film, frame, wanted, known)
    assert isinstance(last, Suggested) and last.done == last.total == len(events) + 1
    assert [e.done for e in events] == [*range(1, last.total)]
    return last.suggestions


def overlap(one, truth):
    mask = np.zeros(truth.shape, bool)
    mask[one.slices][one.pixels] = True
    return np.count_nonzero(mask & truth) / np.count_nonzero(mask | truth)


@pytest.mark.parametrize("focus", [None, Focus()])
def test_every_disc_is_found_once_and_the_background_is_none(film, focus):
    network = FakeNetwork()
    suggestions = found(Tracker(network, focus=focus), film)
    best = [max(overlap(s, film.mask(level, 2)) for s in suggestions) for level in LEVELS]
    assert min(best) > 0.7
    assert len(suggestions) == len(LEVELS), "something else was found, too"
    assert all(len(q.points) == 1 and q.points[0].positive for q in network.queries)


def test_a_focus_looks_at_tiles_that_cover_the_frame(film):
    looked = set()
    tracker = Tracker(FakeNetwork(), focus=Focus())

    class Watching(Tracker):
        def look(self, source, frame, queries, region):
            assert len(queries) <= POINTS_AT_ONCE
            looked.add(region)
            return tracker.look(source, frame, queries, region)

    found(Watching(tracker.network, focus=Focus()), film)
    assert None in looked
    covered = np.zeros(film.shape, int)
    for region in looked - {None}:
        covered[region.slices] += 1
    assert covered.min() >= 1
    looked.clear()
    found(Watching(tracker.network), film)
    assert looked == {None}


@pytest.mark.parametrize(
    "settings",
    [{"min_iou": 0.95}, {"least": 2000}, {"most": 0.001}],
    ids=lambda s: next(iter(s)),
)
def test_each_condition_drops_what_does_not_meet_it(film, settings):
    assert not found(Tracker(FakeNetwork()), film, **settings)


def test_a_mask_that_changes_with_its_threshold_is_dropped(film):
    class Soft(FakeNetwork):
        def _prediction(self, logits, ious, brightness, query):
            return super()._prediction([m / 10 for m in logits], ious, brightness, query)

    assert len(found(Tracker(Soft()), film, min_stability=0.0)) >= 2
    assert not found(Tracker(Soft()), film, min_stability=0.5)


def test_what_is_an_object_already_is_not_suggested(film):
    known = np.where(film.mask(LEVELS[0], 2), 4, 0).astype(np.uint16)
    (left,) = found(Tracker(FakeNetwork()), film, known=known)
    assert overlap(left, film.mask(LEVELS[1], 2)) > 0.7


def test_a_kept_suggestion_is_propagated_like_a_click(film):
    session = Session(film, Tracker(FakeNetwork()))
    suggestions = found(session.tracker, film)
    session.edit(lambda a: with_suggestions(a, 2, suggestions)[0])
    asked = len(session.tracker.network.queries)
    list(session.propagate(Plan("outward")))
    assert not any(q.points for q in session.tracker.network.queries[asked:]), "clicked again"
    for frame in range(len(film)):
        labels = session.labels(frame)
        for level in LEVELS:
            truth = film.mask(level, frame)
            (own,) = set(np.unique(labels[truth])) - {0}
            found_here = np.count_nonzero((labels == own) & truth)
            assert found_here > 0.7 * np.count_nonzero(truth)
    assert session.undo() and session.undo() and session.object_ids == ()


def test_what_cannot_be_asked_is_refused(film):
    with pytest.raises(DataError, match="Frame 9"):
        suggest_objects(Tracker(FakeNetwork()), film, 9)
    with pytest.raises(PromptError, match="1 to 256"):
        Suggesting(points_per_side=0)
    with pytest.raises(PromptError, match="min_iou is 7"):
        Suggesting(min_iou=7)
