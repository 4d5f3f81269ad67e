"""The rows of the table: each measures something that users of SAM 2 complain of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import torch

from napari_surgisam.benchmark import growth, ours
from napari_surgisam.benchmark.figures import Figure, Target, in_turns, rates, ratio
from napari_surgisam.benchmark.footage import Footage, make_footage
from napari_surgisam.benchmark.growth import Model, flatness, in_fresh_process, peak_figures
from napari_surgisam.benchmark.official import Official
from napari_surgisam.data.prompts import Prompt
from napari_surgisam.engine.course import Update
from napari_surgisam.engine.devices import choose_device, choose_precision
from napari_surgisam.engine.focus import Focus
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.network import Network

SAM21 = "configs/sam2.1/sam2.1_hiera_{}.yaml"
SHIPPED = torch.float32
"""What the official predictor computes in unless its user opens a scope."""

GIGABYTE = 10**9


@dataclass(frozen=True, slots=True)
class Settings:
    """How large and how often.

    Parameters
    ----------
    folder : Path
        For footage, weights and labels.
    repeats : int
    device : str
    minutes : float
        That the longest run may take.
    sizes : tuple of int
        Sides of the network's images, in pixels, the first also where one size is enough.
    frames : int
        Of a first pass.
    corrected : int
        Frames of the footage that is corrected in its middle.
    lengths : tuple of int
        Frames of the short and the long run whose memory is compared.
    objects : tuple of int
        One and many.
    longest : int
        Frames of the longest run.
    growth_size : int
        Side of the network's images where memory is compared.
    shape : tuple of int
        Height and width of a frame, in pixels.
    """

    folder: Path
    repeats: int = 3
    device: str = "auto"
    minutes: float = 60.0
    sizes: tuple[int, ...] = (512, 1024)
    frames: int = 24
    corrected: int = 100
    lengths: tuple[int, int] = (100, 2000)
    objects: tuple[int, int] = (1, 8)
    longest: int = 100_000
    growth_size: int = 256
    shape: tuple[int, int] = (480, 854)
    _made: dict[Any, Footage] = field(default_factory=dict, repr=False)

    @property
    def precision(self) -> torch.dtype:
        """What this machine computes fastest in."""
        return choose_precision("auto", choose_device(self.device))

    def footage(
        self, length: int, shape: tuple[int, int] | None = None, *, pictures: bool = True
    ) -> Footage:
        """Return footage, made once."""
        key = (length, shape or self.shape)
        if key not in self._made:
            folder = self.folder / f"{length}-{key[1][0]}x{key[1][1]}"
            self._made[key] = make_footage(folder, length, key[1], pictures=pictures)
        return self._made[key]


Row = Callable[[Settings], Iterator[Figure]]


def first_pass(settings: Settings) -> Iterator[Figure]:
    """Frames per second from the file to the masks, one object."""
    footage, precision = settings.footage(settings.frames), settings.precision
    told = (footage, footage.clicks(1))
    for size in settings.sizes:
        official, network = _pair(settings, "t", size)
        _our_rate(network, *told)  # warms up
        loading: list[float] = []
        found = in_turns(
            settings.repeats,
            {
                "ours": partial(_our_rate, network, *told),
                "official, same precision": partial(_rate, official, *told, precision, loading),
                "ours, efficient-pruning": partial(_our_rate, network, *told, "efficient-pruning"),
                "official, as shipped": partial(_rate, official, *told, SHIPPED),
            },
        )
        what = f"SAM 2.1-T, {size} px, {footage.length} frames"
        yield from rates("first-pass", what, found)
        mine, equal = found["ours"], found["official, same precision"]
        loaded = [rate / (1 - share) for rate, share in zip(equal, loading, strict=True)]
        pruned, shipped = found["ours, efficient-pruning"], found["official, as shipped"]
        fewer = Target("at least", 1.2) if size == 1024 else None
        for how, over, under, target in (
            ("same precision", mine, equal, Target("at least", 1.05)),
            ("same precision, its loading of frames not counted", mine, loaded, None),
            ("same precision, ours with efficient-pruning", pruned, equal, fewer),
            ("both out of the box", mine, shipped, Target("at least", 1.9)),
        ):
            yield ratio("first-pass", f"{what}: {how}", over, under, target)


def embedded(settings: Settings) -> Iterator[Figure]:
    """Frames per second of the embedded model, with its focus window, beside SAM 2.1-T."""
    footage, size = settings.footage(settings.frames), settings.sizes[0]
    official, network = _pair(settings, "t", size)
    small = load_network("embedded", settings.device, image_size=size)
    prompts = footage.clicks(1)
    ours.first_pass(network, footage, prompts)  # warms up
    ours.first_pass(small, footage, prompts, focus=Focus())
    found = in_turns(
        settings.repeats,
        {
            "embedded": partial(_our_rate, small, footage, prompts, focus=Focus()),
            "SAM 2.1-T here": partial(_our_rate, network, footage, prompts),
            "official, as shipped": partial(_rate, official, footage, prompts, SHIPPED),
        },
    )
    what = f"{size} px, {footage.length} frames"
    yield from rates("embedded", what, found)
    for other, least in (("SAM 2.1-T here", 2), ("official, as shipped", 4)):
        target = Target("at least", least)
        yield ratio("embedded", f"{what}: over {other}", found["embedded"], found[other], target)


def correction(settings: Settings) -> Iterator[Figure]:
    """Seconds to propagate again after a correction in the middle."""
    footage, size = settings.footage(settings.corrected), settings.sizes[0]
    official, network = _pair(settings, "t", size)
    prompts = footage.clicks(1)
    (said,) = footage.clicks(1, footage.length // 2)
    updates = (Update(in_a_row=0), Update())
    us = ours.corrected(network, footage, prompts, said, updates, cache=4 * GIGABYTE)
    them = official.corrected(footage, prompts, said, settings.precision)
    shipped = official.corrected(footage, prompts, said, SHIPPED)
    rounds = [(next(us), next(them), next(shipped)) for _ in range(settings.repeats)]
    what = f"SAM 2.1-T, {size} px, correction in {footage.length} frames"
    whole = tuple(mine[0][0] for mine, _, _ in rounds)
    early = tuple(mine[1][0] for mine, _, _ in rounds)
    equal = tuple(seconds for _, seconds, _ in rounds)
    as_shipped = tuple(seconds for _, _, seconds in rounds)
    yield Figure("correction", what, "ours", whole, "s")
    yield Figure("correction", what, "ours, ending early", early, "s")
    tracked = tuple(float(mine[1][1]) for mine, _, _ in rounds)
    yield Figure("correction", f"{what}: frames tracked", "ours, ending early", tracked, "frames")
    yield Figure("correction", what, "official, same precision", equal, "s")
    yield Figure("correction", what, "official, as shipped", as_shipped, "s")
    yield ratio("correction", f"{what}: same precision", equal, whole, Target("at least", 3))
    yield ratio("correction", f"{what}: as shipped", as_shipped, whole, Target("at least", 5))


def objects(settings: Settings) -> Iterator[Figure]:
    """Frames per second with many objects."""
    footage, size = settings.footage(settings.frames), settings.sizes[0]
    official, network = _pair(settings, "t", size)
    count = settings.objects[-1]
    told = (footage, footage.clicks(count))
    found = in_turns(
        settings.repeats,
        {
            "ours": partial(_our_rate, network, *told),
            "official, same precision": partial(_rate, official, *told, settings.precision),
            "official, as shipped": partial(_rate, official, *told, SHIPPED),
        },
    )
    what = f"SAM 2.1-T, {size} px, {count} objects"
    yield from rates("objects", what, found)
    aim = 1.2 if choose_device(settings.device).type == "cpu" else 3.0
    for engine in [e for e in found if e != "ours"]:
        target = Target("at least", aim)
        yield ratio("objects", f"{what}: beside {engine}", found["ours"], found[engine], target)


def memory(settings: Settings) -> Iterator[Figure]:
    """Peak resident memory of a long video over that of a short one."""
    size, out = settings.growth_size, settings.folder / "labels.zarr"
    model = _model(settings, "t", size)
    for count in settings.objects:
        what = f"SAM 2.1-T, {size} px, {count} objects"
        lengths = [*settings.lengths]
        peaks = [
            in_fresh_process(growth.peak_of_ours, model, settings.footage(n), count, out)
            for n in lengths
        ]
        yield from peak_figures(what, "ours", lengths, peaks, Target("at most", 1.1))
        # it keeps all frames as float32, and masks and memories of each object
        room = psutil.virtual_memory().available / 2
        needed = 12 * size**2 + count * 850 * size
        lengths[1] = int(min(lengths[1], max(room / needed, 2 * lengths[0])))
        if count > 1:
            lengths[1] = min(lengths[1], 5 * lengths[0])  # an hour otherwise
        peaks = [
            in_fresh_process(growth.peak_of_official, model, settings.footage(n), count)
            for n in lengths
        ]
        yield from peak_figures(what, "official", lengths, peaks, None)


def outside(settings: Settings) -> Iterator[Figure]:
    """Share of the time that is not the network's: decode, resize, paint, write."""
    footage, size = settings.footage(settings.frames), settings.sizes[0]
    _, network = _pair(settings, "t", size)
    out = settings.folder / "outside.zarr"
    shares = [
        ours.share_outside(network, footage, footage.clicks(1), out)
        for _ in range(settings.repeats + 1)
    ]
    what = f"SAM 2.1-T, {size} px, {footage.shape[0]} x {footage.shape[1]} h264"
    yield Figure("outside", what, "ours", tuple(shares[1:]), "%", Target("at most", 10))


