"""Budgets in napari's preferences."""

from pathlib import Path

import numpy as np
import pytest
from napari.settings import get_plugin_settings

from napari_surgisam.engine.budgets import labels_budget
from napari_surgisam.engine.course import Update
from napari_surgisam.errors import DataError
from napari_surgisam.plugin.label_store import label_store
from napari_surgisam.plugin.preferences import (
    cache_budget,
    labels_limit,
    remember,
    remembered,
    update_rule,
)


@pytest.fixture
def memory(make_napari_viewer, monkeypatch):
    """The category of our preferences, as napari keeps it."""
    make_napari_viewer()
    for name in ("MEMORY", "DISK", "DIR"):
        monkeypatch.delenv(f"SURGISAM_CACHE_{name}", raising=False)
    return get_plugin_settings("napari-surgisam").memory


def test_napari_knows_our_preferences_and_the_machine_decides_at_first(memory):
    fields = type(memory).model_fields
    assert set(fields) == {"cache_memory", "cache_disk", "cache_folder", "labels_memory"}
    assert all(field.title and field.description for field in fields.values())
    assert (cache_budget().memory, cache_budget().disk) == (None, None)
    assert labels_limit() == pytest.approx(labels_budget(), rel=0.5)


def test_what_a_person_sets_counts_and_the_environment_overrides_it(memory, monkeypatch, tmp_path):
    memory.cache_memory, memory.cache_disk = "2GB", "0"
    memory.cache_folder, memory.labels_memory = "~/seen", "1kB"
    budget = cache_budget()
    assert (budget.memory, budget.disk) == (2 * 10**9, 0)
    assert budget.folder == Path("~/seen").expanduser()
    assert not isinstance(label_store((2, 20, 30), (1, 2)), np.ndarray)
    memory.labels_memory = "3kB"
    assert isinstance(label_store((2, 20, 30), (1, 2)), np.ndarray)
    monkeypatch.setenv("SURGISAM_CACHE_DISK", "5GB")
    assert cache_budget().disk == 5 * 10**9


def test_when_a_correction_has_reached_far_enough_is_a_preference(memory):
    corrections = get_plugin_settings("napari-surgisam").corrections
    assert all(field.description for field in type(corrections).model_fields.values())
    assert update_rule() == Update()
    corrections.agreement, corrections.agreeing_frames = 0.9, 0
    assert update_rule() == Update(agreement=0.9, in_a_row=0)


def test_what_is_remembered_can_be_read_and_set_in_the_preferences(memory):
    choices = get_plugin_settings("napari-surgisam").choices
    assert all(f.title and f.description for f in type(choices).model_fields.values())
    assert remembered("way", "") == "outward"
    remember("way", "backward")
    assert choices.way == remembered("way", "") == "backward"
    with pytest.raises(ValueError, match="way"):
        choices.way = "sideways"
    assert remembered("no such choice", 3) == 3


def test_what_cannot_be_read_is_said(memory):
    memory.cache_memory = "lots"
    with pytest.raises(DataError, match=r"'lots'.*Preferences"):
        cache_budget()
