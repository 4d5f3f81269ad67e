"""Attention as products: the same answers, only where it pays, and for one model alone."""

import pytest
import torch
import torch.nn.functional as F

from napari_surgisam.engine import cpu_attention, devices, sam2_network
from napari_surgisam.engine.cpu_attention import attention, multiply_attention

HALF = torch.bfloat16


def tokens(heads=2, queries=50, keys=70, width=24, seed=0):
    torch.manual_seed(seed)
    return [torch.randn(1, heads, n, width, dtype=HALF) for n in (queries, keys, keys)]


@pytest.mark.parametrize("scores", [1 << 22, 2 * 70 * 7])
def test_products_give_attention_whole_and_in_parts(monkeypatch, scores):
    monkeypatch.setattr(cpu_attention, "SCORES", scores)
    q, k, v = tokens()
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    ours = attention(q, k, v)
    assert ours.dtype == HALF
    assert (ours.double() - exact).abs().max() < 0.02
    uniform = attention(torch.zeros_like(q), k, v)
    torch.testing.assert_close(
        uniform, v.float().mean(-2, True).expand_as(q).to(HALF), atol=0.01, rtol=0
    )


@pytest.fixture
def counted(monkeypatch):
    calls = []

    def counting(*args):
        calls.append(args)
        return attention(*args)

    monkeypatch.setattr(cpu_attention, "attention", counting)
    return calls


class Layer(torch.nn.Module):
    def forward(self, q, k, v, *, dropout_p=0.0):
        return F.relu(F.scaled_dot_product_attention(q, k, v, dropout_p=dropout_p))


def test_only_inference_in_bfloat16_multiplies_and_other_models_never(counted):
    model, other = torch.nn.Sequential(Layer()), torch.nn.Sequential(Layer())
    multiply_attention(model)
    q, k, v = tokens()
    with torch.autocast("cpu", HALF):
        model[0](q, k, v)  # gradients are wanted
        with torch.no_grad():
            other[0](q, k, v)
            model[0](q, k, v, dropout_p=0.5)
    with torch.no_grad():
        model[0](q.float(), k.float(), v.float())
    assert not counted
    with torch.no_grad(), torch.autocast("cpu", HALF):
        found = model[0](q.float(), k.float(), v.float())
    assert len(counted) == 1
    torch.testing.assert_close(found, other[0](q, k, v), atol=0.02, rtol=0)


def test_a_model_that_learns_multiplies_if_told(counted):
    model = torch.nn.Sequential(Layer())
    multiply_attention(model, learning=True)
    q, k, v = (part.float().requires_grad_() for part in tokens())
    with torch.autocast("cpu", HALF):
        model[0](q, k, v).float().square().mean().backward()
    assert len(counted) == 1
    ours = [part.grad.clone() for part in (q, k, v)]
    for part in (q, k, v):
        part.grad = None
    F.relu(F.scaled_dot_product_attention(q, k, v)).square().mean().backward()
    for found, exact in zip(ours, (q.grad, k.grad, v.grad), strict=True):
        assert F.cosine_similarity(found.flatten(), exact.flatten(), dim=0) > 0.99


@pytest.mark.parametrize(
    ("features", "slow"),
    [({"avx512_bf16"}, True), ({"avx512_bf16", "amx_bf16"}, False), (set(), False)],
)
def test_products_are_for_processors_without_tiles(monkeypatch, features, slow):
    monkeypatch.setattr(devices, "_cpu_features", lambda: features)
    expected = slow and torch.backends.mkldnn.is_available()
    assert devices.has_slow_attention(torch.device("cpu")) == expected
    assert not devices.has_slow_attention(torch.device("meta"))


@pytest.mark.sam2
def test_sam2_answers_alike_and_positions_are_computed_once(monkeypatch, counted):
    config, image = "configs/sam2.1/sam2.1_hiera_t.yaml", torch.randint(0, 255, (1, 3, 60, 80))
    maps = []
    for slow in (False, True):
        monkeypatch.setattr(sam2_network, "has_slow_attention", lambda device, slow=slow: slow)
        torch.manual_seed(0)
        network = sam2_network.load_sam2(config, None, image_size=128, precision=HALF)
        with torch.no_grad():
            maps.append(network.embed(image.byte())[0].features)
            first = network.model.image_encoder.trunk._get_pos_embed((32, 32))
            assert network.model.image_encoder.trunk._get_pos_embed((32, 32)) is first
            network.model.image_encoder.trunk.pos_embed.add_(1)
            changed = network.model.image_encoder.trunk._get_pos_embed((32, 32))
        assert (changed - first).mean() == pytest.approx(1, abs=1e-3)
    assert counted
    difference = (maps[0] - maps[1]).abs().mean() / maps[0].abs().mean()
    assert 0 < difference < 0.03
