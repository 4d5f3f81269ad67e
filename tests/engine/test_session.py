"""A session as its users drive it: click, propagate, correct, undo."""

import threading

import numpy as np
import pytest
import torch
from fakes import FakeNetwork, HaloDiscs, MovingDiscs

from napari_surgisam.data.mask_chunks import MaskShelf
from napari_surgisam.data.prompts import Box, MaskPrompt, Point, Prompt, PromptBook
from napari_surgisam.engine.network import Traits
from napari_surgisam.engine.plan import Direction, Plan, Span
from napari_surgisam.engine.recollection import Recollection
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import DataError, PromptError

LEVELS = (230, 120)
FORWARD = Direction.FORWARD


@pytest.fixture
def film():
    return MovingDiscs(length=24, levels=LEVELS)


@pytest.fixture
def network():
    return FakeNetwork()


@pytest.fixture
def session(film, network):
    return Session(film, Tracker(network))


def on(film, object_id, frame, *, positive=True, shift=0.0):
    y, x = film.centre(LEVELS[object_id - 1], frame)
    return Point(y, x + shift, positive)


def click(session, object_id, frame, **options):
    session.add_point(object_id, frame, on(session.frames, object_id, frame, **options))
    return session.segment(frame)


def run(session, order="outward", span=None, **options):
    return list(session.propagate(Plan(order, span or Span()), **options))


def dsc(session, object_id, frame):
    truth = session.frames.mask(LEVELS[object_id - 1], frame)
    painted = session.labels(frame) == object_id
    return 2 * (truth & painted).sum() / max(truth.sum() + painted.sum(), 1)


def everything(session):
    return np.stack([session.labels(f) for f in range(len(session.frames))])


# -- clicks


def test_a_click_shows_the_object_at_once(session):
    answers = click(session, 2, 10)
    assert set(answers) == {2}
    assert answers[2].logits.shape[0] == 3  # the candidates of a first click
    assert session.object_ids == (2,)
    assert dsc(session, 2, 10) > 0.8
    assert set(np.unique(session.labels(10))) == {0, 2}
    assert not session.labels(11).any()


def test_segmenting_again_asks_nothing_and_keeps_the_candidates(session, network):
    first = click(session, 1, 0)[1]
    asked = len(network.queries)
    assert session.segment(0)[1] is first
    assert session.segment(5) == {}
    assert len(network.queries) == asked


def test_a_click_on_a_shown_mask_refines_it_with_its_exact_logits(session, network):
    shown = click(session, 1, 4)[1]
    click(session, 1, 4, positive=False, shift=5)
    query = network.queries[-1]
    assert [p.positive for p in query.points] == [True, False]
    assert torch.equal(query.previous_logits, shown.mask_logits)
    assert query.recall is None
    assert query.clip_length == 24


def test_the_points_of_a_file_enter_together_in_one_query(session, network, film):
    points = (on(film, 1, 4), on(film, 1, 4, positive=False, shift=6))
    session.set_prompt(Prompt(1, 4, points))
    session.segment(4)
    assert len(network.queries) == 1
    assert network.queries[0].points == points
    assert network.queries[0].previous_logits is None


def test_points_added_before_a_mask_is_shown_enter_together(session, network, film):
    session.add_point(1, 4, on(film, 1, 4))
    session.add_point(1, 4, on(film, 1, 4, shift=2))
    session.segment(4)
    assert len(network.queries) == 1
    assert len(network.queries[0].points) == 2
    assert network.queries[0].previous_logits is None


def test_several_objects_on_a_frame_are_asked_together(session, film):
    sizes = []
    network = session.tracker.network
    segment = network.segment
    network.segment = lambda e, q: sizes.append(len(q)) or segment(e, q)
    session.set_prompts([Prompt(k, 3, (on(film, k, 3),)) for k in (1, 2)])
    assert set(session.segment(3)) == {1, 2}
    assert sizes == [2]
    assert set(session.segment(3, [2])) == {2}


