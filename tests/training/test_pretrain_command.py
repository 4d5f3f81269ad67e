import subprocess
import sys

import pytest
from typer.testing import CliRunner

from napari_surgisam.cli import app
from napari_surgisam.training.checkpoints import read_metadata

pytestmark = pytest.mark.sam2

BRIEF = ["--image-size", "64", "--images", "1", "--clips", "1", "--frames", "2", "--image-steps",
         "1", "--check-every", "1", "--device", "cpu", "--precision", "float32"]  # fmt: skip


def _run(*arguments):
    return CliRunner().invoke(app, ["pretrain", *map(str, arguments)])


def test_pretrain_saves_prints_and_resumes(tmp_path):
    out = tmp_path / "model.safetensors"
    first = _run("--out", out, "--steps", 1, "--quiet", *BRIEF)
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("step 1, ")
    assert "click 1" in first.stdout
    second = _run("--out", out, "--steps", 2, "--resume", "--quiet", *BRIEF)
    assert second.exit_code == 0, second.output
    assert second.stdout.startswith("step 2, ")
    assert read_metadata(out)["config"]["image_size"] == 64


def test_existing_weights_are_kept(tmp_path):
    out = tmp_path / "model.safetensors"
    out.write_bytes(b"precious")
    result = _run("--out", out, "--steps", 1, *BRIEF)
    assert result.exit_code == 2
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--out", "model.pt"], ".safetensors", id="ending"),
        pytest.param(["--out", "m.safetensors", "--image-size", "100"], "100", id="image-size"),
        pytest.param(["--out", "m.safetensors", "--resume"], "nothing to resume", id="nothing"),
    ],
)
def test_wrong_input_is_refused(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    result = _run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not list(tmp_path.iterdir())


def test_two_processes_train_one_network(tmp_path):
    """Images first, then clips: what rests meanwhile must not stop the exchange of gradients."""
    out = tmp_path / "weights.safetensors"
    command = (
        f"-m torch.distributed.run --standalone --nproc_per_node=2 -m napari_surgisam pretrain "
        f"--out {out} --device cpu --steps 3 --image-steps 2 --images 1 --clips 1 --frames 2 "
        "--image-size 64 --check-every 3"
    )
    result = subprocess.run(
        [sys.executable, *command.split()],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("step 3,") == 1
    assert read_metadata(out)["step"] == 3