def prompts(settings: Settings) -> Iterator[Figure]:
    """Time and memory per frame while one frame after the other is prompted."""
    model = Model("embedded", "", 256, settings.device, settings.precision)
    samples = in_fresh_process(
        growth.prompt_after_prompt, model, settings.footage(settings.corrected)
    )
    what = f"embedded model, {settings.corrected} frames prompted"
    yield from flatness("prompts", what, samples)


def gpu(settings: Settings) -> Iterator[Figure]:
    """Frames per second on a GPU."""
    device = choose_device(settings.device)
    if device.type != "cuda":
        yield Figure("gpu", "there is no CUDA device", "ours", ())
        return
    footage = settings.footage(10 * settings.frames)
    for name in ("t", "s", "b+"):
        for size in settings.sizes:
            _, network = _pair(settings, name, size)
            for policy in ("sam2", "efficient-pruning"):
                ours.first_pass(network, footage, footage.clicks(1), policy)  # warms up
                values = tuple(
                    footage.length / ours.first_pass(network, footage, footage.clicks(1), policy)
                    for _ in range(settings.repeats)
                )
                what = f"SAM 2.1-{name.upper()}, {size} px (published: SurgSAM-2 86, SAM2S 68)"
                yield Figure("gpu", what, f"ours, {policy}", values, "frames/s")


