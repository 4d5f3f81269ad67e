import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from napari_surgisam.data.prompts import Point
from napari_surgisam.engine.checkpoints import read_checkpoint
from napari_surgisam.engine.class_prompts import with_class_prompts
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.network import Query
from napari_surgisam.engine.registry import available_models
from napari_surgisam.errors import DataError, JobError, ModelError
from napari_surgisam.training import finetuning, trainee
from napari_surgisam.training.checkpoints import read_metadata
from napari_surgisam.training.finetuning import FinetuneOptions, Finetuning, Planned, Tuned
from napari_surgisam.training.recipes import RECIPES, part_of
from napari_surgisam.training.trainer import StepTrained

pytestmark = pytest.mark.sam2

CPU = {"device": "cpu", "precision": "float32"}


def _options(small_model, recipe="decoder-only", **changes):
    return FinetuneOptions(
        **{"recipe": recipe, "base": str(small_model), "samples_per_class": 2, "epochs": 1}
        | CPU
        | changes
    )


def _run(films, out, options, **arguments):
    return list(Finetuning.prepare(films, options).run(out, "tuned", **arguments))


@pytest.mark.parametrize("recipe", list(RECIPES))
def test_only_what_a_recipe_trains_moves(films, small_model, tmp_path, monkeypatch, recipe):
    """Parameter by parameter, and buffer by buffer: a frozen part stays the same to the bit."""
    short = replace(RECIPES[recipe], frames=min(RECIPES[recipe].frames, 3), batch=2)
    monkeypatch.setattr(finetuning, "choose_recipe", lambda _: short)
    out = tmp_path / "tuned.safetensors"
    _run(films, out, _options(small_model, recipe, val_fraction=0, learning_rate=1e-2))
    before, after = load_file(small_model), load_file(out)
    if recipe == "classes":
        before |= with_class_prompts(read_checkpoint(small_model), {"1": 1, "2": 2}, seed=0).state
    assert set(after) == set(before)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    parts = {part_of(name) for name in moved}
    assert moved
    if recipe == "lora":
        assert all(name.split(".")[-2].endswith("_proj") for name in moved)
    elif recipe == "dd-sam2":
        kernels = {n for n in moved if part_of(n) != "decoder"}
        assert all(before[name].ndim == 4 and before[name].shape[-1] >= 3 for name in kernels)
        assert {"encoder", "decoder"} <= parts
    else:
        assert parts == set(RECIPES[recipe].trained)
    assert not any("running_" in name or "num_batches" in name for name in moved)


def test_a_tuned_model_describes_itself_and_is_in_the_list(films, small_model, tmp_path):
    out = tmp_path / "tuned.safetensors"
    events = _run(films, out, _options(small_model))
    assert isinstance(events[0], Planned)
    assert [e.done for e in events if isinstance(e, StepTrained)] == [0, 1]
    assert isinstance(events[-1], Tuned)
    for word in ("before", "after"):
        assert out.with_suffix(f".{word}.jpg").read_bytes().startswith(b"\xff\xd8")
    facts = read_metadata(out)
    assert facts["recipe"]["name"] == "decoder-only"
    assert facts["classes"] == {"1": 2, "2": 2}
    assert len(facts["split"]["validation"]) == 1
    assert set(facts["split"]["training"]).isdisjoint(facts["split"]["validation"])
    assert {"dsc", "dsc 1", "dsc 2"} == set(facts["validation"]) == set(facts["validation_before"])
    assert facts["base"] == small_model.name
    assert len(facts["base_sha256"]) == 64
    assert "2408.03286" in facts["citation"]
    assert available_models()["tuned"].image_size == 64
    network = load_network("tuned", **CPU)
    images = torch.zeros(1, 3, 48, 64, dtype=torch.uint8)
    with torch.no_grad():
        answer = network.segment(network.embed(images), [Query(points=(Point(20, 20),))])
    assert answer[0].logits.shape[0] == 3


@pytest.mark.parametrize("recipe", ["biosam2", "classes"])
def test_a_run_that_was_killed_ends_with_the_same_weights(films, small_model, tmp_path, recipe):
    """Bit for bit, also the optimiser's moments; the last step before the kill is lost."""
    options = _options(small_model, recipe, epochs=3, samples_per_class=4)
    whole = tmp_path / "whole.safetensors"
    _run(films, whole, options)
    cut = tmp_path / "cut.safetensors"
    running = Finetuning.prepare(films, options).run(cut, "cut")
    for event in running:
        if isinstance(event, StepTrained) and event.done == 3:
            break
    running.close()
    _run(films, cut, options, resume=True)
    expected, found = load_file(whole), load_file(cut)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    states = [torch.load(p.with_suffix(".state.pt"), weights_only=True) for p in (whole, cut)]
    for key in ("model", "averaged"):
        assert all(torch.equal(states[0][key][n], states[1][key][n]) for n in states[0][key])
    moments = [s["optimiser"]["state"] for s in states]
    assert all(
        torch.equal(moments[0][k]["exp_avg_sq"], moments[1][k]["exp_avg_sq"]) for k in moments[0]
    )


def test_a_resumed_run_must_be_the_same_one(films, small_model, tmp_path):
    out = tmp_path / "tuned.safetensors"
    _run(films, out, _options(small_model))
    with pytest.raises(DataError, match="seed"):
        _run(films, out, _options(small_model, seed=1), resume=True)