def test_boxes_and_masks_are_prompts_too(session, film, network):
    y, x = film.centre(230, 5)
    session.set_prompt(Prompt(1, 5, box=Box(y - 8, x - 8, y + 8, x + 8)))
    session.set_prompt(MaskPrompt(2, 5, film.mask(120, 5)))
    session.segment(5)
    assert dsc(session, 1, 5) > 0.8
    assert dsc(session, 2, 5) > 0.8
    assert network.queries[0].box is not None
    assert network.queries[1].mask is not None
    click(session, 2, 5, positive=False, shift=4)  # a click corrects the mask
    assert network.queries[-1].previous_logits is not None
    assert isinstance(session.book.get(2, 5), Prompt)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt(1, 24, (Point(1, 1),)), "frames 0 to 23"),
        (Prompt(1, 0, (Point(-5, 1),)), "outside frame 0"),
        (Prompt(1, 0, (Point(float("nan"), 1),)), "finite"),
        (MaskPrompt(1, 0, np.zeros((3, 3), bool)), "3 x 3"),
    ],
)
def test_prompts_that_do_not_fit_are_refused_and_change_nothing(session, prompt, says):
    with pytest.raises(PromptError, match=says):
        session.set_prompts([Prompt(2, 0, (Point(1, 1),)), prompt])
    if isinstance(prompt, Prompt):
        with pytest.raises(PromptError, match=says):
            session.add_point(prompt.object_id, prompt.frame, prompt.points[0])
    assert not len(session.book)
    assert not session.can_undo


# -- propagation


def test_two_objects_are_found_on_every_frame(session):
    click(session, 1, 10)
    click(session, 2, 3)
    events = run(session)
    assert [(e.done, e.total) for e in events] == [(n + 1, len(events)) for n in range(len(events))]
    assert [(e.frame, e.direction) for e in events[:2]] == [(3, None), (10, None)]
    for frame in range(24):
        assert dsc(session, 1, frame) > 0.8
        assert dsc(session, 2, frame) > 0.8
    assert {k: len(m) for k, m in session.masklets.items()} == {1: 24, 2: 24}


def test_prompts_from_a_file_are_segmented_first(session, film):
    session.set_prompts([Prompt(1, f, (on(film, 1, f),)) for f in (2, 9)])
    events = run(session, "first-n")
    assert [e.frame for e in events] == [2, 9, *range(3, 9), *range(10, 24)]
    assert 1 not in session.masklets[1]
    assert {f for f in session.masklets[1] if session.masklets[1][f].conditioning} == {2, 9}


def test_one_picture_is_a_clip_of_one_frame():
    session = Session(MovingDiscs(length=1, levels=LEVELS), Tracker(FakeNetwork()))
    session.add_point(1, 0, on(session.frames, 1, 0))
    (event,) = run(session)
    assert (event.done, event.total, event.frame) == (1, 1, 0)
    assert dsc(session, 1, 0) > 0.8


def test_an_object_that_leaves_has_no_mask_while_it_is_away():
    film = MovingDiscs(length=20, levels=LEVELS, hidden={230: range(8, 12)})
    session = Session(film, Tracker(FakeNetwork()))
    click(session, 1, 0)
    run(session)
    for frame in range(20):
        assert session.labels(frame).any() == (frame not in range(8, 12))
        assert (session.masklets[1][frame].presence > 0) == (frame not in range(8, 12))


def test_propagating_some_objects_leaves_the_others_alone(session):
    click(session, 1, 0)
    click(session, 2, 0)
    run(session)
    before = session.masklets[2]
    click(session, 1, 5, shift=1)
    run(session, object_ids=[1])
    assert session.masklets[2] is before


def test_nothing_to_start_from_is_told_at_once(session, film):
    with pytest.raises(PromptError, match="no prompts"):
        session.propagate(Plan())
    session.add_point(1, 0, on(film, 1, 0))
    with pytest.raises(PromptError, match="Object 2"):
        session.propagate(Plan(), [1, 2])
    session.add_point(2, 0, on(film, 2, 0, positive=False))
    with pytest.raises(PromptError, match="negative points only"):
        session.propagate(Plan())
    with pytest.raises(PromptError, match="span"):
        session.propagate(Plan(span=Span(30, 40)), [1])


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "rebuilt"])
@pytest.mark.parametrize("order", ["forward", "backward"])
def test_spans_one_after_the_other_give_what_one_propagation_gives(film, order, exact):
    def labels_and_recalls(*spans):
        session = Session(film, Tracker(FakeNetwork()))
        if not exact:
            session._recollection = Recollection(film, session.tracker, budget=0)
        click(session, 1, 11)
        recalls = {}
        for span in spans:
            for event in run(session, order, span):
                if event.direction:
                    selection = event.selections[1]
                    recalls[event.frame] = dict(selection.recent), dict(selection.pointers)
        return everything(session), recalls

    whole, recalls = labels_and_recalls(Span())
    spans = (Span(12, 17), Span(17)) if order == "forward" else (Span(5, 11), Span(0, 5))
    pieces, recalls_of_pieces = labels_and_recalls(*spans)
    assert recalls_of_pieces == recalls
    assert (pieces != whole).mean() < 1e-3


