"""Opening a file must never wait for torch, and the shell never for Qt."""

import os
import subprocess
import sys

import pytest

HEAVY = ["torch", "torchvision", "sam2", "napari", "qtpy", "PyQt6", "PySide6"]
PLUGIN_ONLY = ["napari", "qtpy", "PyQt6", "PySide6", "magicgui", "superqt"]


def loaded(statement: str) -> set[str]:
    """Top-level packages that a fresh process has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    return set(result.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded("import napari_surgisam") & {*HEAVY, "numpy"}


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_unless_told_otherwise(given, expected):
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    code = "import napari_surgisam, os; print(os.environ['OMP_WAIT_POLICY'])"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == expected


@pytest.mark.parametrize("package", ["data", "formats", "metrics"])
def test_frames_formats_and_metrics_need_no_torch(package):
    statement = f"""
import importlib, pkgutil
package = importlib.import_module("napari_surgisam.{package}")
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
assert names
for name in names:
    importlib.import_module(name)"""
    assert not loaded(statement) & set(HEAVY)


@pytest.mark.parametrize("package", ["engine", "training", "cli"])
def test_engine_training_and_shell_need_neither_napari_nor_qt(package):
    statement = f"""
import importlib, pkgutil
package = importlib.import_module("napari_surgisam.{package}")
names = [m.name for m in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
assert names
for name in names:
    importlib.import_module(name)"""
    assert not loaded(statement) & set(PLUGIN_ONLY)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["models", "list"]])
def test_help_and_lists_answer_without_torch(arguments):
    statement = f"""
import sys
from napari_surgisam.cli import app
try:
    app({arguments!r}, prog_name="surgisam")
except SystemExit as end:
    assert end.code == 0"""
    assert not loaded(statement) & {*HEAVY, "av", "numpy", "scipy"}


def test_loading_models_leaves_sam2_for_the_moment_it_is_needed():
    packages = loaded("import napari_surgisam.engine.models")
    assert "torch" in packages
    assert not packages & {"sam2", "hydra"}
