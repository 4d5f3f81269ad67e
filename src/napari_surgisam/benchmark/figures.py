"""What was measured, beside what it should be, as a table."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Literal

import torch

PACKAGES = ("napari-surgisam", "torch", "sam2", "numpy", "scipy", "scikit-image", "av", "zarr")
COLUMNS = ("row", "what", "engine", "median", "lowest to highest", "target", "met")


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure should be.

    Parameters
    ----------
    kind : {"at least", "at most"}
    value : float
    """

    kind: Literal["at least", "at most"]
    value: float

    def met(self, value: float) -> bool:
        """Whether a value is as good as it should be."""
        return value >= self.value if self.kind == "at least" else value <= self.value


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Parameters
    ----------
    row : str
        Name of the row that it belongs to.
    what : str
    engine : str
        Who was measured; "ratio" for a comparison.
    values : tuple of float
        One per repeat; empty where it could not be measured.
    unit : str
    target : Target, optional
    """

    row: str
    what: str
    engine: str
    values: tuple[float, ...]
    unit: str = ""
    target: Target | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the text of each of the `COLUMNS`."""
        if not self.values:
            return (self.row, self.what, self.engine, "not measured", "", self._aim(), "")
        middle = median(self.values)
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        met = "" if self.target is None else "yes" if self.target.met(middle) else "NO"
        text = f"{middle:.3g} {self.unit}".strip()
        return (self.row, self.what, self.engine, text, spread, self._aim(), met)

    def line(self) -> str:
        """Return the line of a Markdown table."""
        return f"| {' | '.join(self.cells())} |"

    def _aim(self) -> str:
        return "" if self.target is None else f"{self.target.kind} {self.target.value:g}"


def header() -> str:
    """Return the first two lines of the Markdown table."""
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def in_turns(
    repeats: int, engines: Mapping[str, Callable[[], float]]
) -> dict[str, tuple[float, ...]]:
    """Measure engines in turns, so that a busy moment of the machine falls on all of them.

    Returns
    -------
    dict of str to tuple of float
        One value per repeat.
    """
    rounds = [{name: measure() for name, measure in engines.items()} for _ in range(repeats)]
    return {name: tuple(values[name] for values in rounds) for name in engines}


def rates(row: str, what: str, found: Mapping[str, tuple[float, ...]]) -> Iterator[Figure]:
    """Yield the frames per second of several engines."""
    for engine, values in found.items():
        yield Figure(row, what, engine, values, "frames/s")


def ratio(
    row: str, what: str, over: Iterable[float], under: Iterable[float], target: Target | None
) -> Figure:
    """Return how many times as much one engine's values are, round by round."""
    values = tuple(a / b for a, b in zip(over, under, strict=True))
    return Figure(row, what, "ratio", values, target=target)


def describe_machine() -> str:
    """Return processor, device, threads and the versions of what counts, in a line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    parts = [f"{cpu}, {os.cpu_count()} CPUs, torch on {torch.get_num_threads()} threads"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    parts.append(f"{platform.system()} {platform.machine()}, Python {platform.python_version()}")
    return "; ".join([*parts, ", ".join(f"{name} {_version(name)}" for name in PACKAGES)])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
