"""The tracker on a film of moving discs, with a network that thresholds brightness."""

import threading
from dataclasses import dataclass, field

import pytest
import torch
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.prompts import Point, Prompt
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.network import Query, Traits
from napari_surgisam.engine.plan import Direction, Plan, plan_propagation
from napari_surgisam.engine.policies import RecentFrames
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError, JobError

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD
LEVELS = (230, 120)
OUTWARD = Plan("outward")


@pytest.fixture
def film():
    return MovingDiscs(length=24, levels=LEVELS)


@pytest.fixture
def tracker():
    return Tracker(FakeNetwork())


def start(tracker, film, prompted, plan=OUTWARD):
    """Steps and banks for objects 1, 2, ... that were clicked on the given frames."""
    steps = plan_propagation(plan, prompted, len(film))
    banks = {}
    for object_id, frames in prompted.items():
        conditioning = {}
        for frame in frames:
            y, x = film.centre(LEVELS[object_id - 1], frame)
            query = Query(points=(Point(y, x),), clip_length=len(film))
            predictions = tracker.segment(film, frame, [query])
            (conditioning[frame],) = tracker.remember(film, frame, predictions)
        for direction in Direction:
            banks[object_id, direction] = tracker.bank(film, conditioning)
    return steps, banks


def test_every_step_comes_out_in_order_with_its_objects(film, tracker):
    steps, banks = start(tracker, film, {1: [3], 2: [10]})
    events = list(tracker.propagate(film, steps, banks))
    assert [(e.frame, e.direction, tuple(e.predictions)) for e in events] == [
        (s.frame, s.direction, s.object_ids) for s in steps
    ]
    assert [(e.done, e.total) for e in events] == [(n + 1, len(steps)) for n in range(len(steps))]
    for event in events:
        for object_id, prediction in event.predictions.items():
            level = LEVELS[object_id - 1]
            assert prediction.pointer[0] == pytest.approx(level, abs=1)
            assert event.memories[object_id].frame == event.frame


def test_a_frame_is_read_and_embedded_once_for_all_objects(film, tracker):
    steps, banks = start(tracker, film, {1: [3], 2: [10]})
    list(tracker.propagate(film, steps, banks))
    assert sorted(film.reads) == list(range(len(film)))
    assert tracker.network.embedded == len(film)


def test_objects_on_a_frame_are_asked_in_one_batch(film, tracker):
    steps, banks = start(tracker, film, {1: [0], 2: [0]}, Plan("forward"))
    sizes = []
    segment = tracker.network.segment

    def counting(embedding, queries):
        sizes.append(len(queries))
        return segment(embedding, queries)

    tracker.network.segment = counting
    list(tracker.propagate(film, steps, banks))
    assert sizes == [2] * (len(film) - 1)


def test_passes_in_opposite_directions_never_read_each_others_memories(film, tracker):
    steps, banks = start(tracker, film, {1: [8, 16]})
    visited = {FORWARD: set(), BACKWARD: set()}
    for event in tracker.propagate(film, steps, banks):
        selection = event.selections[1]
        assert selection.conditioning == (8, 16)
        for attended in (*selection.recent.values(), *selection.pointers.values()):
            assert (event.frame - attended) * event.direction > 0
            assert attended in visited[event.direction]
        visited[event.direction].add(event.frame)


def test_memory_does_not_grow_with_the_film(tracker):
    film = MovingDiscs(length=80, levels=LEVELS)
    steps, banks = start(tracker, film, {1: [0]})
    for _ in tracker.propagate(film, steps, banks):
        assert len(banks[1, FORWARD].tracked_frames) <= 15


@pytest.mark.parametrize(("asked", "network"), [(2, None), (8, 2), (None, 2)])
def test_only_the_nearest_conditioning_frames_are_attended_to(film, asked, network):
    tracker = Tracker(FakeNetwork(), max_conditioning=asked)
    tracker.network.traits = Traits(conditioning_slots=network)
    steps, banks = start(tracker, film, {1: [0, 4, 8, 20]}, Plan("forward"))
    attended = {
        e.frame: e.selections[1].conditioning for e in tracker.propagate(film, steps, banks)
    }
    assert attended[2] == (0, 4)
    assert attended[10] == (8, 20)
    assert attended[23] == (8, 20)


def test_a_correction_refines_what_tracking_finds_and_then_conditions(film, tracker):
    y, x = film.centre(230, 5)
    correction = Prompt(1, 5, (Point(y, x - 3, positive=False),))
    steps, banks = start(tracker, film, {1: [0]}, Plan("forward"))
    asked = len(tracker.network.queries)
    events = {e.frame: e for e in tracker.propagate(film, steps, banks, {(1, 5): correction})}
    tracked, refined = tracker.network.queries[asked + 4 : asked + 6]
    assert not tracked.prompted
    assert refined.points == correction.points
    assert refined.previous_logits is not None
    assert refined.recall is tracked.recall
    assert events[5].predictions[1].prompted
    assert not events[6].predictions[1].prompted
    assert events[5].selections[1].conditioning == (0,)
    assert events[6].selections[1].conditioning == (0, 5)
    assert 5 not in events[6].selections[1].recent.values()


