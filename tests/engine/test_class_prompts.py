import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.checkpoints import (
    CLASS_TOKENS,
    Checkpoint,
    read_checkpoint,
    read_classes,
    write_checkpoint,
)
from napari_surgisam.engine.class_prompts import class_objects, with_class_prompts
from napari_surgisam.engine.importing import import_checkpoint
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.network import Query
from napari_surgisam.errors import ModelError, PromptError

pytestmark = pytest.mark.sam2

CLASSES = {"hook": 4, "liver": 2}


@pytest.fixture(scope="module")
def compact():
    from napari_surgisam.engine.compact_network import CompactConfig, load_compact

    torch.manual_seed(0)
    config = CompactConfig(
        image_size=64, trunk_channels=(8, 8, 16, 16), trunk_blocks=(1, 1, 1, 1), width=64,
        memory_layers=1, refine_blocks=1,
    )  # fmt: skip
    state = load_compact(config, None).model.state_dict()
    return Checkpoint("compact", json.dumps(asdict(config)), 64, state)


@pytest.fixture
def model(compact, tmp_path):
    path = tmp_path / "named.safetensors"
    write_checkpoint(path, with_class_prompts(compact, CLASSES, seed=1), {"note": "tuned"})
    return path


def _answers(network, queries):
    image = torch.randint(0, 255, (1, 3, 48, 64), dtype=torch.uint8, generator=_seeded())
    with torch.no_grad():
        return network.segment(network.embed(image)[0], queries)


def _seeded():
    return torch.Generator().manual_seed(3)


def test_a_file_keeps_the_prompts_of_its_classes(model):
    assert read_classes(model) == CLASSES
    checkpoint = read_checkpoint(model)
    assert list(checkpoint.classes) == ["hook", "liver"]
    assert checkpoint.state[CLASS_TOKENS].shape == (2, 8, 64)
    assert read_classes(model.with_suffix(".pt")) == {}


def test_each_class_is_asked_for_by_its_own_prompt(model, compact):
    network = load_network(model, device="cpu", precision="float32")
    assert network.classes == CLASSES
    names = ["liver", "hook", "liver"]
    answers = _answers(network, [Query(class_name=name) for name in names])
    assert torch.equal(answers[0].logits, answers[2].logits)
    assert not torch.allclose(answers[0].logits, answers[1].logits, atol=1e-4)
    assert not any(answer.prompted for answer in answers)
    assert all(answer.logits.shape[0] == 3 for answer in answers)
    # alone, and beside a click, the answer is the same
    (alone,) = _answers(network, [Query(class_name="hook")])
    mixed = _answers(network, [Query(points=(Point(20, 20),)), Query(class_name="hook")])
    assert torch.allclose(alone.logits, mixed[1].logits, atol=1e-5)
    click = Query(points=(Point(20, 20),))
    path = model.with_name("plain.safetensors")
    write_checkpoint(path, compact)
    (before,) = _answers(load_network(path, device="cpu", precision="float32"), [click])
    assert torch.equal(before.logits, mixed[0].logits)


def test_an_unknown_class_is_refused_with_those_that_are_known(model):
    network = load_network(model, device="cpu", precision="float32")
    with pytest.raises(PromptError, match="no class 'spleen': it knows hook, liver"):
        _answers(network, [Query(class_name="spleen")])
    with pytest.raises(PromptError, match="it knows none"):
        _answers(load_network("embedded", device="cpu"), [Query(class_name="liver")])
    with pytest.raises(ModelError, match="--recipe classes"):
        class_objects({}, "embedded")
    assert class_objects(CLASSES, "named") == {4: "hook", 2: "liver"}


def test_prompts_that_are_known_are_kept_when_classes_are_added(model):
    before = read_checkpoint(model)
    more = with_class_prompts(before, {"fat": 1, "liver": 2}, seed=2)
    assert dict(more.classes) == {"fat": 1, "liver": 2}
    assert torch.equal(more.state[CLASS_TOKENS][1], before.state[CLASS_TOKENS][1])
    again = with_class_prompts(before, {"fat": 1, "liver": 2}, seed=2)
    assert torch.equal(again.state[CLASS_TOKENS], more.state[CLASS_TOKENS])
    assert before.encoder_fingerprint() == more.encoder_fingerprint()


def test_an_imported_model_keeps_its_classes(model, tmp_path, monkeypatch):
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path / "cache"))
    assert import_checkpoint(model).name == "named"
    assert load_network("named", device="cpu").classes == CLASSES


def test_names_without_prompts_are_noticed(model):
    state = load_file(model)
    facts = {
        "architecture": json.dumps("compact"),
        "config": read_checkpoint(model).config,
        "class_prompts": json.dumps({"hook": 4}),
    }
    save_file(state, model, metadata=facts)
    with pytest.raises(ModelError, match="differ in number"):
        read_checkpoint(model)
