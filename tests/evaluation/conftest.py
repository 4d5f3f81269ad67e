"""Films and volumes with their truth, a tracker that needs no weights, and a model that does."""

from pathlib import Path

import pytest
import tifffile
from fakes import FakeNetwork, MovingDiscs
from films import truth_of

from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.evaluation.cases import MemoryCase, OpenCase, whole_truth


@pytest.fixture
def discs():
    return MovingDiscs(length=10, levels=(230, 140), shape=(96, 128))


@pytest.fixture
def open_case(discs):
    return OpenCase("film", discs, whole_truth(truth_of(discs), discs))


@pytest.fixture
def memory_case(discs):
    return MemoryCase("film", discs, truth_of(discs))


@pytest.fixture
def tracker():
    return Tracker(FakeNetwork())


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A folder with three small films and their labels, one of them without."""
    folder = tmp_path / "films"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for number, levels in enumerate([(230,), (230, 140), (180, 90), (120,)]):
        discs = MovingDiscs(length=5 + number, levels=levels, shape=(48, 64))
        stack = [discs.read(frame)[..., 0] for frame in range(len(discs))]
        tifffile.imwrite(folder / "images" / f"film{number}.tif", stack, photometric="minisblack")
        if number < 3:
            tifffile.imwrite(folder / "labels" / f"film{number}.tif", truth_of(discs))
    return folder