def test_propagating_again_gives_the_same_even_after_another_plan(session):
    click(session, 1, 11)
    run(session, "outward")
    first = everything(session)
    recalls = [e.selections for e in run(session, "forward") if e.direction]
    assert [e.selections for e in run(session, "forward") if e.direction] == recalls
    assert (everything(session) == first).all()


def test_a_pass_goes_on_from_nothing_that_is_stale_or_visited_again(session):
    click(session, 1, 4)
    click(session, 1, 10)
    run(session, "forward")
    events = run(session, "outward", Span(8, 24))  # 8 and 9 now belong to the other direction
    first = next(e for e in events if e.direction is FORWARD)
    assert (first.frame, first.selections[1].recent) == (11, {4: 7, 5: 6, 6: 5})
    click(session, 1, 10, shift=1)
    (event,) = (e for e in run(session, "forward", Span(14, 15)) if e.direction)
    assert event.selections[1].recent == {}
    assert event.selections[1].conditioning == (4, 10)


# -- corrections


def test_a_click_on_a_tracked_frame_refines_it_with_its_pass_memories(session, network):
    click(session, 1, 4)
    run(session)
    shown = session._recollection.prediction(session.masklets[1][20]).mask_logits
    click(session, 1, 20, positive=False, shift=6)
    query = network.queries[-1]
    assert torch.equal(query.previous_logits, shown)
    assert [(slot, m.frame) for slot, m in query.recall.spatial] == [
        (0, 4),
        *((n, 20 - n) for n in range(6, 0, -1)),
    ]
    assert [(d, m.frame) for d, m in query.recall.pointers] == [
        (16, 4),
        *((n, 20 - n) for n in range(1, 16)),
    ]
    click(session, 1, 20, shift=1)  # one more, still with the pass, and without itself
    assert network.queries[-1].recall.signature == query.recall.signature
    click(session, 1, 2, shift=1)
    assert {m.frame for _, m in network.queries[-1].recall.spatial} == {4, 20, 3}


@pytest.mark.parametrize("anew", [False, True])
def test_clicks_where_tracking_lost_the_object_are_answered_anew_by_networks_that_so(network, anew):
    network.traits = Traits(begins_anew=anew)
    film = MovingDiscs(length=20, levels=LEVELS, hidden={230: range(8, 12)})
    session = Session(film, Tracker(network))
    click(session, 1, 0)
    run(session)
    click(session, 1, 9, positive=False)  # not this: the object is away, and stays so
    assert network.queries[-1].recall is not None
    click(session, 1, 10)
    query = network.queries[-1]
    assert (query.recall is None, query.previous_logits is None) == (anew, anew)
    assert session.masklets[1][10].direction == (0 if anew else FORWARD)
    click(session, 1, 10, shift=2)  # one more refines what the first brought
    assert network.queries[-1].previous_logits is not None
    assert (network.queries[-1].recall is None) == anew
    click(session, 1, 14)  # not lost
    assert network.queries[-1].recall is not None
    session.undo()
    assert session.book.get(1, 14) is None and session.book.get(1, 10) is not None


def test_a_tracked_frames_memories_are_rebuilt_when_they_are_gone(session, network, film):
    click(session, 1, 4)
    run(session)
    session._recollection = Recollection(film, session.tracker, budget=0)
    network.remembered.clear()
    click(session, 1, 20, shift=1)
    assert {4, *range(5, 20)} == set(network.remembered)
    spatial = network.queries[-1].recall.spatial
    assert [m.frame for _, m in spatial] == [4, *range(14, 20)]
    assert spatial[-1][1].pointer[0] == pytest.approx(230, abs=1)


def test_a_prompt_on_a_tracked_frame_survives_the_next_propagation(session):
    click(session, 1, 0)
    run(session)
    click(session, 1, 12, positive=False, shift=4)
    corrected = session.masklets[1][12]
    assert corrected.conditioning
    events = run(session)
    assert session.masklets[1][12] is corrected
    assert 12 in {e.frame for e in events if e.direction is None}
    assert {e.selections[1].conditioning for e in events if e.direction} == {(0, 12)}


def test_a_correction_makes_stale_only_its_object_between_its_neighbours(session):
    click(session, 1, 4)
    click(session, 1, 16)
    click(session, 2, 4)
    run(session)
    assert session.stale(1) == ()
    click(session, 1, 10)
    assert session.stale(1) == (Span(5, 10), Span(11, 16))
    assert session.stale(2) == ()
    run(session, span=Span(0, 8))
    assert session.stale(1) == (Span(8, 10), Span(11, 16))
    run(session)
    assert session.stale(1) == ()


