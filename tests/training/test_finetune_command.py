import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
from fakes import MovingDiscs
from films import truth_of
from safetensors.torch import load_file
from typer.testing import CliRunner

from napari_surgisam.cli import app
from napari_surgisam.engine.checkpoints import Checkpoint, write_checkpoint
from napari_surgisam.engine.registry import available_models
from napari_surgisam.training.checkpoints import read_metadata

pytestmark = pytest.mark.sam2

BRIEF = ["--device", "cpu", "--precision", "float32", "--threads", "1", "--samples-per-class", "2"]


@pytest.fixture
def data(tmp_path):
    """Three films with their labels, pairs by name."""
    folder = tmp_path / "films"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(3):
        discs = MovingDiscs(length=5 + number, levels=(230, 140), shape=(48, 64))
        images = np.stack([discs.read(frame)[..., 0] for frame in range(len(discs))])
        np.save(folder / "images" / f"film{number}.npy", images)
        labels = folder / "labels" / f"film{number}.tif"
        tifffile.imwrite(labels, truth_of(discs), photometric="minisblack")
    return folder


def _run(*arguments):
    return CliRunner().invoke(app, ["finetune", *map(str, arguments), *BRIEF])


def test_programs_read_events_and_the_model_is_in_the_list(data, small_model, tmp_path):
    out = tmp_path / "mine.safetensors"
    result = _run(data, "--base", small_model, "--epochs", 2, "--events", "-", "--out", out, "-q")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [e["event"] for e in events] == ["planned", "step", "step", "step", "finished"]
    assert events[0]["facts"]["classes"] == {"1": 2, "2": 2}
    assert [e["done"] for e in events[1:4]] == [0, 1, 2]
    assert events[1]["loss"] is None
    assert set(events[1]["validation"]) == {"dsc", "dsc 1", "dsc 2"}
    assert events[-1]["name"] == "mine"
    assert set(events[-1]["after"]) == set(events[-1]["before"])
    assert "mine" in available_models()
    listed = CliRunner().invoke(app, ["models", "list"]).stdout
    assert "mine\tyes" in listed
    plan = json.loads(out.with_suffix(".plan.json").read_text())
    assert len(plan["samples"]) == 4
    again = _run(data, "--base", small_model, "--out", out)
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_check_says_what_would_be_trained_and_writes_nothing(data, small_model, tmp_path):
    before = sorted(tmp_path.iterdir())
    result = _run(data, "--base", small_model, "--check", "--out", tmp_path / "m.safetensors")
    assert result.exit_code == 0, result.output
    assert "samples: 1 2, 2 2" in result.stdout
    assert "training cases: 2" in result.stdout
    assert "validation cases: 1" in result.stdout
    assert "time per epoch" in result.stdout
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--out", "m.pt"], "ends in .safetensors", id="ending"),
        pytest.param(["--out", "embedded.safetensors"], "another model 'embedded'", id="name"),
        pytest.param(
            ["--out", "m.safetensors", "--recipe", "x"], "There is no recipe", id="recipe"
        ),
        pytest.param(
            ["--out", "m.safetensors", "--samples-per-class", "few"], "number, or all", id="samples"
        ),
        pytest.param(["--out", "m.safetensors", "--resume"], "nothing to resume", id="resume"),
    ],
)
def test_wrong_input_is_refused_with_an_event(data, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    given = [*BRIEF[:6], "--events", "events.jsonl", *arguments]
    result = CliRunner().invoke(app, ["finetune", str(data), *given])
    assert result.exit_code == 2
    assert said in result.stderr
    if "few" not in arguments:
        event = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
        assert event["event"] == "failed"
        assert said in event["message"]


def _command(*arguments):
    return [sys.executable, "-m", "napari_surgisam", "finetune", *map(str, arguments), *BRIEF]


@pytest.mark.parametrize("recipe", ["biosam2", "classes"])
def test_after_kill_9_a_resumed_run_ends_with_the_same_weights(data, small_model, tmp_path, recipe):
    options = [data, "--base", small_model, "--epochs", 3, "--recipe", recipe, "-q"]
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    subprocess.run(_command(*options, "--out", whole), check=True, timeout=300)
    started = subprocess.Popen(
        _command(*options, "--out", cut, "--events", "-"), stdout=subprocess.PIPE, text=True
    )
    for line in started.stdout:
        if json.loads(line).get("done") == 2 and '"step"' in line:
            os.kill(started.pid, signal.SIGKILL)
            break
    started.wait(60)
    started.stdout.close()
    assert started.returncode == -signal.SIGKILL
    subprocess.run(_command(*options, "--out", cut, "--resume"), check=True, timeout=300)
    states = [torch.load(path.with_suffix(".state.pt"), weights_only=True) for path in (whole, cut)]
    for kept in ("model", "averaged"):
        assert all(torch.equal(states[0][kept][n], states[1][kept][n]) for n in states[0][kept])
    one, other = load_file(whole), load_file(cut)
    assert all(torch.equal(one[name], other[name]) for name in one)


def _losses(path):
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [e["loss"] for e in events if e["event"] == "step" and e["loss"] is not None]


def test_two_processes_learn_as_one_with_twice_the_batch(data, small_model, tmp_path):
    """The same clips, clicks and steps, over gloo: equal losses, within rounding."""
    options = [data, "--base", small_model, "--epochs", 2, "--val-fraction", 0, "-q"]
    options += ["--recipe", "biosam2"]
    logs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    one = _command(
        *options, "--batch", 4, "--events", logs[0], "--out", tmp_path / "one.safetensors"
    )
    subprocess.run(one, check=True, timeout=300)
    two = _command(
        *options, "--batch", 2, "--events", logs[1], "--out", tmp_path / "two.safetensors"
    )
    launcher = "-m torch.distributed.run --standalone --nproc_per_node=2"
    command = [sys.executable, *launcher.split(), *two[1:]]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    found, expected = _losses(logs[1]), _losses(logs[0])
    assert len(found) == len(expected) == 2
    assert found == pytest.approx(expected, rel=1e-4)
    weights = [load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two")]
    assert all(
        torch.allclose(weights[0][n].float(), weights[1][n].float(), atol=1e-4) for n in weights[0]
    )


def test_a_tuned_sam2_is_exported_for_sam2_itself(data, tmp_path):
    from sam2.build_sam import build_sam2

    from napari_surgisam.engine.sam2_network import load_sam2

    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    torch.manual_seed(0)
    base, out = tmp_path / "base.safetensors", tmp_path / "tuned.safetensors"
    state = load_sam2(config, None, image_size=64).model.state_dict()
    write_checkpoint(base, Checkpoint("sam2", config, 64, state))
    tuned = _run(
        data, "--base", base, "--recipe", "lora", "--epochs", 1, "--val-fraction", 0, "-q",
        "--samples-per-class", 1, "--out", out,
    )  # fmt: skip
    assert tuned.exit_code == 0, tuned.output
    assert read_metadata(out)["config"] == config
    exported = tmp_path / "official.pt"
    result = CliRunner().invoke(app, ["models", "export", "tuned", "--out", str(exported)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{config}\n"
    loaded = build_sam2(config, str(exported), device="cpu").state_dict()
    weights = load_file(out)
    assert all(torch.equal(loaded[name], weights[name].float()) for name in loaded)
    assert any(not torch.equal(weights[name], state[name]) for name in state)
