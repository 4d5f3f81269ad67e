"""The recipe that learns classes by name: from two classes in films to labels without a click."""

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from napari_surgisam.cli import app
from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.engine.checkpoints import (
    CLASS_TOKENS,
    Checkpoint,
    read_classes,
    write_checkpoint,
)
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.plan import Span
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.evaluation.cases import MemoryCase
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.formats.labels import read_labels
from napari_surgisam.metrics.masks import dsc
from napari_surgisam.training.finetuning import FinetuneOptions, Finetuning
from napari_surgisam.training.trainee import Trainee

pytestmark = pytest.mark.sam2

SHAPE = (48, 64)
NAMES = {1: "bright", 2: "dim"}
CPU = {"device": "cpu", "precision": "float32"}


def _film(number, frames=10):
    """Discs of two classes anywhere, each missing on every fourth frame: images and labels."""
    random = np.random.default_rng(number)
    images = np.full((frames, *SHAPE), 20, np.uint8)
    labels = np.zeros_like(images)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for frame in range(frames):
        sides = random.permutation([16, 48])
        for label, grey, x in ((1, 230, sides[0]), (2, 90, sides[1])):
            if (frame + label) % 4 == 0:
                continue
            y, x = random.uniform(13, 35), x + random.uniform(-4, 4)
            disc = (rows - y) ** 2 + (columns - x) ** 2 < 120
            images[frame][disc], labels[frame][disc] = grey, label
    return images, labels


def _case(number):
    images, labels = _film(number)
    frames = ArrayFrames(images, window=(0, 255), time_axis=0)
    return MemoryCase(
        f"film{number}", frames, labels, ClassTable({("", k): name for k, name in NAMES.items()})
    )


def test_two_classes_are_learned_apart_and_found_in_a_film_never_seen(tmp_path):
    out = tmp_path / "named.safetensors"
    options = FinetuneOptions(
        recipe="classes", base="embedded", image_size=64, epochs=8, val_fraction=0,
        learning_rate=2e-3, **CPU,
    )  # fmt: skip
    list(Finetuning.prepare([_case(k) for k in range(4)], options).run(out, "named"))
    assert read_classes(out) == {"bright": 1, "dim": 2}
    images, truth = _film(9)
    frames = ArrayFrames(images, window=(0, 255), time_axis=0)
    session = Session(frames, Tracker(load_network("named", **CPU)))
    list(session.label_classes({ObjectId(k): name for k, name in NAMES.items()}, Span()))
    found = np.stack([session.labels(frame) for frame in range(len(frames))])
    scores = {(a, b): dsc(found == a, truth == b) for a in NAMES for b in NAMES}
    assert min(scores[1, 1], scores[2, 2]) > 0.6
    assert max(scores[1, 2], scores[2, 1]) < 0.3


def test_most_clips_ask_for_every_class_and_some_are_clicked_on(small_model):
    options = FinetuneOptions(
        recipe="classes", base=str(small_model), samples_per_class=4, val_fraction=0, **CPU
    )
    pupil = Trainee(Finetuning.prepare([_case(0), _case(1)], options))
    pupil.practice.train()
    practised = []
    for number in range(16):
        clip, lesson = pupil.curriculum(number)
        random = torch.Generator().manual_seed(number)
        outcome = pupil.practice(clip, lesson, random)
        if "classes" in outcome.ious:
            assert outcome.prompts == 4 * 2  # frames and classes, absent ones too
        practised.append(next(iter(outcome.ious)))
    assert 0 < practised.count("click 1") < practised.count("classes")


@pytest.fixture
def data(tmp_path):
    """Three films with labels and the names of their classes."""
    folder = tmp_path / "films"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number in range(3):
        images, labels = _film(number, frames=6)
        np.save(folder / "images" / f"film{number}.npy", images)
        tifffile.imwrite(folder / "labels" / f"film{number}.tif", labels, photometric="minisblack")
    (folder / "classes.csv").write_text("label,class\n1,bright\n2,dim\n")
    return folder


