"""Where a test may run: what needs a window skips without one, and says why; a small model.

With ``SURGISAM_TESTS_COMPLETE`` set, a skip is a failure: the machine is meant to have all
that the tests need, apart from a GPU.
"""

import json
import os
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest

QT_BINDINGS = ("PyQt6", "PySide6")
WINDOW_FIXTURES = {"qtbot", "qapp", "make_napari_viewer", "make_napari_viewer_proxy"}
COMPLETE = bool(os.environ.get("SURGISAM_TESTS_COMPLETE"))


def _why_no_window() -> str | None:
    if not any(find_spec(name) for name in QT_BINDINGS):
        return "no Qt binding is installed: pip install 'napari-surgisam[all]'"
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display: run under `xvfb-run -a -s '-screen 0 1400x900x24'`"
    return None


NO_WINDOW = _why_no_window()

# pytest-qt aborts the whole run where Qt is missing, and Qt does where the display is.
pytest_plugins = [] if NO_WINDOW else ["pytestqt.plugin"]


class _WindowModule(pytest.Module):
    """A module of window tests that cannot be imported here."""

    def collect(self):
        pytest.skip(f"{self.path.name}: {NO_WINDOW}", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector):
    if NO_WINDOW and Path(__file__).parent / "plugin" in module_path.parents:
        return _WindowModule.from_parent(parent, path=module_path)
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Windows last: once software OpenGL has loaded its LLVM, triton, which torch imports for
    # an optimiser, crashes when it loads another. The other way round they get along.
    windows = Path(__file__).parent / "plugin"
    items.sort(key=lambda item: windows in item.path.parents)
    for item in items:
        if WINDOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("qt")
        if NO_WINDOW and item.get_closest_marker("qt"):
            item.add_marker(pytest.mark.skip(reason=NO_WINDOW))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compact model with random weights: it answers, if with nonsense."""
    import torch

    from napari_surgisam.engine.checkpoints import Checkpoint, write_checkpoint
    from napari_surgisam.engine.compact_network import CompactConfig, load_compact

    torch.manual_seed(0)
    config = CompactConfig(
        image_size=64, trunk_channels=(8, 8, 16, 16), trunk_blocks=(1, 1, 1, 1), width=64
    )
    state = load_compact(config, None).model.state_dict()
    path = tmp_path_factory.mktemp("models") / "mini.safetensors"
    write_checkpoint(path, Checkpoint("compact", json.dumps(asdict(config)), 64, state))
    return path


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    if COMPLETE and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be here: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    if (
        COMPLETE
        and report.skipped
        and not hasattr(report, "wasxfail")
        and not item.get_closest_marker("gpu")
    ):
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be here: {report.longrepr}"
    return report
