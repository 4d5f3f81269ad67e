"""What is shipped is found: from a wheel, from an editable install, with and without git."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IN_SOURCE = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="the tests run without the source tree"
)
REPORT = """
import napari_surgisam, sys
from napari_surgisam.resources import WEIGHTS, sample_data
print(napari_surgisam.__version__)
print(sample_data())
print(WEIGHTS)
print(*sorted(sys.modules))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree without git and without what is ignored."""
    folder = tmp_path_factory.mktemp("checkout") / "napari-surgisam"
    ignored = shutil.ignore_patterns(".git", ".tox", ".*_cache", "__pycache__", "runs", "dist")
    shutil.copytree(ROOT, folder, ignore=ignored)
    return folder


def build(checkout: Path, kind: str, out: Path) -> Path:
    """Build as pip does, in a process of its own: ``wheel``, ``editable`` or ``sdist``."""
    code = f"import hatchling.build as b; print(b.build_{kind}({str(out)!r}))"
    result = run([sys.executable, "-c", code], cwd=checkout)
    return out / result.splitlines()[-1]


def run(command: list[object], cwd: Path | None = None) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def installed(wheel: Path, folder: Path) -> Path:
    """Return the Python of a new environment that holds this wheel alone."""
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel])
    return python


def names(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {str(path.relative_to(folder)) for path in files}


@IN_SOURCE
def test_a_wheel_carries_weights_samples_and_manifest(checkout, tmp_path):
    wheel = build(checkout, "wheel", tmp_path)
    python = installed(wheel, tmp_path / "env")
    version, samples, weights, modules = run([python, "-c", REPORT], cwd=tmp_path).splitlines()
    assert version == "0.1.0"  # the fallback: there is no git here
    assert wheel.name == "napari_surgisam-0.1.0-py3-none-any.whl"
    assert Path(samples).parent.name == "napari_surgisam"
    assert names(Path(samples)) == names(ROOT / "sample_data")
    assert "embedded.safetensors" in names(Path(weights))
    assert (Path(samples).parent / "napari.yaml").is_file()
    assert (Path(samples).parent / "py.typed").is_file()
    assert "numpy" not in modules.split()
    with zipfile.ZipFile(wheel) as archive:
        shipped = archive.namelist()
        entry_points = archive.read("napari_surgisam-0.1.0.dist-info/entry_points.txt").decode()
    assert "surgisam = napari_surgisam.cli:main" in entry_points
    assert "napari-surgisam = napari_surgisam:napari.yaml" in entry_points
    assert all(name.startswith("napari_surgisam") for name in shipped)
    assert "napari_surgisam-0.1.0.dist-info/licenses/LICENSE" in shipped


@IN_SOURCE
def test_an_editable_install_reads_the_checkout(checkout, tmp_path):
    python = installed(build(checkout, "editable", tmp_path), tmp_path / "env")
    _, samples, weights, _ = run([python, "-c", REPORT], cwd=tmp_path).splitlines()
    assert Path(samples) == checkout / "sample_data"
    assert Path(weights) == checkout / "src" / "napari_surgisam" / "weights"
    assert "embedded.safetensors" in names(Path(weights))


@IN_SOURCE
def test_a_source_distribution_builds_the_same_wheel(checkout, tmp_path):
    sdist = build(checkout, "sdist", tmp_path)
    shutil.unpack_archive(sdist, tmp_path, filter="data")
    again = build(tmp_path / sdist.name.removesuffix(".tar.gz"), "wheel", tmp_path)
    direct = build(checkout, "wheel", tmp_path / "direct")
    with zipfile.ZipFile(again) as first, zipfile.ZipFile(direct) as second:
        assert set(first.namelist()) == set(second.namelist())


@IN_SOURCE
def test_the_wheel_stays_small_enough_for_the_embedded_model(checkout, tmp_path):
    wheel = build(checkout, "wheel", tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    assert sum(size for name, size in sizes.items() if "/weights/" in name) <= 16e6
    assert sum(sizes.values()) <= 40e6


@IN_SOURCE
@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://github.com/someone/napari-surgisam.git", id="https"),
        pytest.param("git@github.com:someone/napari-surgisam.git", id="ssh"),
        pytest.param("/somewhere/else", id="elsewhere"),
    ],
)
def test_the_hub_finds_the_pictures_of_the_readme(tmp_path, origin):
    root = tmp_path / "napari-surgisam"
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "sample_data", root / "sample_data")
    for name in ("README.md", "LICENSE", "pyproject.toml", "hatch_build.py"):
        shutil.copy(ROOT / name, root / name)
    author = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    run(["git", "init", "-q"], cwd=root)
    run(["git", "remote", "add", "origin", origin], cwd=root)
    run(["git", "add", "README.md"], cwd=root)
    run(["git", *author, "commit", "-q", "-m", "README"], cwd=root)
    commit = run(["git", "rev-parse", "HEAD"], cwd=root).strip()
    wheel = build(root, "wheel", tmp_path / "dist")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("METADATA"))
        said = archive.read(name).decode()
    picture = "docs/images/segment.png"
    assert (ROOT / picture).is_file()
    if "github" in origin:
        assert (
            f"(https://raw.githubusercontent.com/someone/napari-surgisam/{commit}/{picture})"
            in said
        )
        assert f"(https://github.com/someone/napari-surgisam/blob/{commit}/docs/" in said
        assert "](docs/" not in said
    else:
        assert f"]({picture})" in said