def _surgisam(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def _tune(data, base, out):
    brief = "--recipe classes --epochs 1 --samples-per-class 2 --device cpu --precision float32 -q"
    result = _surgisam("finetune", data, "--base", base, "--out", out, *brief.split())
    assert result.exit_code == 0, result.output
    return result


def test_the_shell_tunes_a_model_and_labels_without_prompts(data, small_model, tmp_path):
    tuned = _tune(data, small_model, tmp_path / "named.safetensors")
    assert "dsc bright" in tuned.stdout
    assert "classes: 1 bright, 2 dim" in _surgisam("models", "info", "named").stdout
    assert "classes:" not in _surgisam("models", "info", "embedded").stdout
    film, out, scores = data / "images" / "film0.npy", tmp_path / "l.tif", tmp_path / "s.csv"
    order = ["propagate", film, "--model", "named", "--classes", "--device", "cpu"]
    result = _surgisam(*order, "--out", out, "--scores", scores, "--span", "1:5")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}\n"
    assert "classes 1 bright, 2 dim: done" in result.stderr
    assert read_labels(out).shape == (6, *SHAPE)
    rows = [line.split(",")[:2] for line in scores.read_text().splitlines()[1:]]
    assert rows == [[str(frame), str(label)] for frame in range(1, 5) for label in (1, 2)]
    again = _surgisam(*order, "--out", out, "--resume")
    assert "complete" in again.stderr
    measured = _surgisam(
        "evaluate", data, "--protocol", "classes", "--model", "named", "--device", "cpu",
        "--out", tmp_path / "report", "-q",
    )  # fmt: skip
    assert measured.exit_code == 0, measured.output
    assert measured.stdout.count("dsc") >= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "give --prompts FILE, or --classes", id="nothing"),
        pytest.param(["--classes"], "embedded knows no classes by name", id="model"),
        pytest.param(["--classes", "--prompts", "x.csv"], "give one of them", id="both"),
        pytest.param(["--classes", "--plan", "outward"], "leave out --plan", id="plan"),
        pytest.param(["--classes", "--span", "9:"], "frames 0 to 5", id="span"),
    ],
)
def test_impossible_labellings_are_refused(data, tmp_path, arguments, said):
    film = data / "images" / "film0.npy"
    result = _surgisam("propagate", film, "--out", tmp_path / "out.tif", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out.tif").exists()


def test_another_recipe_goes_on_and_keeps_the_classes(data, small_model, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    _tune(data, small_model, first)
    brief = "--recipe decoder-only --epochs 1 --samples-per-class 2 --device cpu -q"
    result = _surgisam("finetune", data, "--base", first, "--out", second, *brief.split())
    assert result.exit_code == 0, result.output
    assert read_classes(second) == {"bright": 1, "dim": 2}
    assert torch.equal(load_file(first)[CLASS_TOKENS], load_file(second)[CLASS_TOKENS])


def test_a_sam2_learns_classes_and_is_exported_without_them(data, tmp_path):
    from sam2.build_sam import build_sam2

    from napari_surgisam.engine.sam2_network import load_sam2

    config = "configs/sam2.1/sam2.1_hiera_t.yaml"
    torch.manual_seed(0)
    base, named = tmp_path / "base.safetensors", tmp_path / "named.safetensors"
    state = load_sam2(config, None, image_size=64).model.state_dict()
    write_checkpoint(base, Checkpoint("sam2", config, 64, state))
    brief = "--recipe classes --epochs 1 --val-fraction 0 --samples-per-class 1 --device cpu -q"
    tuned = _surgisam("finetune", data, "--base", base, "--out", named, *brief.split())
    assert tuned.exit_code == 0, tuned.output
    out = tmp_path / "official.pt"
    result = _surgisam("models", "export", "named", "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{config}\n"
    assert "Left out: the prompts of classes (bright, dim)" in result.stderr
    loaded = build_sam2(config, str(out), device="cpu").state_dict()  # strict about names
    weights = load_file(named)
    assert set(weights) - set(loaded) == {CLASS_TOKENS}
    assert all(torch.equal(loaded[name], weights[name].float()) for name in loaded)
    moved = {name for name in state if not torch.equal(state[name], weights[name])}
    assert moved
    assert all(name.startswith("sam_mask_decoder.") for name in moved)
