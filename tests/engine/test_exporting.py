import pytest
import torch
from sam2.build_sam import build_sam2

from napari_surgisam.engine.checkpoints import Checkpoint, write_checkpoint
from napari_surgisam.engine.exporting import export_checkpoint
from napari_surgisam.engine.sam2_network import load_sam2
from napari_surgisam.errors import ModelError

pytestmark = pytest.mark.sam2

CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"


def test_sam2_itself_loads_an_exported_model(tmp_path):
    torch.manual_seed(0)
    state = load_sam2(CONFIG, None, image_size=64).model.state_dict()
    tuned, out = tmp_path / "tuned.safetensors", tmp_path / "tuned.pt"
    write_checkpoint(tuned, Checkpoint("sam2", CONFIG, 64, state))
    assert export_checkpoint(tuned, out) == CONFIG
    model = build_sam2(CONFIG, str(out), device="cpu")  # strict about names and shapes
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    assert not list(tmp_path.glob("*.part"))


def test_what_sam2_does_not_know_is_not_exported(tmp_path):
    with pytest.raises(ModelError, match="which sam2 itself does not know"):
        export_checkpoint("embedded", tmp_path / "embedded.pt")
    with pytest.raises(ModelError, match=r"ends in \.pt"):
        export_checkpoint("embedded", tmp_path / "embedded.bin")
    assert not list(tmp_path.iterdir())