def test_a_run_that_replaces_another_starts_afresh(films, small_model, tmp_path):
    out = tmp_path / "tuned.safetensors"
    _run(films, out, _options(small_model, epochs=2))
    _run(films, out, _options(small_model, epochs=1))
    rows = out.with_suffix(".curves.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "0", "1"]
    with pytest.raises(DataError, match="the base model itself"):
        _run(films, out, _options(out))


def test_without_validation_all_epochs_are_trained(films, small_model, tmp_path):
    out = tmp_path / "tuned.safetensors"
    events = _run(films[:1], out, _options(small_model, val_fraction=0, epochs=2))
    assert events[-2].done == events[-2].total == 2
    assert read_metadata(out)["validation"] == {}
    assert read_metadata(out)["step"] == 2


def test_the_best_weights_are_kept(films, small_model, tmp_path, monkeypatch):
    scores = iter([0.5, 0.7, 0.6, 0.6, 0.6])
    monkeypatch.setattr(
        trainee.TrackedDice, "__call__", lambda self, practice: {"dsc": next(scores)}
    )
    out = tmp_path / "tuned.safetensors"
    events = _run(films, out, _options(small_model, epochs=9, patience=2))
    steps = [e for e in events if isinstance(e, StepTrained)]
    assert [e.validation["dsc"] for e in steps] == [0.5, 0.7, 0.6, 0.6]
    assert "training stops" in steps[-1].message
    assert read_metadata(out)["validation"] == {"dsc": 0.7}
    assert read_metadata(out)["step"] == 1
    assert events[-1].before == {"dsc": 0.5}
    assert events[-1].after == {"dsc": 0.7}


def test_a_loss_that_is_no_number_names_its_sample(films, small_model, tmp_path, monkeypatch):
    out = tmp_path / "tuned.safetensors"
    options = _options(small_model, "biosam2", epochs=4)
    job = Finetuning.prepare(films, options)
    seen = []
    with pytest.raises(JobError, match=r"object \d on frame \d of film\d"):
        for event in job.run(out, "tuned"):
            seen.append(event)
            if isinstance(event, StepTrained) and event.done == 1:
                _poison(monkeypatch)
    assert out.exists()
    assert all(v.isfinite().all() for v in load_file(out).values())


def _poison(monkeypatch):
    from napari_surgisam.training import practice

    original = practice.masklet_loss
    monkeypatch.setattr(practice, "masklet_loss", lambda *a: original(*a) * float("nan"))


def test_a_full_disk_leaves_the_checkpoint_before(films, small_model, tmp_path):
    """The system refuses files beyond a size, as a full disk does."""
    resource = pytest.importorskip("resource", reason="there is none on Windows")
    out = tmp_path / "tuned.safetensors"
    running = Finetuning.prepare(films, _options(small_model, epochs=3)).run(out, "tuned")
    while not out.with_suffix(".state.pt").exists():
        next(running)
    kept, state = out.read_bytes(), out.with_suffix(".state.pt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) // 2, limits[1]))
    try:
        with pytest.raises(JobError, match="Cannot write"):
            list(running)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_bytes() == kept
    assert out.with_suffix(".state.pt").read_bytes() == state
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("recipe", ["lora", "dd-sam2"])
def test_merged_adapters_answer_as_before_merging(films, small_model, tmp_path, recipe):
    options = _options(small_model, recipe, val_fraction=0, learning_rate=1e-2)
    job = Finetuning.prepare(films, options)
    pupil = finetuning.Trainee(job)
    model = pupil.practice.model
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if part_of(name) == "adapters":
                parameter.add_(0.05 * torch.randn_like(parameter))
    pupil.practice.eval()
    merged = load_network(small_model, **CPU)
    untouched = {n: v.clone() for n, v in merged.model.state_dict().items()}
    merged.model.load_state_dict(pupil.pack(model.state_dict()))
    images = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    answers, memories = [], []
    with torch.no_grad():
        for network in (pupil.practice.network, merged, load_network(small_model, **CPU)):
            embedding = network.embed(images)
            first = network.segment(embedding, [Query(points=(Point(30, 30),))])
            answers.append(first[0].logits)
            memories.append(network.remember(embedding, first, 0)[0].tokens.float())
    assert torch.allclose(answers[0], answers[1], atol=1e-5)
    assert torch.allclose(memories[0], memories[1], atol=1e-2)
    assert not torch.allclose(answers[0], answers[2], atol=1e-3)
    assert set(untouched) == set(merged.model.state_dict())


def test_a_trial_says_what_training_takes(films, small_model):
    facts = Finetuning.prepare(films, _options(small_model)).trial()
    assert facts["classes"] == {"1": 2, "2": 2}
    assert 0 < facts["trained_parameters"] < facts["parameters"]
    assert facts["seconds_per_epoch"] >= 0
    assert facts["bytes"] > 0
    json.dumps(facts)


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        pytest.param({"recipe": "magic"}, ModelError, "Known: decoder-only", id="recipe"),
        pytest.param({"base": "nowhere.pt"}, ModelError, "does not exist", id="base"),
        pytest.param({"epochs": 0}, DataError, "1 or more", id="epochs"),
        pytest.param({"val_fraction": 1.0}, DataError, "below 1", id="fraction"),
    ],
)
def test_impossible_plans_are_refused(films, small_model, changes, error, said):
    with pytest.raises(error, match=said):
        Finetuning.prepare(films, _options(small_model, **changes))


def test_a_base_of_another_architecture_is_refused(films, tmp_path):
    other = tmp_path / "other.pt"
    torch.save({"weight": torch.zeros(3)}, other)
    with pytest.raises(ModelError, match="not a SAM 2"):
        list(Finetuning.prepare(films, _options(other)).run(tmp_path / "o.safetensors", "o"))
