"""A small model with random weights and films with their truth, for what trains."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from fakes import MovingDiscs
from films import truth_of

from napari_surgisam.evaluation.cases import MemoryCase


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact model that has learned nothing yet."""
    from napari_surgisam.engine.checkpoints import Checkpoint, write_checkpoint
    from napari_surgisam.engine.compact_network import CompactConfig, load_compact

    torch.manual_seed(0)
    config = CompactConfig(
        image_size=64, trunk_channels=(8, 8, 16, 16), trunk_blocks=(1, 1, 1, 1), width=64,
        memory_layers=1, refine_blocks=1,
    )  # fmt: skip
    state = load_compact(config, None).model.state_dict()
    path = tmp_path_factory.mktemp("models") / "mini.safetensors"
    write_checkpoint(path, Checkpoint("compact", json.dumps(asdict(config)), 64, state))
    return path


@pytest.fixture(autouse=True)
def _own_model_list(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def films() -> list[MemoryCase]:
    """Three films of two discs."""
    cases = []
    for number in range(3):
        discs = MovingDiscs(length=5 + number, levels=(230, 140), shape=(48, 64))
        cases.append(MemoryCase(f"film{number}", discs, truth_of(discs)))
    return cases
