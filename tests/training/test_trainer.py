import csv

import pytest
import torch
from safetensors.torch import load_file

from napari_surgisam.engine.compact_network import CompactConfig
from napari_surgisam.errors import JobError, ModelError
from napari_surgisam.training import pretraining
from napari_surgisam.training.checkpoints import read_metadata
from napari_surgisam.training.pretraining import PretrainOptions, pretrain
from napari_surgisam.training.trainer import FitOptions

pytestmark = pytest.mark.sam2

SMALL = CompactConfig(
    image_size=64, trunk_channels=(8, 16, 16, 16), trunk_blocks=(1, 1, 1, 1), width=64,
    memory_layers=1, refine_blocks=1,
)  # fmt: skip
LESSONS = PretrainOptions(image_steps=1, images=2, clips=1, frames=3)


def _train(out, steps, **arguments):
    options = FitOptions(steps=steps, check_every=2, warmup=2, **arguments.pop("fit", {}))
    return list(pretrain(out, options, LESSONS, config=SMALL, precision=torch.float32, **arguments))


def test_a_run_writes_weights_state_and_curves(tmp_path):
    out = tmp_path / "model.safetensors"
    events = _train(out, 4)
    assert [event.done for event in events] == [1, 2, 3, 4]
    assert events[-1].prompts > 0
    assert set(events[-1].validation) == {"click 1", "click 3", "clip"}
    facts = read_metadata(out)
    assert facts["step"] == 4
    assert facts["prompts"] == events[-1].prompts
    assert facts["config"]["width"] == 64
    assert all(v.dtype != torch.float32 for v in load_file(out).values())
    with out.with_suffix(".curves.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["2", "4"]


def test_weights_learn_and_frozen_statistics_do_not_leak(tmp_path):
    out = tmp_path / "model.safetensors"
    _train(out, 2)
    before = load_file(out)
    _train(out, 4, resume=True)
    after = load_file(out)
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert any("trunk" in name for name in moved)
    assert any("mask_decoder" in name for name in moved)
    assert any("memory_attention" in name for name in moved)


def test_resume_goes_on_from_the_state(tmp_path):
    out = tmp_path / "model.safetensors"
    _train(out, 2)
    events = _train(out, 4, resume=True)
    assert [event.done for event in events] == [3, 4]


def test_resume_from_weights_alone(tmp_path):
    out = tmp_path / "model.safetensors"
    _train(out, 2)
    prompts = read_metadata(out)["prompts"]
    out.with_suffix(".state.pt").unlink()
    events = _train(out, 3, resume=True)
    assert [event.done for event in events] == [3]
    assert events[0].prompts > prompts


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(ModelError, match="nothing to resume"):
        _train(tmp_path / "model.safetensors", 2, resume=True)


def test_a_collapse_rolls_back_and_gives_up_in_the_end(tmp_path, monkeypatch):
    out = tmp_path / "model.safetensors"
    _train(out, 2)
    good = load_file(out)
    scores = iter([0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    monkeypatch.setattr(
        pretraining._Validation, "__call__", lambda self, practice: {"click 1": next(scores)}
    )
    out.with_suffix(".curves.csv").unlink()
    options = FitOptions(steps=40, check_every=2, warmup=2)
    run = pretrain(out, options, LESSONS, config=SMALL, precision=torch.float32, resume=True)
    seen = []
    with pytest.raises(JobError, match="Lower the learning rate"):
        seen.extend(event.message for event in run)
    assert sum("collapsed" in message for message in seen) == 3
    assert set(load_file(out)) == set(good)
    assert read_metadata(out)["validation"] == {"click 1": 0.9}
