import pytest
import torch

from napari_surgisam.training.losses import LossWeights, binary_iou, covers, masklet_loss


def _square(size=16, low=4, high=12):
    target = torch.zeros(1, size, size)
    target[:, low:high, low:high] = 1
    return target


def _loss(logits, target, *, iou=1.0, presence=8.0, **weights):
    ious = torch.full(logits.shape[:2], iou)
    return masklet_loss(logits, ious, torch.tensor([presence]), target, LossWeights(**weights))


def test_a_right_mask_costs_next_to_nothing():
    target = _square()
    logits = (target * 2 - 1)[:, None] * 20
    assert float(_loss(logits, target)) < 0.01


def test_only_the_best_candidate_is_pulled_on():
    target = _square()
    logits = torch.stack([(target[0] * 2 - 1) * 20, torch.zeros(16, 16)])[None].requires_grad_()
    _loss(logits, target, others=0.0).backward()
    worst, best = logits.grad[0, 1], logits.grad[0, 0]
    assert worst.abs().sum() == 0
    assert torch.isfinite(best).all()


def test_an_absent_object_trains_presence_alone():
    logits = torch.zeros(1, 3, 16, 16, requires_grad=True)
    presence = torch.tensor([3.0], requires_grad=True)
    guess = torch.full((1, 3), 0.7)
    alone = LossWeights(empty=0)
    masklet_loss(logits, guess, presence, torch.zeros(1, 16, 16), alone).backward()
    assert logits.grad.abs().sum() == 0
    assert presence.grad.item() > 0.3


def test_an_absent_object_empties_its_mask_where_that_is_asked_for():
    logits = torch.zeros(2, 3, 16, 16, requires_grad=True)
    target = torch.cat([_square(), torch.zeros(1, 16, 16)])
    masklet_loss(
        logits, torch.full((2, 3), 0.7), torch.zeros(2), target, LossWeights(empty=0.5)
    ).backward()
    assert (logits.grad[1] >= 0).all()
    assert logits.grad[1].sum() > 0


def test_an_absent_object_counts_for_more_than_one_that_is_there():
    nothing, logits = torch.zeros(1, 16, 16), torch.zeros(1, 1, 16, 16)
    once, ten = (
        float(_loss(logits, nothing, presence=3.0, absent=n, empty=0)) for n in (1.0, 10.0)
    )
    assert ten == pytest.approx(10 * once)


def test_predicted_iou_is_pulled_to_the_true_one():
    target = _square()
    logits = (target * 2 - 1)[:, None] * 20
    right = float(_loss(logits, target))
    assert float(_loss(logits, target, iou=0.5)) - right == pytest.approx(
        LossWeights().iou * 0.25, abs=1e-3
    )


def test_iou_of_empty_masks_is_zero():
    assert float(binary_iou(torch.zeros(4, 4), torch.zeros(4, 4))) == 0


def test_coverage_of_a_pixel_is_its_share_of_the_mask():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, :4, :2] = True
    assert covers(mask, 2)[0].tolist() == [[0.5, 0.0], [0.0, 0.0]]
