from dataclasses import asdict

import pytest
import torch

from napari_surgisam.data.prompts import Box, Point
from napari_surgisam.engine import click_agreement
from napari_surgisam.engine.compact_network import CompactConfig, CompactSam, load_compact
from napari_surgisam.engine.memory import Recall
from napari_surgisam.engine.network import Query
from napari_surgisam.errors import ModelError

pytestmark = pytest.mark.sam2

SMALL = CompactConfig(
    image_size=64, trunk_channels=(8, 16, 16, 16), trunk_blocks=(1, 1, 1, 1), width=64
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return load_compact(SMALL, None)


def test_the_default_fits_into_sixteen_megabytes():
    parameters = sum(p.numel() for p in CompactSam(CompactConfig()).state_dict().values())
    assert 2 * parameters <= 16e6


def test_a_configuration_survives_json_and_refuses_what_it_does_not_know():
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(SMALL).items()}
    assert CompactConfig.from_dict(values) == SMALL
    with pytest.raises(ModelError, match="'depth'"):
        CompactConfig.from_dict({**values, "depth": 3})


@torch.no_grad()
def test_verbs_give_the_shapes_of_the_protocol(network):
    first, second = network.embed(torch.randint(0, 256, (2, 3, 48, 80), dtype=torch.uint8))
    queries = [Query(points=(Point(10, 20),)), Query(box=Box(2, 3, 20, 40))]
    click, box = network.segment(first, queries)
    assert click.logits.shape == (3, 16, 16)
    assert box.logits.shape == (1, 16, 16)
    memories = network.remember(first, [click, box], frame=0)
    recall = Recall(((0, memories[0]),), ((1, memories[0]),))
    (tracked,) = network.segment(second, [Query(recall=recall, clip_length=2)])
    assert tracked.logits.shape == (3, 16, 16)
    assert not tracked.prompted


def test_prompts_are_drawn_where_they_lie(network):
    encoder = network.model.sam_prompt_encoder
    points = torch.tensor([[[8.0, 40.0], [56.0, 8.0]], [[10.0, 20.0], [40.0, 50.0]]])
    maps = encoder.draw(points, torch.tensor([[1, 0], [2, 3]]))
    assert maps.shape == (2, 3, 16, 16)
    positive, negative, box = maps[0]
    assert divmod(int(positive.argmax()), 16) == (10, 2)
    assert divmod(int(negative.argmax()), 16) == (2, 14)
    assert box.sum() == 0
    rows, columns = maps[1, 2].nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max())) == (5, 12)
    assert (int(columns.min()), int(columns.max())) == (3, 9)


@torch.no_grad()
def test_a_mask_agrees_with_the_clicks(network):
    (seen,) = network.embed(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8))
    places = [Point(y, x, positive=(y + x) % 3 > 0) for y in (5, 30, 50) for x in (9, 41, 60)]
    (answer,) = network.segment(seen, [Query(points=tuple(places))])
    for point in places:
        logit = answer.logits[0, int(point.y // 4), int(point.x // 4)]
        assert logit >= 4 if point.positive else logit <= -4
    network.model.train()
    (learning,) = network.segment(seen, [Query(points=tuple(places))])
    network.model.eval()
    assert learning.logits.abs().max() < 4


@torch.no_grad()
def test_a_click_moves_more_than_its_own_cell(network, monkeypatch):
    (seen,) = network.embed(torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8))
    asked = [Query(points=(Point(30, 30, positive=False),))]
    (moved,) = network.segment(seen, asked)
    monkeypatch.setattr(click_agreement, "agree", lambda masks, *_: masks)
    (held,) = network.segment(seen, asked)
    changed = moved.logits < held.logits - 0.01
    assert changed[0].sum() > 4


@torch.no_grad()
def test_a_click_attends_to_its_own_place_from_the_start():
    torch.manual_seed(0)
    model = CompactSam(CompactConfig())
    encoder = model.sam_prompt_encoder
    attention = model.sam_mask_decoder.transformer.layers[0].cross_attn_token_to_image
    keys = attention.k_proj(encoder.get_dense_pe().flatten(2).permute(0, 2, 1))
    hits = 0
    for x, y in ((40.0, 40.0), (200.0, 60.0), (120.0, 230.0)):
        point = encoder.pe_layer.forward_with_coords(torch.tensor([[[x, y]]]), (256, 256))
        place = int((attention.q_proj(point) @ keys.transpose(1, 2)).argmax())
        row, column = divmod(place, 16)
        hits += abs(row - y / 16) < 2 and abs(column - x / 16) < 2
    assert hits == 3


def test_weights_do_not_depend_on_the_image_size(network):
    state = network.model.state_dict()
    larger = load_compact(SMALL, state, image_size=128)
    assert larger.mask_size == 32
    assert larger.image_size == 128
