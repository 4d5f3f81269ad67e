"""Which long-term memories are chosen: scripted predicted IoUs, known features."""

from random import Random

import pytest
import torch
from memory_banks import BACKWARD, FORWARD, answer, bank_of, empty_bank, memory, play, selections

from napari_surgisam.engine.policies import DiverseMemory, RecentFrames
from napari_surgisam.engine.policies.recent import presented


def angle(frame):
    """Features that turn: frames further apart, up to 90, resemble each other less."""
    turned = torch.tensor(frame * torch.pi / 180)
    return torch.stack([turned.cos(), turned.sin()]).view(1, 2, 1, 1)


def good(frames):
    return ((f, answer(ious=(0.97,))) for f in frames)


def bank_with_images(conditioning):
    return bank_of(conditioning, image_features=angle)


def test_of_each_run_the_least_alike_frame_is_kept():
    bank = bank_with_images([0])
    for _ in play(DiverseMemory(), bank, good(range(1, 11))):
        pass
    # 5 is farthest from 0, then 10 from 5
    assert DiverseMemory().retain(bank, 10) == {5, 10}


def test_a_doubtful_frame_breaks_the_run():
    ious = {3: 0.95, 9: 0.5}  # 0.95 is not above 0.95
    script = ((f, answer(ious=(ious.get(f, 0.97),))) for f in range(1, 16))
    bank = bank_with_images([0])
    for _ in play(DiverseMemory(), bank, script):
        pass
    assert DiverseMemory().retain(bank, 15) == {8, 14}


def test_an_absent_object_is_no_view_of_it():
    script = ((f, answer(ious=(0.99,), presence=-4.0)) for f in range(1, 16))
    bank = bank_with_images([0])
    for _ in play(DiverseMemory(), bank, script):
        pass
    assert DiverseMemory().retain(bank, 15) == frozenset()


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
def test_long_term_memories_come_last_once_they_are_not_recent(direction):
    start = 0 if direction is FORWARD else 90
    here = start + 40 * direction
    bank = bank_with_images([start])
    for _ in play(
        DiverseMemory(), bank, good(range(start + direction, here, direction)), direction
    ):
        pass
    selection = DiverseMemory().select(bank, here, direction)
    # 20, 25 and 30 were kept before 35, which is still a recent frame
    assert [abs(f - start) for f in selection.lasting] == [20, 25, 30]
    recall = bank.recall(selection, here, direction)
    assert [slot for slot, _ in recall.spatial] == [0, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    assert [abs(m.frame - start) for _, m in recall.spatial][-3:] == [20, 25, 30]
    assert sorted(d for d, _ in recall.pointers) == [*range(1, 16), 40]  # none of lasting frames


def test_at_most_eleven_memories():
    script = ((f, answer(ious=(0.97 if f % 20 < 5 else 0.6,))) for f in range(1, 200))
    seen = selections(DiverseMemory(), bank_with_images([0]), script)
    assert max(len(presented(s)) for s in seen.values()) == 11


def by_resurgsam2(ious, tokens, size=5, frames=3):
    """Return the long-term memories after each frame by the sibling's rule, in plain words.

    A frame enters the pool if its predicted IoU exceeds 0.95, consecutive or not; of a full
    pool the one of least cosine to the last long-term memory is kept.
    """
    pool, kept = [], []
    for frame, iou in ious.items():
        if iou > 0.95:
            pool.append(frame)
        if len(pool) == size:
            last = tokens[kept[-1] if kept else 0]
            cosines = [torch.cosine_similarity(last, tokens[f], dim=1).mean() for f in pool]
            kept = [*kept, pool[int(torch.stack(cosines).argmin())]][-frames:]
            pool = []
        yield frame, tuple(kept)


@pytest.mark.parametrize("seed", range(5))
def test_where_all_frames_are_sure_it_is_the_siblings_rule(seed):
    generator = torch.Generator().manual_seed(seed)
    tokens = {f: torch.randn(1, 8, 3, 3, generator=generator) for f in range(60)}
    policy = DiverseMemory(frames=3, compare="memory")
    bank = bank_of([0], tokens=tokens)
    expected = dict(by_resurgsam2(dict.fromkeys(range(1, 60), 0.99), tokens))
    for frame in range(1, 60):
        bank.add(memory(frame, 0.99, 5.0, tokens[frame]))
        bank.state = policy.observe(bank, frame, answer(ious=(0.99,)))
        bank.evict(frame, policy.retain(bank, frame))
        assert policy.retain(bank, frame) == set(expected[frame])


def test_above_one_nothing_qualifies():
    random = Random(0)
    script = [(f, answer(ious=(random.choice([0.2, 1.0]),))) for f in range(1, 60)]
    neutral = selections(DiverseMemory(min_iou=1.01), bank_of([0]), script)
    stock = selections(RecentFrames(), bank_of([0]), script)
    assert neutral == stock


def test_without_a_prompted_frame_in_the_bank_the_first_of_a_run_is_kept():
    bank = empty_bank(image_features=angle)
    for _ in play(DiverseMemory(), bank, good(range(1, 6))):
        pass
    assert DiverseMemory().retain(bank, 5) == {1}
