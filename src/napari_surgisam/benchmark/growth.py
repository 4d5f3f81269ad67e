"""What does not grow: memory and time per frame, each measured in a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import torch

from napari_surgisam.benchmark.figures import Figure, Target, ratio
from napari_surgisam.benchmark.footage import Footage
from napari_surgisam.benchmark.official import Official
from napari_surgisam.benchmark.ours import tracker_of, written_pass
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.network import Network
from napari_surgisam.engine.session import Session

T = TypeVar("T")
WINDOW = 50
"""Frames over which time and memory of a long run are averaged."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a fresh process loads.

    Parameters
    ----------
    weights : str
        Name of a model, or path of its file.
    config : str
        sam2's configuration for the official predictor; empty where it cannot take part.
    image_size : int
    device : str
    precision : torch.dtype
    """

    weights: str
    config: str
    image_size: int
    device: str
    precision: torch.dtype

    def load(self) -> Network:
        """Load the network."""
        precision = "float32" if self.precision == torch.float32 else "bfloat16"
        return load_network(self.weights, self.device, precision, self.image_size)


@dataclass(frozen=True, slots=True)
class Samples:
    """Time and memory along a run, one value for each `WINDOW` of frames.

    Parameters
    ----------
    frames : tuple of int
        Last frame of each window.
    milliseconds : tuple of float
        Per frame.
    megabytes : tuple of float
        Resident memory.
    """

    frames: tuple[int, ...]
    milliseconds: tuple[float, ...]
    megabytes: tuple[float, ...]

    def settled(self) -> Samples:
        """Return the windows after the first fifth, in which caches fill."""
        skip = len(self.frames) // 5
        return Samples(self.frames[skip:], self.milliseconds[skip:], self.megabytes[skip:])

    def slope(self, values: tuple[float, ...]) -> tuple[float, float]:
        """Return the growth of values per 1,000 frames, and its standard error."""
        if len(values) < 4:
            return float("nan"), float("nan")
        thousands = np.asarray(self.frames) / 1000
        line, covariance = np.polyfit(thousands, values, 1, cov=True)
        return float(line[0]), float(np.sqrt(covariance[0, 0]))

    def late_over_early(self) -> float:
        """Return the median time of the last quarter over that of the first."""
        quarter = max(len(self.milliseconds) // 4, 1)
        early, late = self.milliseconds[:quarter], self.milliseconds[-quarter:]
        return float(np.median(late) / np.median(early))


def in_fresh_process(measure: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own, whose memory nothing else has touched."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def peak_of_ours(model: Model, footage: Footage, objects: int, out: Path) -> float:
    """Return the peak of resident memory of a pass to labels on disk, in MB."""
    for _ in written_pass(model.load(), footage, footage.clicks(objects), out):
        pass
    return peak_memory()


def peak_of_official(model: Model, footage: Footage, objects: int) -> float:
    """Return the peak of resident memory of the official predictor's pass, in MB."""
    official = Official(model.config, model.image_size, model.device)
    official.first_pass(footage, footage.clicks(objects), model.precision)
    return peak_memory()


def long_run(model: Model, footage: Footage, minutes: float, out: Path) -> Samples:
    """Track one object to labels on disk until the time is up, noting time and memory."""
    process = psutil.Process()
    frames: list[int] = []
    times, sizes = [], []
    network = model.load()
    began = start = time.perf_counter()
    steps = written_pass(network, footage, footage.clicks(1), out)
    for number, _ in enumerate(steps, start=1):
        if number % WINDOW:
            continue
        now = time.perf_counter()
        frames.append(number)
        times.append(1000 * (now - start) / WINDOW)
        sizes.append(process.memory_info().rss / 1e6)
        start = now
        if now - began > 60 * minutes:
            break
    steps.close()  # type: ignore[attr-defined]
    return Samples(tuple(frames), tuple(times), tuple(sizes))


def prompt_after_prompt(model: Model, footage: Footage) -> Samples:
    """Click on one frame after the other, noting time and memory."""
    process, session = psutil.Process(), Session(footage.open(), tracker_of(model.load()))
    frames, times, sizes = [], [], []
    for frame in range(footage.length):
        start = time.perf_counter()
        session.set_prompts(footage.clicks(1, frame))
        session.segment(frame)
        session.labels(frame)
        frames.append(frame)
        times.append(1000 * (time.perf_counter() - start))
        sizes.append(process.memory_info().rss / 1e6)
    return Samples(tuple(frames), tuple(times), tuple(sizes))


def peak_memory() -> float:
    """Return the peak of this process's resident memory, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent had taken
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def flatness(row: str, what: str, samples: Samples) -> Iterator[Figure]:
    """Yield how time and memory grow along a run; a fifth or 20 MB per 1,000 frames is noise."""
    settled = samples.settled()
    yield Figure(row, f"{what}: time per frame", "ours", settled.milliseconds, "ms")
    late = (settled.late_over_early(),) if settled.frames else ()
    what_late = f"{what}: time, last quarter over first"
    yield Figure(row, what_late, "ours", late, target=Target("at most", 1.2))
    yield Figure(row, f"{what}: memory", "ours", settled.megabytes, "MB")
    for name, values, unit in (
        ("time per frame", settled.milliseconds, "ms"),
        ("memory", settled.megabytes, "MB"),
    ):
        slope, error = settled.slope(values)
        label = f"{what}: growth of {name} per 1,000 frames, ± {error:.2g}"
        yield Figure(row, label, "ours", (slope,), unit)


def peak_figures(
    what: str, engine: str, lengths: list[int], peaks: list[float], target: Target | None
) -> Iterator[Figure]:
    """Yield peaks of memory by length, and the ratio of the longer to the shorter one's."""
    for n, peak in zip(lengths, peaks, strict=True):
        yield Figure("memory", f"{what}, {n} frames", engine, (peak,), "MB")
    compared = f"{what}: {engine}, {lengths[1]} frames over {lengths[0]}"
    yield ratio("memory", compared, peaks[1:], peaks[:1], target)