def test_negative_points_alone_wait_for_the_propagation(session, network, film):
    click(session, 1, 0)
    point = on(film, 1, 6, positive=False, shift=5)
    session.add_point(1, 6, point)
    assert session.segment(6) == {}
    assert 6 not in session.masklets[1]
    events = run(session)
    assert session.masklets[1][6].conditioning
    assert not session.labels(6)[int(point.y), int(point.x)]
    assert session.labels(5).any()
    later = next(e for e in events if e.frame == 7)
    assert later.selections[1].conditioning == (0, 6)
    assert 1 in session.segment(6)
    sources = [e.frame for e in run(session) if e.direction is None]
    assert sources == [0, 6]  # now it says where the object is


def test_removing_a_prompt_takes_its_mask_and_leaves_the_rest_stale(session):
    click(session, 1, 4)
    click(session, 1, 12)
    run(session)
    session.remove_prompt(1, 12)
    assert session.book.frames(1) == (4,)
    assert not session.labels(12).any()
    assert session.stale(1) == (Span(5, 12), Span(13, 24))
    session.remove_object(1)
    assert session.object_ids == ()
    assert not session.labels(4).any()


# -- undo


def test_undo_takes_back_click_by_click_and_masks_with_them(session):
    click(session, 1, 4)
    once = session.labels(4)
    click(session, 1, 4, positive=False, shift=4)
    twice = session.labels(4)
    assert (once != twice).any()
    assert session.undo()
    assert (session.labels(4) == once).all()
    assert session.undo()
    assert not session.labels(4).any()
    assert not session.can_undo
    assert not session.undo()
    assert session.redo()
    assert session.redo()
    assert (session.labels(4) == twice).all()
    assert not session.can_redo


@pytest.mark.parametrize("stop_after", [None, 5])
def test_a_propagation_is_one_undo_step_also_when_cancelled(session, stop_after):
    click(session, 1, 4)
    before = everything(session)
    job = session.propagate(Plan())
    for event in job:
        if event.done == stop_after:
            job.close()
    after = everything(session)
    assert after[5].any()
    assert after[20].any() == (stop_after is None)
    session.undo()
    assert (everything(session) == before).all()
    session.redo()
    assert (everything(session) == after).all()


def test_sixty_steps_can_be_undone(session, film):
    for n in range(60):
        session.add_point(1, 4, on(film, 1, 4, shift=n / 60))
    for _ in range(60):
        assert session.undo()
    assert not len(session.book)


def test_setting_the_same_prompt_again_is_no_step(session, film):
    for _ in range(2):
        session.set_prompt(Prompt(1, 4, (on(film, 1, 4),)))
    session.undo()
    assert not session.can_undo


# -- threads


def test_an_edit_ends_a_running_propagation_and_keeps_what_is_done(session, film):
    click(session, 1, 0)
    job = session.propagate(Plan())
    frames = [next(job).frame for _ in range(5)]
    session.add_point(2, 0, on(film, 2, 0))
    assert list(job) == []
    assert sorted(session.masklets[1]) == frames == [0, 1, 2, 3, 4]
    session.undo()
    session.undo()
    assert sorted(session.masklets[1]) == [0]


def test_undo_ends_a_running_propagation_and_stays(session):
    click(session, 1, 0)
    job = session.propagate(Plan())
    for _ in range(5):
        next(job)
    session.undo()
    assert list(job) == []
    assert sorted(session.masklets[1]) == [0]


def test_a_mask_of_a_prompt_that_has_changed_is_dropped(session, film, network):
    session.add_point(1, 0, on(film, 1, 0))
    segment = network.segment

    def slow(embedding, queries):
        session.remove_prompt(1, 0)  # meanwhile, in the window
        return segment(embedding, queries)

    network.segment = slow
    session.segment(0)
    assert session.object_ids == ()


def test_labels_can_be_read_while_a_propagation_runs(session):
    click(session, 1, 0)
    failures, stop = [], threading.Event()

    def read():
        try:
            while not stop.is_set():
                for frame in range(24):
                    assert set(np.unique(session.labels(frame))) <= {0, 1}
                    session.stale(1)
        except Exception as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        run(session)
    stop.set()
    reader.join(10)
    assert not failures


# -- the rest


def test_painted_frames_are_kept_until_they_are_given_back(session):
    click(session, 1, 4)
    mine = np.zeros((48, 64), np.int32)
    mine[:4, :4] = 9
    session.paint(5, mine)
    run(session)
    assert session.painted_frames == (5,)
    assert (session.labels(5) == mine).all()
    session.unpaint(5)
    assert dsc(session, 1, 5) > 0.8
    session.undo()
    assert (session.labels(5) == mine).all()
    with pytest.raises(DataError, match="48, 64"):
        session.paint(5, mine[:3])
    with pytest.raises(DataError, match="65535"):
        session.paint(5, mine * 10_000)


