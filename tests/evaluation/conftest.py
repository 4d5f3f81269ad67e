"""Films and volumes with their truth, and a tracker that needs no weights."""

import pytest
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
