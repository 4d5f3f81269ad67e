"""With its thresholds off, every policy is SAM 2's rule to the last bit, in a real network."""

import numpy as np
import pytest
import torch
from sensitive import rescale, write_film

from napari_surgisam.data.prompts import Box, MaskPrompt, Point, Prompt
from napari_surgisam.engine.embeddings import EmbeddingCache
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.policies import POLICIES, RecentFrames, parse_policy
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.formats.sources import open_source

pytestmark = pytest.mark.sam2

SIZE, LENGTH = 128, 18

NEUTRAL = {
    "sam2": "sam2",
    "efficient-pruning": "efficient-pruning:prune=0",
    "split-pruning": "split-pruning:prune=0",
    "diverse": "diverse:min_iou=1.1",
    "confident": "confident:min_trust=-1",
    "occlusion-resilient": "occlusion-resilient:min_context=0,frozen=0",
    "distractor-aware": "distractor-aware:anchors=0,stride=1,visible_only=no",
    "motion-aware": "motion-aware:weight=0,min_iou=-1,min_presence=-inf,min_motion=-inf",
}
TOUCHY = {  # settings under which these weights, whose masks are nonsense, show a difference
    "efficient-pruning": "efficient-pruning",
    "split-pruning": "split-pruning",
    "diverse": "diverse:min_iou=0,run=2",
    "confident": "confident:min_trust=1",
    "occlusion-resilient": "occlusion-resilient:min_context=1,frozen=0",
    "distractor-aware": "distractor-aware:min_iou=0",
    "motion-aware": "motion-aware:min_iou=1",
}


@pytest.fixture(scope="module")
def network():
    from napari_surgisam.engine.sam2_network import load_sam2

    torch.manual_seed(0)
    network = load_sam2(
        "configs/sam2.1/sam2.1_hiera_t.yaml", None, image_size=SIZE, encoder_fingerprint="tiny"
    )
    rescale(network.model)
    return network


@pytest.fixture(scope="module")
def cache():
    return EmbeddingCache()


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return open_source(write_film(tmp_path_factory.mktemp("film") / "film", LENGTH))


def tracked(network, cache, film, policy):
    """Return every answer of passes both ways, with several conditioning frames."""
    rows, columns = np.ogrid[:90, :120]
    session = Session(film, Tracker(network, policy, cache))
    for prompt in (
        Prompt(1, 4, (Point(30, 32),)),
        Prompt(1, 8, (Point(30, 44),)),
        Prompt(1, 15, box=Box(15, 50, 45, 80)),
        MaskPrompt(2, 10, (rows - 60) ** 2 + (columns - 70) ** 2 < 144),
    ):
        session.set_prompt(prompt)
    return {
        (object_id, event.frame): prediction
        for event in session.propagate(Plan("outward"))
        for object_id, prediction in event.predictions.items()
    }


@pytest.fixture(scope="module")
def stock(network, cache, film):
    return tracked(network, cache, film, RecentFrames())


def test_every_policy_has_a_neutral_form():
    assert NEUTRAL.keys() == POLICIES.keys()
    assert TOUCHY.keys() == POLICIES.keys() - {"sam2"}


@pytest.mark.parametrize("name", NEUTRAL)
def test_turned_neutral_it_is_sam2s_rule_bit_for_bit(name, network, cache, film, stock):
    ours = tracked(network, cache, film, parse_policy(NEUTRAL[name]))
    assert ours.keys() == stock.keys()
    assert len(ours) == 2 * LENGTH
    for key, answer in ours.items():
        assert answer.choice == stock[key].choice
        assert torch.equal(answer.logits, stock[key].logits)
        assert torch.equal(answer.pointers, stock[key].pointers)
        assert torch.equal(answer.presence, stock[key].presence)


@pytest.mark.parametrize("name", TOUCHY)
def test_otherwise_it_changes_what_the_network_sees(name, network, cache, film, stock):
    ours = tracked(network, cache, film, parse_policy(TOUCHY[name]))
    assert any(not torch.equal(ours[key].logits, stock[key].logits) for key in stock)
