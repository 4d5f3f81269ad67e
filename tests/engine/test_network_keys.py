"""Memories that are projected once give what sam2 gives that projects them every time."""

import gc

import pytest
import torch
from memory_banks import DISTANCES, SLOTS, random_recall
from sensitive import rescale

from napari_surgisam.engine import network_keys
from napari_surgisam.engine.compact_network import CompactConfig, load_compact
from napari_surgisam.engine.network_attention import MemoryReader
from napari_surgisam.engine.sam2_network import load_sam2

pytestmark = pytest.mark.sam2


def sam21():
    return load_sam2("configs/sam2.1/sam2.1_hiera_t.yaml", None, image_size=128)


def sam20():
    return load_sam2("configs/sam2/sam2_hiera_t.yaml", None, image_size=128)


def compact():
    return load_compact(CompactConfig(image_size=128, width=256), None)


@pytest.fixture(params=[sam21, sam20, compact])
def model(request):
    torch.manual_seed(0)
    model = request.param().model
    rescale(model)
    return model


@pytest.fixture
def recalls():
    return [random_recall(s, d, n) for n, (s, d) in enumerate(zip(SLOTS, DISTANCES, strict=True))]


FEATURES = torch.randn(3, 256, 8, 8, generator=torch.Generator().manual_seed(9))


@torch.no_grad()
def test_answers_are_the_same_and_memories_are_projected_once(model, recalls):
    """Three objects at slots and distances of their own."""
    plain, keeping = MemoryReader(model), MemoryReader(model, keep_keys=True)
    for asked in (recalls, recalls[::-1]):
        expected = plain.attend(FEATURES, asked, 40)
        found = keeping.attend(FEATURES, asked, 40)
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)
    assert (expected[0] - expected[1]).abs().max() > 0.1
    keys, values = [], []
    for layer in model.memory_attention.layers:
        for part, seen in (("k_proj", keys), ("v_proj", values)):
            getattr(layer.cross_attn_image, part).register_forward_hook(
                lambda module, inputs, out, seen=seen: seen.append(out.shape[1])
            )
    keeping.attend(FEATURES, recalls, 40)
    assert set(keys) == {12}  # three pointers of four tokens: they are cheap
    assert set(values) == {64}, "one sum of tokens for each place in the frame"
    plain.attend(FEATURES, recalls, 40)
    assert min(max(keys), max(values)) > 4 * 64


@torch.no_grad()
def test_a_memory_at_another_slot_is_another_answer(model, recalls):
    keeping, plain = MemoryReader(model, keep_keys=True), MemoryReader(model)
    keeping.attend(FEATURES, recalls, 40)
    memories = [memory for _, memory in recalls[0].spatial]
    later = type(recalls[0])(tuple(zip((0, 3, 2, 1), memories, strict=True)), recalls[0].pointers)
    asked = [later, *recalls[1:]]
    expected = plain.attend(FEATURES, asked, 40)
    torch.testing.assert_close(keeping.attend(FEATURES, asked, 40), expected, atol=2e-4, rtol=2e-4)


@torch.no_grad()
def test_half_precision_errs_no_more_than_it_did(recalls):
    torch.manual_seed(0)
    model = sam21().model
    rescale(model)
    exact = MemoryReader(model).attend(FEATURES, recalls, 40)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = MemoryReader(model).attend(FEATURES, recalls, 40)
        kept = MemoryReader(model, keep_keys=True).attend(FEATURES, recalls, 40)
    errors = [(found - exact).square().mean().sqrt() for found in (rounded, kept)]
    assert errors[1] < 1.3 * errors[0]


@torch.no_grad()
def test_what_is_kept_goes_with_its_memory_and_within_a_budget(recalls, monkeypatch):
    model = sam21().model
    keys = MemoryReader(model, keep_keys=True)
    keys.attend(FEATURES, recalls, 40)
    held = len({id(m.tokens) for r in recalls for _, m in r.spatial})
    assert len(keys._keys._memories) == held
    recalls.pop()
    gc.collect()
    assert len(keys._keys._memories) < held
    monkeypatch.setattr(network_keys, "PATIENCE", 2)
    only = random_recall((0, 1), (1,), 77)
    for _ in range(3):
        keys.attend(FEATURES[:1], [only], 40)
    assert len(keys._keys._memories) > 2
    last = random_recall((0, 1), (1,), 78)
    keys.attend(FEATURES[:1], [last], 40)
    assert len(keys._keys._memories) == 4, "the two latest calls'"
    monkeypatch.setattr(network_keys, "KEPT_BYTES", 0)
    frugal, plain = MemoryReader(model, keep_keys=True), MemoryReader(model)
    found = frugal.attend(FEATURES[:2], recalls, 40)
    assert not len(frugal._keys._memories)
    torch.testing.assert_close(found, plain.attend(FEATURES[:2], recalls, 40), atol=2e-4, rtol=2e-4)


def test_a_model_that_learns_projects_every_time(recalls):
    model = sam21().model
    reader = MemoryReader(model, keep_keys=True)
    attended = reader.attend(FEATURES, recalls, 40)
    assert attended.requires_grad
    assert not len(reader._keys._memories)
