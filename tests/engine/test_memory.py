"""The memory bank: what it holds, drops, compares and presents."""

import pytest
import torch

from napari_surgisam.engine.memory import Memory, MemoryBank, MemorySelection
from napari_surgisam.engine.plan import Direction
from napari_surgisam.errors import ModelError

FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def memory(frame, tokens=None):
    tokens = torch.full((1, 2, 3, 3), float(frame)) if tokens is None else tokens
    return Memory(frame, tokens, torch.full((4,), float(frame)), 0.5, 1.0)


def bank_of(conditioning=(), tracked=(), **options):
    bank = MemoryBank(**{"slots": 6, "pointer_slots": 15, "clip_length": 1000, **options})
    for frame in conditioning:
        bank.add(memory(frame), conditioning=True)
    for frame in tracked:
        bank.add(memory(frame))
    return bank


def frames(pairs):
    return [(number, m.frame) for number, m in pairs]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [(FORWARD, [4, 2, 1]), (BACKWARD, [8, 9])],
)
def test_tracked_before_comes_nearest_first_and_never_from_ahead(direction, expected):
    bank = bank_of(conditioning=[3], tracked=[1, 9, 2, 8, 4])
    assert [m.frame for m in bank.tracked_before(6, direction)] == expected


def test_a_prompted_frame_is_remembered_by_its_prompt():
    bank = bank_of(tracked=[3])
    prompted = memory(3)
    bank.add(prompted, conditioning=True)
    assert bank[3] is prompted
    assert bank.tracked_frames == ()
    assert bank.tracked_before(4, FORWARD) == ()


def test_passes_of_one_object_share_conditioning_frames_only():
    shared = {}
    forward, backward = (
        MemoryBank(slots=6, pointer_slots=15, clip_length=9, conditioning=shared) for _ in "fb"
    )
    forward.add(memory(4), conditioning=True)
    forward.add(memory(5))
    assert 4 in backward
    assert 5 not in backward


def test_conditioning_near_keeps_both_neighbours_then_the_nearest():
    bank = bank_of(conditioning=[0, 10, 20, 30, 90], max_conditioning=3)
    assert bank.conditioning_near(31) == (20, 30, 90)
    assert bank.conditioning_near(12) == (0, 10, 20)  # 10 and 20 are its neighbours
    assert bank.conditioning_near(100) == (20, 30, 90)
    assert bank.conditioning_near(20) == (10, 20, 30)  # itself counts as after
    assert bank_of(conditioning=[5, 1]).conditioning_near(3) == (1, 5)


def test_a_long_pass_holds_a_bounded_number_of_memories():
    bank = bank_of(conditioning=[0])
    for frame in range(1, 200):
        bank.add(memory(frame))
        bank.evict(frame, retained=frozenset({7}))
    assert bank.tracked_frames == (7, *range(185, 200))
    assert {d for d in range(1, 16) if 200 - d in bank} == set(range(1, 16))
    bank.evict(199)
    assert 7 not in bank
    assert 0 in bank


@pytest.mark.parametrize(
    ("clip_length", "expected"), [(1, 0), (2, 1), (6, 5), (15, 14), (16, 15), (17, 15), (900, 15)]
)
def test_pointers_reach_back_less_than_the_clip_is_long(clip_length, expected):
    assert bank_of(clip_length=clip_length).pointer_slots == expected


def test_recall_orders_as_sam2_does_and_skips_what_is_gone():
    bank = bank_of(conditioning=[2, 30], tracked=[7, 8, 9])
    selection = MemorySelection((2, 30), {1: 9, 3: 7, 2: 8, 5: 5}, {1: 9, 15: 4, 2: 8})
    recall = bank.recall(selection, 10, FORWARD)
    assert frames(recall.spatial) == [(0, 2), (0, 30), (3, 7), (2, 8), (1, 9)]
    assert frames(recall.pointers) == [(8, 2), (1, 9), (2, 8)]  # 30 lies ahead
    assert recall.signature == ((0, 0, 3, 2, 1), (8, 1, 2))
    backward = bank.recall(MemorySelection((2, 30)), 10, BACKWARD)
    assert frames(backward.pointers) == [(20, 30)]


def test_similarity_is_the_cosine_over_channels():
    bank = bank_of()
    east, north = torch.zeros(2, 1, 2, 2, 2)
    east[:, 0], north[:, 1] = 2.0, 3.0
    half = east.clone()
    half[:, :, 0] = north[:, :, 0]
    for frame, tokens in enumerate((east, north, half)):
        bank.add(memory(frame, tokens))
    assert bank.similarity(0, 0) == pytest.approx(1)
    assert bank.similarity(0, 1) == pytest.approx(0)
    assert bank.similarity(2, 0) == pytest.approx(0.5) == bank.similarity(0, 2)
    bank.add(memory(2, east))
    assert bank.similarity(0, 2) == pytest.approx(1)  # not the old memory's value
    with pytest.raises(ModelError):
        bank.similarity(0, 1, of="image")
    pictures = bank_of(image_features=lambda frame: (east, north)[frame])
    assert pictures.similarity(0, 1, of="image") == pytest.approx(0)
