import pytest
import torch
from torch import nn

from napari_surgisam.errors import ModelError
from napari_surgisam.training.adapters import insert_adapters, merged_state
from napari_surgisam.training.losses import LossWeights, masklet_loss, softened
from napari_surgisam.training.recipes import (
    RECIPES,
    choose_recipe,
    freeze,
    parameter_groups,
    part_of,
    resting_modules,
)


class _Trunk(nn.Module):
    """The names that matter of SAM 2's: a trunk of three blocks, a decoder."""

    def __init__(self):
        super().__init__()
        self.image_encoder = nn.Module()
        self.image_encoder.trunk = nn.Module()
        self.image_encoder.trunk.patch_embed = nn.Conv2d(3, 8, 7, stride=4, padding=3)
        self.image_encoder.trunk.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.image_encoder.neck = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.sam_mask_decoder = nn.Module()
        self.sam_mask_decoder.conv_s0 = nn.Conv2d(8, 4, 1)
        self.sam_mask_decoder.q_proj = nn.Linear(8, 8)


def test_every_recipe_names_its_source():
    assert all(recipe.name == name and recipe.source for name, recipe in RECIPES.items())
    with pytest.raises(ModelError, match="Known"):
        choose_recipe("none")


def test_what_an_embedding_depends_on_is_the_encoder():
    assert part_of("sam_mask_decoder.conv_s0.weight") == "encoder"
    assert part_of("sam_mask_decoder.transformer.x") == "decoder"
    assert part_of("maskmem_tpos_enc") == "memory"
    assert part_of("class_prompts.tokens") == "classes"
    assert part_of("a.parametrizations.weight.0.up") == "adapters"


def test_deeper_layers_learn_faster():
    model = _Trunk()
    freeze(model, RECIPES["biosam2"])
    groups = parameter_groups(model, RECIPES["biosam2"])
    names = {id(p): n for n, p in model.named_parameters()}
    scales = {names[id(p)]: g["scale"] for g in groups for p in g["params"]}
    trunk = "image_encoder.trunk."
    assert scales[f"{trunk}blocks.2.weight"] == pytest.approx(0.9)
    assert scales[f"{trunk}blocks.0.weight"] == pytest.approx(0.9**3)
    assert scales[f"{trunk}patch_embed.weight"] == pytest.approx(0.9**4)
    assert scales["image_encoder.neck.0.weight"] == scales["sam_mask_decoder.q_proj.weight"] == 1


def test_frozen_parts_and_statistics_rest():
    model = _Trunk()
    freeze(model, RECIPES["decoder-only"])
    resting = resting_modules(model)
    assert model.image_encoder.trunk in resting
    assert model.image_encoder.neck[1] in resting
    assert model.sam_mask_decoder.q_proj not in resting
    assert not model.sam_mask_decoder.conv_s0.weight.requires_grad


@pytest.mark.parametrize(("kind", "count"), [("lora", 1), ("dilated", 1)])
def test_adapters_start_at_nothing_and_merge_exactly(kind, count):
    model = _Trunk()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert insert_adapters(model, kind) == count
    assert all(
        torch.equal(before[n], v) for n, v in merged_state(model, model.state_dict()).items()
    )
    module = (
        model.sam_mask_decoder.q_proj if kind == "lora" else model.image_encoder.trunk.patch_embed
    )
    with torch.no_grad():
        for parameter in module.parametrizations.weight[0].parameters():
            parameter.normal_()
    merged = merged_state(model, model.state_dict())
    assert set(merged) == set(before)
    moved = [name for name in before if not torch.equal(before[name], merged[name])]
    assert len(moved) == 1
    assert torch.equal(merged[moved[0]], module.weight)


def test_a_seven_pixel_kernel_has_places_for_both_dilations():
    model = _Trunk()
    insert_adapters(model, "dilated")
    convolution = model.image_encoder.trunk.patch_embed
    before = convolution.parametrizations.weight.original
    with torch.no_grad():
        convolution.parametrizations.weight[0].up.fill_(1.0)
    change = (convolution.weight - before).abs().sum((0, 1)) > 1e-6
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[2:5, 2:5] = True
    expected[::3, ::3] = True
    assert torch.equal(change, expected)


def test_a_model_without_such_weights_takes_no_adapters():
    with pytest.raises(ModelError, match="no weight that takes lora"):
        insert_adapters(nn.Sequential(nn.Conv2d(3, 3, 1)), "lora")


def test_softened_labels_keep_their_sum_and_blur_only_the_outline():
    target = torch.zeros(1, 16, 16)
    target[:, 4:12, 4:12] = 1
    soft = softened(target, 1.0)
    assert soft.sum() == pytest.approx(float(target.sum()), rel=1e-4)
    assert soft[0, 8, 8] == pytest.approx(1.0)
    assert soft[0, 8, 1] == 0
    assert 0.5 < soft[0, 8, 4] < 0.8
    right = (target * 2 - 1)[:, None] * 8
    arguments = (right, torch.ones(1, 1), torch.tensor([8.0]), target)
    sharp = masklet_loss(*arguments, LossWeights())
    assert masklet_loss(*arguments, LossWeights(soften=1)) > sharp


def test_the_focal_loss_is_that_of_sam2():
    """Against torchvision's, for one mask and every other term off."""
    from torchvision.ops import sigmoid_focal_loss

    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 8, 8), (torch.rand(2, 8, 8) > 0.5).float()
    only = LossWeights(entropy=0, dice=0, iou=0, presence=0, others=0, focal=1)
    found = masklet_loss(logits, torch.ones(2, 1), torch.zeros(2), target, only)
    expected = sigmoid_focal_loss(logits[:, 0], target, alpha=0.25, gamma=2).mean()
    assert found == pytest.approx(float(expected), rel=1e-5)
