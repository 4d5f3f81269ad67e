"""J, F and matched instances are what the reference implementations say; see `reference_masks`."""

import json
from pathlib import Path

import pytest
from reference_masks import PAIRS, instances, masks

from napari_surgisam.metrics.instances import InstanceCounts, match_instances
from napari_surgisam.metrics.video import contour_accuracy, region_similarity

VALUES = json.loads(Path(__file__).with_name("reference_values.json").read_text())


def test_j_and_f_are_those_of_davis():
    for seed, (j, f) in enumerate(VALUES["davis"]):
        prediction, reference = masks(seed)
        assert region_similarity(prediction, reference) == pytest.approx(j, abs=1e-6), seed
        assert contour_accuracy(prediction, reference) == pytest.approx(f, abs=1e-6), seed
    assert len(VALUES["davis"]) == PAIRS


def test_instances_without_a_border_are_matched_as_by_stardist():
    for seed, counts in enumerate(VALUES["stardist"]):
        found = match_instances(*instances(seed), border=0)
        assert found == InstanceCounts(*counts), seed


def test_instances_are_matched_as_in_the_cell_challenge():
    """It counts nothing missed where nothing was predicted, which would reward silence."""
    silent = 0
    for seed, counts in enumerate(VALUES["cells"]):
        found = match_instances(*instances(seed))
        if found.true_positives + found.false_positives:
            assert found == InstanceCounts(*counts), seed
        else:
            silent += 1
            assert counts == [0, 0, 0], seed
    assert silent < PAIRS / 4