def test_closing_stops_at_once_and_leaves_no_thread(film, tracker):
    steps, banks = start(tracker, film, {1: [0]})
    job = tracker.propagate(film, steps, banks)
    next(job)
    asked, threads = len(tracker.network.queries), threading.active_count()
    job.close()
    assert len(tracker.network.queries) == asked
    assert threading.active_count() < threads


def test_gradients_are_off_inside_and_untouched_outside(film, tracker):
    seen = []
    segment = tracker.network.segment

    def watching(embedding, queries):
        seen.append(torch.is_grad_enabled())
        return segment(embedding, queries)

    tracker.network.segment = watching
    steps, banks = start(tracker, film, {1: [0]})
    for _ in tracker.propagate(film, steps, banks):
        assert torch.is_grad_enabled()
    assert set(seen) == {False}


def test_the_next_frame_is_read_ahead_and_a_broken_one_is_told_when_reached(film, tracker):
    read = film.read

    def breaking(frame):
        if frame == 3:
            raise DataError("frame 3 is broken")
        return read(frame)

    film.read = breaking
    steps, banks = start(tracker, film, {1: [0]}, Plan("forward"))
    job = tracker.propagate(film, steps, banks)
    assert next(job).frame == 1
    assert next(job).frame == 2
    with pytest.raises(DataError, match="frame 3"):
        next(job)


def test_running_out_of_memory_is_told_with_a_remedy(film, tracker):
    def full(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    tracker.network.embed = full
    with pytest.raises(JobError, match=r"frame 7.*smaller image size"):
        tracker.embed(film, 7)


def test_read_only_images_are_fine(film, tracker):
    read = film.read

    def frozen(frame):
        image = read(frame)
        image.flags.writeable = False
        return image[:, ::-1]

    film.read = frozen
    assert tracker.embed(film, 0).size == film.shape


def test_a_cache_without_room_only_costs_time(film):
    tracker = Tracker(FakeNetwork(), cache=EmbeddingCache(budget=0))
    steps, banks = start(tracker, film, {1: [0]})
    assert len(list(tracker.propagate(film, steps, banks))) == 23


@dataclass(frozen=True)
class Counting(RecentFrames):
    """Chooses the last candidate and counts the frames of a pass."""

    seen: list = field(default_factory=list)

    def choose(self, bank, prediction):
        self.seen.append((len(prediction.candidates), bank.state))
        return len(prediction.candidates) - 1

    def observe(self, bank, frame, prediction):
        assert bank[frame].frame == frame
        return (bank.state or 0) + 1


def test_a_policy_may_choose_masks_and_carry_a_state(film):
    tracker = Tracker(FakeNetwork(), policy=Counting())
    steps, banks = start(tracker, film, {1: [2]})
    list(tracker.propagate(film, steps, banks))
    assert banks[1, FORWARD].state == 21
    assert banks[1, BACKWARD].state == 2
    assert tracker.policy.seen[:3] == [(1, None), (1, 1), (1, 2)]


def test_an_object_ends_sooner_in_a_volume_than_in_a_movie(tracker):
    """The fake's presence is 10 where it finds something; a volume's network may want more."""
    tracker.network.traits = Traits(volume_presence=12.0)
    for temporal, there in ((True, True), (False, False)):
        film = MovingDiscs(length=6, temporal=temporal)
        steps, banks = start(tracker, film, {1: [2]})
        events = list(tracker.propagate(film, steps, banks))
        assert all((e.predictions[1].mask_logits > 0).any() == there for e in events)
        assert all((e.memories[1].presence > 0) == there for e in events)
        assert banks[1, FORWARD][2].presence > 0  # what was clicked is there


@pytest.mark.parametrize("carries", [False, True])
def test_a_network_that_carries_masks_starts_from_the_frame_before(carries):
    film = MovingDiscs(length=12, levels=LEVELS, hidden={LEVELS[0]: range(6, 8)})
    tracker = Tracker(FakeNetwork())
    tracker.network.traits = Traits(carries_masks=carries)
    steps, banks = start(tracker, film, {1: [4]}, Plan("outward"))
    tracker.network.queries.clear()
    events = list(tracker.propagate(film, steps, banks))
    shown = {4: banks[1, FORWARD][4].mask}
    for event, query in zip(events, tracker.network.queries, strict=True):
        before = event.frame - event.direction
        if carries and before not in (6, 7):
            assert torch.equal(query.previous_logits, shown[before])
            assert query.previous_logits.max() == 5  # half as sure
        else:
            assert query.previous_logits is None  # SAM 2, or nothing was there
        shown[event.frame] = event.memories[1].mask
    assert all((mask is not None) == (carries and f not in (6, 7)) for f, mask in shown.items())


@pytest.mark.parametrize("likeness", [0.0, 0.9])
def test_the_look_of_an_object_is_kept_only_where_a_volume_asks_for_it(tracker, likeness):
    tracker.network.traits = Traits(volume_presence=1.0, volume_likeness=likeness)
    for temporal in (True, False):
        film = MovingDiscs(length=6, temporal=temporal)
        steps, banks = start(tracker, film, {1: [2]})
        list(tracker.propagate(film, steps, banks))
        kept = banks[1, FORWARD][2].look is not None
        assert kept == (likeness > 0 and not temporal)
