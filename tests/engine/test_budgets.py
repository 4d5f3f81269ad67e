"""Sizes as people write them, and budgets from the machine."""

from pathlib import Path

import pytest

from napari_surgisam.engine import budgets
from napari_surgisam.engine.budgets import CacheBudget, disk_budget, memory_budget, parse_size
from napari_surgisam.errors import DataError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("500MB", 500_000_000),
        ("1.5 GB", 1_500_000_000),
        ("2GiB", 1 << 31),
        ("64m", 64_000_000),
        (" 1 tib ", 1 << 40),
    ],
)
def test_a_size_is_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "1 XB", "1e9", "GB", "10%", "i", "5ib"])
def test_what_is_no_size_is_said(text):
    with pytest.raises(DataError, match="500MB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("free", "budget"),
    [(10**8, 256 * 10**6), (8 * 10**9, 2 * 10**9), (10**12, 4 * 10**9)],
)
def test_memory_is_a_share_of_what_is_free(monkeypatch, free, budget):
    monkeypatch.setattr(budgets, "available_memory", lambda: free)
    assert memory_budget() == budget


def test_a_container_has_what_it_may_take(tmp_path, monkeypatch):
    whole = budgets.available_memory()
    limit, used = tmp_path / "max", tmp_path / "current"
    used.write_text("300\n")
    monkeypatch.setattr(budgets, "_CONTAINER_LIMITS", ((str(limit), str(used)),))
    limit.write_text("1000\n")
    assert budgets.available_memory() == 700
    limit.write_text("max\n")
    assert budgets.available_memory() > min(whole // 2, 10**6)


def test_disk_is_a_share_of_what_is_free_where_the_folder_will_be(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 5 * 10**9})
    asked = []
    monkeypatch.setattr(budgets.shutil, "disk_usage", lambda path: asked.append(path) or usage)
    assert disk_budget(tmp_path / "not" / "yet") == 5 * 10**8
    assert asked == [tmp_path]


def test_the_environment_overrides_what_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("SURGISAM_CACHE", str(tmp_path))
    chosen = CacheBudget(memory=1000, disk=0)
    assert chosen.open().files is None
    variables = {"SURGISAM_CACHE_MEMORY": "2kB", "SURGISAM_CACHE_DISK": "1MB"}
    assert chosen.overridden(variables) == CacheBudget(2000, 10**6)
    assert chosen.overridden({}) == chosen
    cache = chosen.overridden(variables).open()
    assert cache.files.budget == 10**6
    assert cache.files.folder == tmp_path / "embeddings"
    folder = {"SURGISAM_CACHE_DIR": "~/there"}
    assert CacheBudget().overridden(folder).folder == Path("~/there").expanduser()
    assert CacheBudget(disk=None).open().files.budget > 0
    with pytest.raises(DataError, match="Cannot read the size"):
        chosen.overridden({"SURGISAM_CACHE_DISK": "lots"})
