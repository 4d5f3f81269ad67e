"""Damaged masks: near the object, of either kind, and never of what is absent."""

import torch

from napari_surgisam.training.mistakes import SURE, with_mistakes


def _scene(count: int):
    truth = torch.zeros(count, 64, 64, dtype=torch.bool)
    truth[:, 20:36, 24:40] = True
    labels = truth.byte()
    labels[:, :, 40:] = 7
    logits = torch.where(truth, 3.0, -3.0)
    return logits, truth, labels


def test_half_leak_into_what_lies_beside_and_the_others_lose_a_piece():
    logits, truth, labels = _scene(200)
    damaged = with_mistakes(logits, truth, labels, torch.Generator().manual_seed(0)) > 0
    extra, lost = (damaged & ~truth).flatten(1).sum(1), (truth & ~damaged).flatten(1).sum(1)
    leaks = (extra > 0).float().mean()
    assert 0.35 < leaks < 0.65
    assert not ((extra > 0) & (lost > 0)).any()
    assert ((extra > 0) | (lost > 0)).float().mean() > 0.95
    assert (lost[extra == 0] < 256).float().mean() > 0.6  # something is left of most
    rows = (damaged & ~truth).any(0).any(1).nonzero()[:, 0]
    assert rows.min() > 5 and rows.max() < 50  # near it


def test_half_of_the_leaks_end_where_the_region_ends():
    logits, truth, labels = _scene(300)
    damaged = with_mistakes(logits, truth, labels, torch.Generator().manual_seed(1)) > 0
    extra = damaged & ~truth
    right, left = extra[:, :, 40:].flatten(1).any(1), extra[:, :, :40].flatten(1).any(1)
    leaks = right | left
    assert 0.1 < (right & left)[leaks].float().mean() < 0.45


def test_what_is_absent_stays_and_no_gradient_flows():
    logits, truth, labels = _scene(4)
    truth[1] = False
    damaged = with_mistakes(
        logits.requires_grad_(), truth, labels, torch.Generator().manual_seed(2)
    )
    assert torch.equal(damaged[1], logits[1].detach())
    assert not damaged.requires_grad
    assert damaged.abs().amax() <= SURE
