"""Which memories are left out: against the published rules written down plainly."""

import pytest
import torch
from memory_banks import BACKWARD, FORWARD, bank_of

from napari_surgisam.engine.policies import EfficientFramePruning, RecentFrames, SplitPruning
from napari_surgisam.engine.policies.recent import presented
from napari_surgisam.errors import ModelError


def random_bank(count, seed, conditioning=1, channels=8, side=5):
    """Return a bank whose selection on the frame after presents `count` memories."""
    generator = torch.Generator().manual_seed(seed)
    prompted = range(conditioning)
    tracked = range(100, 100 + count - conditioning)
    tokens = {
        f: torch.randn(1, channels, side, side, generator=generator).to(torch.bfloat16)
        for f in (*prompted, *tracked)
    }
    return bank_of(prompted, tracked, tokens=tokens), 100 + count - conditioning


def maps(bank, frames):
    return [bank[f].tokens[0].flatten(1).float() for f in frames]


def most_alike(features, reference, dim):
    """Return positions by falling cosine over channels (0) or space (1)."""
    scores = [torch.cosine_similarity(f, reference, dim=dim).sum().item() for f in features]
    return sorted(range(len(scores)), key=lambda i: -scores[i])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("conditioning", [1, 2, 3])
@pytest.mark.parametrize("recent", range(7))
def test_efficient_pruning_leaves_out_what_repeats_the_latest(version, conditioning, recent):
    bank, frame = random_bank(conditioning + recent, seed=recent, conditioning=conditioning)
    frames = presented(RecentFrames().select(bank, frame, FORWARD))
    count = len(frames)
    assert count == conditioning + recent
    excess = max(count + 2 - 7, 0) if version == 2 else 2 * (count >= 7)
    features = maps(bank, frames)
    order = most_alike(features[1:-1], features[-1], dim=0)
    kept = [f for i, f in enumerate(frames) if i - 1 not in order[:excess]]

    selection = EfficientFramePruning(version=version).select(bank, frame, FORWARD)
    assert list(presented(selection)) == kept
    assert all(frame - slot == f for slot, f in selection.recent.items())  # slots stay


def test_the_two_versions_differ_where_six_memories_are_presented():
    bank, frame = random_bank(6, seed=0)
    counts = [
        len(presented(EfficientFramePruning(version=v).select(bank, frame, FORWARD)))
        for v in (1, 2)
    ]
    assert counts == [6, 5]


def test_a_prompted_frame_can_be_protected_and_keeps_its_pointer_where_not():
    bank = bank_of(
        [0, 4],
        range(94, 100),
        tokens={f: torch.eye(6).view(1, 6, 6, 1)[:, [f % 6] * 6] for f in range(94, 100)}
        | {0: torch.zeros(1, 6, 6, 1), 4: torch.eye(6).view(1, 6, 6, 1)[:, [3] * 6]},
    )  # frame 4 equals frame 99, the latest; all others are orthogonal to it
    exact = EfficientFramePruning().select(bank, 100, FORWARD)
    assert exact.conditioning == (0,)
    assert exact.pointers[96] == 4
    assert dict(exact.pointers) == {
        **RecentFrames().select(bank, 100, FORWARD).pointers,
        96: 4,
    }
    gentle = EfficientFramePruning(protect_prompted=True).select(bank, 100, FORWARD)
    assert gentle.conditioning == (0, 4)
    assert len(presented(gentle)) == 5


def test_pruning_works_backward():
    bank, _ = random_bank(7, seed=3)
    for policy in (EfficientFramePruning(), SplitPruning()):
        selection = policy.select(bank, 99, BACKWARD)
        assert len(presented(selection)) == 5
        assert selection.recent[1] == 100


@pytest.mark.parametrize("mode", ["intended", "published"])
@pytest.mark.parametrize("count", range(1, 10))
def test_split_pruning_leaves_out_one_of_each_half(mode, count):
    conditioning = max(1, count - 6)
    bank, frame = random_bank(count, seed=count, conditioning=conditioning)
    frames = presented(RecentFrames().select(bank, frame, FORWARD))
    features, middle = maps(bank, frames), count // 2
    gone = set()
    if count + 2 > 7:
        gone.add(1 + most_alike(features[1:middle], features[0], dim=1)[0])
        shift = mode == "published"
        gone.add(middle + shift + most_alike(features[middle:-1], features[-1], dim=1)[0])
    selection = SplitPruning(mode=mode).select(bank, frame, FORWARD)
    assert list(presented(selection)) == [f for i, f in enumerate(frames) if i not in gone]


def test_as_published_the_latest_memory_can_be_lost_as_intended_never():
    lost = {"intended": 0, "published": 0}
    for seed in range(40):
        bank, frame = random_bank(7, seed)
        for mode in lost:
            selection = SplitPruning(mode=mode).select(bank, frame, FORWARD)
            lost[mode] += 1 not in selection.recent
    assert lost["intended"] == 0
    assert lost["published"] > 5


def test_nothing_is_kept_longer():
    bank, frame = random_bank(7, 0)
    assert EfficientFramePruning().retain(bank, frame) == frozenset()
    assert SplitPruning().retain(bank, frame) == frozenset()


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        pytest.param(lambda: EfficientFramePruning(version=3), "version=3", id="version"),
        pytest.param(lambda: EfficientFramePruning(prune=6), "prune=6", id="prune"),
        pytest.param(lambda: SplitPruning(mode="other"), "mode=other", id="mode"),
        pytest.param(lambda: SplitPruning(prune=-1), "prune=-1", id="negative"),
    ],
)
def test_impossible_settings_are_refused_by_name(make, setting):
    with pytest.raises(ModelError, match=setting):
        make()
