"""What a frame attends to while clips are practised: as `RecentFrames` chooses in use."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from napari_surgisam.engine.compact_network import CompactConfig, load_compact
from napari_surgisam.training.lessons import Lesson
from napari_surgisam.training.practice import Practice
from napari_surgisam.training.synthesis import SyntheticClips

pytestmark = pytest.mark.sam2


@pytest.mark.parametrize(
    ("corrected", "slots"),
    [(0.0, [(0,), (0, 1), (0, 2, 1)]), (1.0, [(0,), (0, 0), (0, 0, 3)])],
)
@torch.no_grad()
def test_a_corrected_frame_is_remembered_as_a_prompted_one(monkeypatch, corrected, slots):
    torch.manual_seed(0)
    network = load_compact(CompactConfig(image_size=64), None)
    asked, segment = [], network.segment

    def noting(embedding, queries):
        asked.extend(q.recall.signature[0] for q in queries[:1] if q.recall is not None)
        return segment(embedding, queries)

    monkeypatch.setattr(network, "segment", noting)
    (batch,) = islice(SyntheticClips(2, 4, 64, seed=5, layers=4), 1)
    lesson = Lesson(objects=2, rounds=1, box=0, mask=0, several=0, corrected=corrected)
    Practice(network, network.model)(batch, lesson, torch.Generator().manual_seed(1))
    assert list(dict.fromkeys(asked)) == slots


@pytest.mark.parametrize("carries", [False, True])
@torch.no_grad()
def test_a_later_frame_starts_from_the_mask_of_the_one_before(monkeypatch, carries):
    torch.manual_seed(0)
    network = load_compact(CompactConfig(image_size=64, carries_masks=carries), None)
    shown, asked, segment = [], [], network.segment

    def noting(embedding, queries):
        asked.append([q.previous_logits for q in queries])
        shown.append(segment(embedding, queries))
        return shown[-1]

    monkeypatch.setattr(network, "segment", noting)
    (batch,) = islice(SyntheticClips(2, 4, 64, seed=5, layers=4), 1)
    lesson = Lesson(objects=2, rounds=1, box=0, mask=0, several=0, corrected=0)
    Practice(network, network.model)(batch, lesson, torch.Generator().manual_seed(1))
    assert len(asked) == 4 and asked[0] == [None] * len(asked[0])
    for before, given in zip(shown, asked[1:], strict=False):
        expected = [p.carried if carries else None for p in before]
        for mask, logits in zip(expected, given, strict=True):
            assert logits is None if mask is None else torch.equal(mask, logits)


@torch.no_grad()
def test_a_prediction_may_be_refined_without_a_new_click(monkeypatch):
    first, second = _asked(monkeypatch, frames=1, lesson={"rounds": 2, "again": 1.0})
    assert [q.points for q in first] == [q.points for q in second]
    assert all(q.previous_logits is not None for q in second)


@torch.no_grad()
def test_a_mistaken_mask_is_what_the_next_frame_starts_from_and_remembers(monkeypatch):
    torch.manual_seed(0)
    network = load_compact(CompactConfig(image_size=64, carries_masks=True), None)
    shown, remembered, asked = [], [], []
    segment, remember = network.segment, network.remember

    def noting(embedding, queries):
        asked.append(queries)
        sure = torch.tensor(9.0)
        shown.append([replace(p, presence=sure) for p in segment(embedding, queries)])
        return shown[-1]

    def noting_memory(embedding, predictions, frame):
        remembered.append(predictions)
        return remember(embedding, predictions, frame)

    monkeypatch.setattr(network, "segment", noting)
    monkeypatch.setattr(network, "remember", noting_memory)
    (batch,) = islice(SyntheticClips(2, 4, 64, seed=5, layers=4), 1)
    lesson = Lesson(objects=2, rounds=1, box=0, mask=0, several=0, corrected=0, mistaken=1)
    Practice(network, network.model)(batch, lesson, torch.Generator().manual_seed(1))
    assert all(map(torch.equal, *(_logits(p[0]) for p in (shown, remembered))))
    for frame in (1, 2):
        pairs = list(zip(*(_logits(p[frame]) for p in (shown, remembered)), strict=True))
        assert any(not torch.equal(found, kept) for found, kept in pairs)
        for (_, kept), query in zip(pairs, asked[frame + 1], strict=True):
            assert torch.equal(query.previous_logits, kept.clamp(-10, 10) / 2)


@torch.no_grad()
def test_the_last_frame_may_be_given_and_is_then_attended_to_and_not_tracked(monkeypatch):
    lesson = {"rounds": 1, "mask": 0, "corrected": 0, "between": 1}
    _, given, *tracked = _asked(monkeypatch, frames=4, lesson=lesson)
    assert all(q.mask is not None for q in given)
    assert [q[0].recall.signature for q in tracked] == [
        ((0, 0), (1,)),
        ((0, 0, 1), (2, 1)),
    ]


def _asked(monkeypatch, frames, lesson):
    """Return the queries of a lesson on objects that stay where they are, call by call."""
    torch.manual_seed(0)
    network = load_compact(CompactConfig(image_size=64), None)
    asked, segment = [], network.segment

    def noting(embedding, queries):
        asked.append(queries)
        return segment(embedding, queries)

    monkeypatch.setattr(network, "segment", noting)
    (batch,) = islice(SyntheticClips(2, frames, 64, seed=5, layers=4), 1)
    batch = replace(batch, labels=batch.labels[:, :1].expand_as(batch.labels))
    lesson = Lesson(objects=2, box=0, several=0, **lesson)
    Practice(network, network.model)(batch, lesson, torch.Generator().manual_seed(1))
    return asked


def _logits(predictions):
    return [p.logits[p.choice] for p in predictions]