def test_another_network_starts_from_the_same_prompts(session, film):
    click(session, 1, 4)
    click(session, 1, 4, positive=False, shift=5)
    run(session)
    network = FakeNetwork("other")
    other = session.with_tracker(Tracker(network))
    assert other.book == session.book
    assert (other.labels(9) == session.labels(9)).all()
    assert other.stale(1) == (Span(0, 4), Span(5, 24))
    click(other, 1, 9, shift=1)  # it builds on no other network's mask
    assert network.queries[-1].previous_logits is None
    assert network.queries[-1].recall is None
    run(other)
    assert other.stale(1) == ()
    same = session.with_tracker(Tracker(session.tracker.network, max_conditioning=None))
    assert same.stale(1) == ()


def test_scores_are_given_for_every_frame_and_object(session):
    click(session, 1, 4)
    click(session, 2, 4)
    run(session)
    scores = list(session.scores())
    assert [(s.frame, s.object_id) for s in scores] == [(f, k) for f in range(24) for k in (1, 2)]
    for score in scores:
        assert score.area == (session.labels(score.frame) == score.object_id).sum()
        assert score.predicted_iou == pytest.approx(0.9)
        assert score.presence == pytest.approx(10)


def test_a_session_can_start_from_an_annotation(session, film):
    click(session, 1, 4)
    copy = Session(film, session.tracker, session.annotation)
    assert (copy.labels(4) == session.labels(4)).all()
    with pytest.raises(PromptError):
        Session(MovingDiscs(length=2), session.tracker, session.annotation)
    assert isinstance(copy.book, PromptBook)


def test_masks_of_many_frames_leave_memory_and_undo_brings_them_back(tmp_path, monkeypatch):
    levels = (60, 100, 140, 180, 220)
    film = MovingDiscs(length=200, levels=levels, shape=(96, 64))

    def propagated(budget):
        session = Session(film, Tracker(FakeNetwork()))
        session._shelf = MaskShelf(budget, tmp_path)
        for number, level in enumerate(levels, start=1):
            session.set_prompt(Prompt(number, 0, (Point(*film.centre(level, 0)),)))
        list(session.propagate(Plan("forward")))
        return session

    whole, session = propagated(10**9), propagated(10**5)
    assert session._shelf.nbytes <= 10**5 < whole._shelf.nbytes
    on_disk = [file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()]
    assert 0 < sum(on_disk) < 10_000 * 200 * len(levels)
    for _ in range(2):
        for frame in range(0, 200, 7):
            np.testing.assert_array_equal(session.labels(frame), whole.labels(frame))
        assert session._shelf.nbytes <= 10**5
        assert session.undo() and session.labels(150).max() == 0
        assert session.redo()
    before = session.annotation
    session.set_prompt(Prompt(2, 100, (Point(*film.centre(100, 100)),)))
    list(session.propagate(Plan("forward"), [2]))
    shared = [n for n, c in session.masklets[1].chunks.items() if c is before.masklets[1].chunks[n]]
    assert len(shared) == len(before.masklets[1].chunks)
    other = session.with_tracker(Tracker(FakeNetwork("another")))
    np.testing.assert_array_equal(other.labels(150), session.labels(150))
    assert list(other.scores())[-1].frame == 199


def test_a_single_click_means_the_mask_of_the_size_that_was_chosen(network):
    film = HaloDiscs(length=24, levels=LEVELS, shape=(96, 128))
    session = Session(film, Tracker(network))

    def area(size, *more):
        session.set_prompt(Prompt(1, 4, (on(film, 1, 4), *more), mask_size=size))
        session.segment(4)
        return int((session.labels(4) == 1).sum())

    small, medium, large = (area(size) for size in ("small", "medium", "large"))
    assert small < medium < large
    assert area("auto") == medium  # the network trusts its first candidate
    beside = on(film, 1, 4, shift=1)
    assert area("small", beside) == area("large", beside)  # two clicks have one mask
    session.undo()
    assert session.book.get(1, 4).mask_size == "small"


def test_the_size_of_a_mask_outlives_its_network(session, film):
    session.set_prompt(Prompt(1, 4, (on(film, 1, 4),), mask_size="large"))
    session.segment(4)
    other = session.with_tracker(Tracker(FakeNetwork("another")))
    other.segment(4)
    np.testing.assert_array_equal(other.labels(4), session.labels(4))
