"""Weights rounded once give what autocast gives that rounds them every time."""

import pytest
import torch

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.compact_network import CompactConfig, load_compact
from napari_surgisam.engine.memory import Recall
from napari_surgisam.engine.network import Query
from napari_surgisam.engine.rounding import ROUNDED_LAYERS, round_weights
from napari_surgisam.engine.sam2_network import load_sam2

HALF = torch.bfloat16


def compact():
    return load_compact(CompactConfig(image_size=64), None, precision=HALF)


def sam2():
    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    return load_sam2(config, None, image_size=128, precision=HALF)


@torch.no_grad()
def answers(network):
    """Return everything that the three verbs compute, memory attention included."""
    torch.manual_seed(1)
    first, second = network.embed(torch.randint(0, 255, (2, 3, 90, 120)).byte())
    clicked = network.segment(first, [Query(points=(Point(40, 50), Point(9, 9, False)))])
    (memory,) = network.remember(first, clicked, 0)
    recall = Recall(((0, memory),), ((1, memory),))
    tracked = network.segment(second, [Query(recall=recall, clip_length=2)])
    return [
        *(first.features, *first.high_resolution, memory.tokens),
        *(getattr(p, name) for p in clicked + tracked for name in ("logits", "ious", "pointers")),
    ]


@pytest.mark.sam2
@pytest.mark.parametrize("build", [compact, sam2])
def test_answers_stay_the_same(build):
    """To the bit with AMX; elsewhere oneDNN may choose kernels that differ in the last one."""
    torch.manual_seed(0)
    network = build()
    before = answers(network)
    round_weights(network.model, HALF)
    layers = [m for m in network.model.modules() if isinstance(m, ROUNDED_LAYERS)]
    assert {p.dtype for layer in layers for p in layer.parameters()} == {HALF}
    for one, other in zip(before, answers(network), strict=True):
        torch.testing.assert_close(one, other, rtol=2**-7, atol=2**-11)


def test_nothing_is_rounded_for_float32():
    layer = torch.nn.Linear(3, 2)
    round_weights(layer, torch.float32)
    assert layer.weight.dtype == torch.float32
