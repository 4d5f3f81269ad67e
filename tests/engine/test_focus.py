"""The focus window: small objects are found, followed and left, and nothing changes without it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import FakeNetwork, MovingDiscs

from napari_surgisam.data.masklets import Masklet, paint_labels
from napari_surgisam.data.prompts import Box, MaskPrompt, ObjectId, Point, Prompt
from napari_surgisam.data.regions import Region
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.engine.focus import Focus, choose_focus, moved_logits, within
from napari_surgisam.engine.models import EMBEDDED
from napari_surgisam.engine.network import Prediction, Query, Traits
from napari_surgisam.engine.plan import Plan, Span
from napari_surgisam.engine.recollection import Recollection
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import ModelError
from napari_surgisam.metrics.masks import iou

ONE, TWO = ObjectId(1), ObjectId(2)
SHAPE = (512, 512)
LEAST = FakeNetwork.image_size // 4
FORWARD = Plan("forward")


class SharpNetwork(FakeNetwork):
    """Takes nothing dimmer than 150 for an object, and is surer of what it sees larger."""

    mask_size = 64

    def __init__(self):
        super().__init__()
        self.sizes = []

    def embed(self, images):
        self.sizes.append(tuple(images.shape))
        return super().embed(images)

    def _answer(self, embedding, query):
        answer = super()._answer(embedding, query)
        if answer.pointer[0] > 150:
            cells = float((answer.logits[0] > 0).sum())
            return replace(answer, ious=answer.ious * cells / (cells + 20))
        return replace(
            answer, logits=answer.logits.clamp(max=-10), presence=answer.presence * 0 - 10
        )


class SmallDisc(MovingDiscs):
    """A disc on a given path, with a radius for each frame; outside the frame it is gone."""

    def __init__(self, path, radii=3.0, levels=(230,)):
        self.path = path
        self.radii = radii if isinstance(radii, list) else [radii] * len(path)
        super().__init__(length=len(path), levels=levels, shape=SHAPE)

    def centre(self, level, frame):
        y, x = self.path[frame]
        return y + 60 * self.levels.index(level), x

    def mask(self, level, frame):
        y, x = self.centre(level, frame)
        rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
        return (rows - y) ** 2 + (columns - x) ** 2 <= self.radii[frame] ** 2


def session_of(film, focus=Focus(), network=None, **options):  # noqa: B008
    return Session(film, Tracker(network or SharpNetwork(), focus=focus, **options))


def click(session, film, frame=0, level=230, object_id=ONE):
    session.set_prompt(Prompt(object_id, frame, (Point(*film.centre(level, frame)),)))


def agreement(session, film, frame, level=230, object_id=ONE):
    return iou(session.labels(frame) == object_id, film.mask(level, frame))


def region_of(session, frame, object_id=ONE):
    return session.masklets[object_id][frame].region


def test_a_disc_of_six_pixels_is_found_in_a_window_and_not_in_the_whole_frame():
    film = SmallDisc([(200, 203)])
    for focus in (None, Focus()):
        session = session_of(film, focus)
        click(session, film)
        session.segment(0)
        found = agreement(session, film, 0)
        assert found < 0.3 if focus is None else found > 0.7


def test_a_small_disc_is_followed_to_the_frames_edge_and_out():
    path = [(200 + 2 * n, 300 + 5 * n) for n in range(60)]
    film = SmallDisc(path)
    session = session_of(film)
    click(session, film)
    for _ in session.propagate(FORWARD):
        pass
    visible = [f for f in range(60) if path[f][1] <= 508]
    assert len(visible) < 50
    assert min(agreement(session, film, f) for f in visible) > 0.5
    gone = range(len(visible) + 1, 60)
    assert not any(session.labels(f).any() for f in gone)
    assert region_of(session, 5).side < 70
    assert region_of(session, 59) is None  # searched everywhere by now
    moves = [f for f in visible[1:] if region_of(session, f) != region_of(session, f - 1)]
    assert len(moves) < len(visible) / 2  # it stays where it is while the disc is well inside


def test_a_window_is_never_smaller_than_an_eighth_of_the_networks_square():
    film = SmallDisc([(200, 203)], 1.0)
    tracker = Tracker(SharpNetwork(), focus=Focus())
    (answer,) = tracker.segment(film, 0, [Query(mask=film.mask(230, 0))])
    assert answer.region.side == tracker.network.image_size // 8


def test_a_carried_mask_lies_where_it_was_in_a_window_that_grows():
    film = SmallDisc([(250, 250)] * 40, [6.0 * 1.06**n for n in range(40)])
    network = SharpNetwork()
    network.traits = Traits(carries_masks=True)
    session = session_of(film, network=network)
    click(session, film)
    network.queries.clear()
    events = [e for e in session.propagate(FORWARD) if e.direction is not None]
    asked = network.queries[-len(events) :]
    before = events[0].memories[ONE]
    for event, query in zip(events[1:], asked[1:], strict=True):
        moved = moved_logits(before.mask, before.region, event.predictions[ONE].region, SHAPE)
        torch.testing.assert_close(query.previous_logits, moved)
        before = event.memories[ONE]
    sides = {e.predictions[ONE].region.side for e in events}
    assert len(sides) > 3


def test_the_window_grows_with_its_object():
    radii = [6.0 * 1.06**n for n in range(40)]
    film = SmallDisc([(250, 250)] * 40, radii)
    session = session_of(film)
    click(session, film)
    for _ in session.propagate(FORWARD):
        pass
    assert min(agreement(session, film, f) for f in range(40)) > 0.5
    sides = [region_of(session, f).side for f in range(40)]
    assert sides == sorted(sides)
    assert sides[-1] > 2 * sides[0]


def test_a_large_object_is_seen_whole_and_costs_no_more_once_it_is_tracked():
    film = SmallDisc([(250, 200 + 5 * n) for n in range(8)], 100.0)
    for focus, tried in ((None, 1), (Focus(), 4)):
        network = SharpNetwork()
        session = session_of(film, focus, network)
        click(session, film)
        for _ in session.propagate(FORWARD):
            pass
        assert network.embedded == tried + 7
        assert all(region_of(session, f) is None for f in range(8))


def test_following_embeds_one_region_a_frame_and_object():
    film = SmallDisc([(200, 200 + 3 * n) for n in range(10)], levels=(230, 190))
    network = SharpNetwork()
    session = session_of(film, network=network)
    click(session, film)
    click(session, film, level=190, object_id=TWO)
    events = list(session.propagate(FORWARD))
    prompted = 1 + 2 * 3  # the whole frame once, and three windows for each
    assert network.embedded == prompted + 9 * 2
    assert network.sizes[-1][0] == 2  # both windows as one batch
    assert min(agreement(session, film, 9, *who) for who in ((230, ONE), (190, TWO))) > 0.5
    assert sorted(film.reads)[-9:] == list(range(1, 10))
    assert {k: p.region for k, p in events[-1].predictions.items()} == {
        k: region_of(session, 9, k) for k in (ONE, TWO)
    }


def test_rebuilt_memories_continue_as_kept_ones_do():
    path = [(100 + 6 * n, 200 + 5 * n) for n in range(30)]
    whole = session_of(SmallDisc(path))
    click(whole, whole.frames)
    for _ in whole.propagate(FORWARD):
        pass
    halves = session_of(SmallDisc(path))
    click(halves, halves.frames)
    for _ in halves.propagate(Plan("forward", Span(0, 14))):
        pass
    resumed = Session(halves.frames, Tracker(SharpNetwork(), focus=Focus()), halves.annotation)
    for _ in resumed.propagate(Plan("forward", Span(14))):
        pass
    for frame in range(30):
        assert iou(whole.labels(frame) > 0, resumed.labels(frame) > 0) >= 0.99
        assert region_of(whole, frame) == region_of(resumed, frame)


def test_undo_and_redo_bring_back_masks_in_their_windows():
    film = SmallDisc([(200, 203)] * 3)
    session = session_of(film)
    click(session, film)
    session.segment(0)
    before = session.labels(0)
    session.add_point(ONE, 0, Point(200, 400, positive=False))
    session.segment(0)
    assert session.undo()
    assert np.array_equal(session.labels(0), before)
    assert before.any()


def test_a_refining_click_keeps_the_window_or_widens_it_to_be_inside():
    film = SmallDisc([(200, 203)], 10.0)
    session = session_of(film)
    click(session, film)
    session.segment(0)
    first = region_of(session, 0)
    session.add_point(ONE, 0, Point(201, 204))
    session.segment(0)
    assert region_of(session, 0) == first
    session.add_point(ONE, 0, Point(200, 290, positive=False))
    session.segment(0)
    wide = region_of(session, 0)
    assert wide.side > first.side
    assert wide.box.x1 > 290
    assert agreement(session, film, 0) > 0.5


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param(4, Region(112, 112, 64, 64), id="small-narrows"),
        pytest.param(12, Region(16, 16, 256, 256), id="suits-stays"),
        pytest.param(28, Region(0, 0, 448, 448), id="large-widens"),
    ],
)
def test_a_refining_click_looks_closer_where_the_shown_mask_is_small(cells, expected):
    logits = torch.full((32, 32), -5.0)
    low = 16 - cells // 2
    logits[low : low + cells, low : low + cells] = 5.0
    query = Query(
        points=(Point(144, 144),), previous_logits=logits, region=Region(16, 16, 256, 256)
    )
    assert Focus().regions(query, SHAPE, LEAST) == (expected,)


def test_a_click_where_nothing_was_shown_is_tried_at_all_scales():
    nothing, everywhere = torch.full((32, 32), -1024.0), Region(0, 0, 400, 400)
    click = Query(points=(Point(200, 203),), previous_logits=nothing, region=everywhere)
    sides = [r and r.side for r in Focus().regions(click, SHAPE, LEAST)]
    assert sides == [None, 256, 128, 64]
    denial = replace(click, points=(Point(200, 203, positive=False),))
    assert Focus().regions(denial, SHAPE, LEAST) == (everywhere,)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(Query(box=Box(99.5, 99.5, 139.5, 129.5)), (80, 80, 75), id="box"),
        pytest.param(Query(box=Box(99.5, 99.5, 103.5, 103.5)), (LEAST, LEAST, 86), id="tiny-box"),
        pytest.param(Query(box=Box(10, 10, 400, 400)), None, id="large-box"),
    ],
)
def test_a_box_tells_its_scale(query, expected):
    (region,) = Focus().regions(query, SHAPE, LEAST)
    found = None if region is None else (region.height, region.width, region.left)
    assert found == expected


def test_a_mask_tells_its_scale_and_is_kept_pixel_by_pixel():
    film = SmallDisc([(200, 203)], 9.0)
    mask = film.mask(230, 0)
    session = session_of(film)
    session.set_prompt(MaskPrompt(ONE, 0, mask))
    session.segment(0)
    assert region_of(session, 0).side == 38  # twice 19 pixels
    assert agreement(session, film, 0) > 0.85
    session.set_prompt(MaskPrompt(ONE, 0, np.zeros(SHAPE, bool)))
    session.segment(0)
    assert not session.labels(0).any()
    assert region_of(session, 0) is None


def prediction(region, value, *, present=True, cells=1):
    logits = torch.full((1, 32, 32), -5.0)
    logits.view(-1)[:cells] = 5.0
    return Prediction(
        logits,
        torch.tensor([value]),
        torch.zeros(1, 2),
        torch.tensor(5.0 if present else -5.0),
        prompted=True,
        choice=0,
        region=region,
    )


def test_the_best_answer_is_the_surest_and_of_equals_the_widest():
    focus, half = Focus(preference=0.02), Region(0, 0, 256, 256)
    wide = prediction(None, 0.8)
    assert focus.best([wide, prediction(half, 0.81)], SHAPE) is wide
    sure = prediction(half, 0.83)
    assert focus.best([wide, sure], SHAPE) is sure
    assert focus.best([wide, prediction(half, 0.99, present=False)], SHAPE) is wide


def test_of_equally_sure_answers_the_one_with_the_steadier_outline_counts():
    half = Region(0, 0, 256, 256)
    vague = prediction(None, 0.8)
    vague.logits.view(-1)[100:300] = -0.5
    steady = prediction(half, 0.8, cells=100)
    assert Focus().best([vague, steady], SHAPE) is steady
    assert Focus(steadiness=0).best([vague, steady], SHAPE) is vague


def test_specks_do_not_move_the_window():
    focus, region = Focus(), Region(100, 100, 64, 64)
    logits = torch.full((1, 32, 32), -5.0)
    logits[0, 12:20, 12:20] = 5.0
    clean = replace(prediction(region, 0.9), logits=logits)
    spotted = replace(clean, logits=logits.clone())
    spotted.logits[0, 31, 31] = 5.0
    assert focus.following(clean, SHAPE, LEAST) == region
    assert focus.following(spotted, SHAPE, LEAST) == region


def test_a_doubtful_tracked_mask_counts_as_not_found():
    region = Region(100, 100, 64, 64)
    sure = replace(prediction(region, 0.9, cells=300), prompted=False)
    doubtful = replace(sure, ious=torch.tensor([0.1]))
    assert Focus().following(doubtful, SHAPE, LEAST) == Region(90, 90, 83, 83)
    assert Focus().following(sure, SHAPE, LEAST) != Region(90, 90, 83, 83)


def test_logits_move_with_the_frames_pixels():
    ramp = torch.arange(32.0).expand(32, 32)  # a column of the frame has 16 pixels
    moved = moved_logits(ramp, None, Region(128, 256, 128, 128), SHAPE)
    # its first cell is centred on pixel 256 + 2 - 0.5, the grid's 0th on 7.5
    assert moved[0, 0] == pytest.approx((257.5 - 7.5) / 16)
    assert moved[31, 31] == pytest.approx((381.5 - 7.5) / 16)
    back = moved_logits(moved, Region(128, 256, 128, 128), None, SHAPE)
    assert back[10, 20] == pytest.approx(float(ramp[10, 20]), abs=0.01)
    assert back[0, 0] == -10


def test_a_query_is_told_in_the_regions_pixels():
    region = Region(100, 200, 50, 60)
    mask = np.zeros(SHAPE, bool)
    mask[110, 220] = True
    query = Query(points=(Point(110, 220),), box=Box(105, 210, 120, 230), mask=mask)
    asked = within(query, region, SHAPE)
    assert asked.points == (Point(10, 20),)
    assert asked.box == Box(5, 10, 20, 30)
    assert asked.mask.shape == (50, 60)
    assert asked.mask[10, 20]
    assert within(query, None, SHAPE) is query


def test_a_mask_is_painted_where_its_region_lies():
    logits = np.full((8, 8), -5, np.float32)
    logits[2:6, 2:6] = 5
    options = {"iou": 0.9, "presence": 3.0, "pointer": np.zeros(2), "direction": 0}
    for conditioning in (True, False):
        stored = StoredMask.from_logits(
            logits, conditioning=conditioning, region=Region(20, 40, 16, 16), **options
        )
        labels = paint_labels([Masklet(ONE).with_mask(0, stored)], 0, (64, 64))
        rows, columns = np.nonzero(labels)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 31, 44, 51)


def test_a_stored_mask_is_rebuilt_in_its_region():
    film = SmallDisc([(200, 203)])
    tracker = Tracker(SharpNetwork(), focus=Focus())
    recollection = Recollection(film, tracker, budget=0)
    (answer,) = tracker.segment(film, 0, [Query(points=(Point(200, 203),))])
    stored = recollection.store(answer, 0)
    (memory,) = tracker.remember(film, 0, [answer])
    (rebuilt,) = recollection.memories(0, [stored])
    assert recollection.prediction(stored).region == answer.region is not None
    assert rebuilt.next_region == memory.next_region is not None
    torch.testing.assert_close(rebuilt.tokens, memory.tokens, atol=0.1, rtol=0.01)


def test_without_focus_the_network_is_asked_as_it_always_was():
    film = SmallDisc([(200, 203)] * 2, 40.0)
    tracker, plain = Tracker(SharpNetwork()), SharpNetwork()
    query = Query(points=(Point(200, 203),))
    (answer,) = tracker.segment(film, 0, [query])
    image = torch.from_numpy(film.read(0)).permute(2, 0, 1)[None]
    (expected,) = plain.segment(plain.embed(image)[0], [query])
    assert tracker.network.queries[0] is query
    assert torch.equal(answer.logits, expected.logits)
    assert tracker.remember(film, 0, [answer])[0].next_region is None


def test_the_default_is_on_for_the_embedded_model_and_off_for_sam2(tmp_path):
    sam2 = tmp_path / "sam2.pt"
    sam2.touch()
    assert choose_focus("default", EMBEDDED) == Focus()
    assert choose_focus("default", sam2) is None
    assert choose_focus("auto", sam2) == Focus()
    assert choose_focus("off", EMBEDDED) is None
    with pytest.raises(ModelError, match="choose auto, off, or default"):
        choose_focus("sometimes", EMBEDDED)