def click(settings: Settings) -> Iterator[Figure]:
    """Milliseconds from a click to its mask, on a frame that is embedded."""
    footage, size = settings.footage(settings.frames), settings.sizes[-1]
    embedded = load_network("embedded", settings.device)
    _, network = _pair(settings, "t", size)
    for name, one, limit in (
        ("embedded model", embedded, 40),
        (f"SAM 2.1-T, {size} px", network, 150),
    ):
        seconds = ours.click(one, footage, 7 * settings.repeats)
        target = Target("at most", limit)
        values = tuple(1000 * s for s in seconds)
        yield Figure("click", f"{name}, click to mask", "ours", values, "ms", target)


def length(settings: Settings) -> Iterator[Figure]:
    """Growth of memory and time per frame in a video as long as an operation."""
    model = Model("embedded", "", 256, settings.device, settings.precision)
    footage = settings.footage(settings.longest, (256, 256), pictures=False)
    out = settings.folder / "long.zarr"
    samples = in_fresh_process(growth.long_run, model, footage, settings.minutes, out)
    done = samples.frames[-1] if samples.frames else 0
    yield from flatness("length", f"embedded model, 256 px, {done:,} frames", samples)


ROWS: MappingProxyType[str, Row] = MappingProxyType(
    {
        "first-pass": first_pass,
        "embedded": embedded,
        "correction": correction,
        "objects": objects,
        "memory": memory,
        "outside": outside,
        "prompts": prompts,
        "gpu": gpu,
        "click": click,
        "length": length,
    }
)


def _rate(
    official: Official,
    footage: Footage,
    prompts: Sequence[Prompt],
    precision: torch.dtype,
    loading: list[float] | None = None,
) -> float:
    """Return frames per second of the official predictor; note its share of loading frames."""
    load, rest = official.first_pass(footage, prompts, precision)
    if loading is not None:
        loading.append(load / (load + rest))
    return footage.length / (load + rest)


def _our_rate(
    network: Network,
    footage: Footage,
    prompts: Sequence[Prompt],
    policy: str = "sam2",
    focus: Focus | None = None,
) -> float:
    return footage.length / ours.first_pass(network, footage, prompts, policy, focus)


def _model(settings: Settings, name: str, size: int) -> Model:
    device = choose_device(settings.device)
    config = SAM21.format(name)
    weights = settings.folder / f"sam2.1_hiera_{name}-{size}.pt"
    if not weights.exists():
        Official(config, size, str(device)).save(weights)
    return Model(str(weights), config, size, str(device), settings.precision)


def _pair(settings: Settings, name: str, size: int) -> tuple[Official, Network]:
    """Return the official predictor and our network, with the same weights."""
    model = _model(settings, name, size)
    return _official(model.config, size, model.device), model.load()


@cache
def _official(config: str, size: int, device: str) -> Official:
    return Official(config, size, device)
