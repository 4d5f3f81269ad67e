"""The sample clip: photographic cut-outs that move over a photographic background."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage import data, draw, transform

FRAMES, HEIGHT, WIDTH, RATE = 48, 480, 640, 12
SHUTTER, EXPOSURES = 0.5, 4  # open for half the frame's time, as a film camera's

Picture = NDArray[np.float64]
"""(H, W, 3) linear light in [0, 1], or (H, W) coverage in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a cut-out's centre is (frame pixels), its magnification and turn (radians)."""

    y: float
    x: float
    scale: float
    turn: float


@dataclass(frozen=True, slots=True)
class Puppet:
    """A cut-out (colour times coverage, and coverage) with the path that it follows."""

    colour: Picture
    coverage: Picture
    path: Callable[[float], Pose]


def _polygon(shape: tuple[int, int], corners: list[tuple[float, float]]) -> Picture:
    rows, columns = np.transpose(corners)
    return draw.polygon2mask(shape, np.column_stack([rows, columns])).astype(float)


def _ellipse(shape: tuple[int, int], y: float, x: float, ry: float, rx: float) -> Picture:
    rows, columns = np.indices(shape)
    return (((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 <= 1).astype(float)


def _cut_out(picture: NDArray[np.uint8], mask: Picture, softness: float) -> tuple[Picture, Picture]:
    coverage = ndi.gaussian_filter(np.pad(mask, 8), softness)
    linear = np.pad(picture / 255.0, ((8, 8), (8, 8), (0, 0)), mode="edge") ** 2.2
    rows, columns = np.nonzero(coverage > 1e-3)
    window = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return linear[window] * coverage[window][..., None], coverage[window]


def cup() -> tuple[Picture, Picture]:
    """Cut out the coffee cup with its saucer and the spoon's handle."""
    picture = data.coffee()
    shape = picture.shape[:2]
    saucer = _ellipse(shape, 229, 278, 158.5, 200)
    rim = _ellipse(shape, 112.5, 290.5, 94, 117)
    wall = _polygon(shape, [(112, 173.5), (112, 408), (190, 385), (190, 200)])
    spoon = _polygon(shape, [(68, 401), (66.5, 410), (69, 421), (78, 424), (120, 410), (100, 398)])
    return _cut_out(picture, np.maximum.reduce([saucer, rim, wall, spoon]), 1.0)


def cat() -> tuple[Picture, Picture]:
    """Cut an oval portrait out of the cat's face."""
    picture = data.chelsea()
    return _cut_out(picture, _ellipse(picture.shape[:2], 141, 196, 129, 153), 1.2)


def eye() -> tuple[Picture, Picture]:
    """Cut the round field of view out of the photograph of a retina."""
    picture = transform.resize(data.retina(), (353, 353), anti_aliasing=True)
    disc = _ellipse((353, 353), 176, 175, 171, 170)
    return _cut_out(np.rint(picture * 255).astype(np.uint8), disc, 1.0)


def lawn() -> Picture:
    """Colour the grey photograph of grass, with a lens's slight lack of focus."""
    grey = transform.resize(data.grass() / 255.0, (900, 900), order=3)
    grey = ndi.gaussian_filter(np.clip(grey, 0, 1), 1.4)
    stops = [0.0, 0.35, 0.65, 1.0]
    red, green, blue = (
        np.interp(grey, stops, levels)
        for levels in ([10, 62, 118, 205], [22, 88, 148, 225], [12, 40, 72, 150])
    )
    return (np.stack([red, green, blue], axis=-1) / 255) ** 2.2


def _ease(time: float, start: float, end: float) -> float:
    """Rise smoothly from 0 at frame `start` to 1 at frame `end`."""
    phase = np.clip((time - start) / (end - start), 0, 1)
    return float(phase * phase * (3 - 2 * phase))


def cup_path(time: float) -> Pose:
    """Come nearer from the lower left to the middle."""
    rise = _ease(time, 0, 47)
    sway = np.sin(time / 7)
    return Pose(350 - 45 * rise + 6 * sway, 165 + 155 * rise, 0.50 + 0.20 * rise, 0.10 * sway)


def cat_path(time: float) -> Pose:
    """Wander along the top from right to left, behind the cup."""
    share = _ease(time, -6, 50)
    bob = np.cos(time / 5)
    return Pose(122 + 92 * share + 8 * bob, 450 - 350 * share, 0.68 - 0.08 * share, 0.16 * bob)


def eye_path(time: float) -> Pose:
    """Roll out over the right edge, and back in higher up."""
    out = _ease(time, 4, 18) - _ease(time, 21, 36)
    climb = _ease(time, 18, 47)
    return Pose(375 - 245 * climb, 530 + 220 * out, 0.46 + 0.05 * climb, 0.2 + 2.4 * out)


def _place(layer: Picture, pose: Pose) -> Picture:
    """Resample a layer with its centre at `pose`; zero outside it."""
    cosine, sine = np.cos(pose.turn) / pose.scale, np.sin(pose.turn) / pose.scale
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    centre = (np.array(layer.shape[:2]) - 1) / 2
    offset = centre - matrix @ np.array([pose.y, pose.x])
    smooth = ndi.gaussian_filter(layer, max(0.0, 0.4 / pose.scale - 0.4), axes=(0, 1))
    channels = [
        ndi.affine_transform(channel, matrix, offset, (HEIGHT, WIDTH), order=1)
        for channel in np.atleast_3d(smooth).transpose(2, 0, 1)
    ]
    return np.stack(channels, axis=-1).reshape(HEIGHT, WIDTH, *layer.shape[2:])


def _expose(ground: Picture, puppets: list[Puppet], time: float) -> Picture:
    """Compose one instant, the first puppet hindmost, each with a soft shadow."""
    pan = _ease(time, -10, 58)
    light = _place(ground, Pose(250 - 34 * pan, 310 + 60 * pan, 1.06 + 0.06 * pan, 0.05 * pan))
    for puppet in puppets:
        pose = puppet.path(time)
        coverage = _place(puppet.coverage, pose)
        shadow = ndi.gaussian_filter(ndi.shift(coverage, (9, 6), order=1), 7)
        light *= 1 - 0.45 * shadow[..., None] * (1 - coverage[..., None])
        light = light * (1 - coverage[..., None]) + _place(puppet.colour, pose)
    return light


def render(
    ground: Picture, puppets: list[Puppet], frame: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Film one frame: image, and the labels at the middle of the exposure.

    Puppet `n` (from 0) has the label `n + 1`; a nearer one hides those behind it.
    """
    instants = frame + SHUTTER * ((np.arange(EXPOSURES) + 0.5) / EXPOSURES - 0.5)
    light = np.mean([_expose(ground, puppets, instant) for instant in instants], axis=0)
    cloud = 1 - 0.16 * np.sin(np.pi * frame / 30) ** 2
    rows, columns = np.indices((HEIGHT, WIDTH))
    vignette = 1 - 0.22 * (((rows / HEIGHT - 0.5) ** 2 + (columns / WIDTH - 0.5) ** 2) / 0.5)
    light *= (cloud * vignette)[..., None] * np.array([1.0, 1.0, 1.04 - 0.08 * cloud])
    image = 255 * np.clip(light, 0, 1) ** (1 / 2.2) + rng.normal(0, 1.5, light.shape)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, puppet in enumerate(puppets, start=1):
        labels[_place(puppet.coverage, puppet.path(frame)) > 0.5] = label
    return np.clip(np.rint(image), 0, 255).astype(np.uint8), labels


def _encode(path: Path, images: list[NDArray[np.uint8]]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"crf": "20", "preset": "slow", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


CLICKS = (  # frame, y, x, object, polarity: what a person would click
    (0, 130, 462, 1, "positive"),  # the cat: between the eyes
    (0, 165, 380, 1, "positive"),  # its cheek
    (0, 378, 535, 2, "positive"),  # the retina
    (0, 330, 165, 3, "positive"),  # the cup: the coffee
    (0, 272, 165, 3, "positive"),  # its rim
    (0, 380, 95, 3, "positive"),  # the saucer, left
    (0, 350, 245, 3, "positive"),  # the saucer, right
    (0, 418, 165, 3, "positive"),  # the saucer, below
    (0, 280, 82, 3, "negative"),  # the grass beside the cup
    # corrections: the cup again, once it has grown
    (20, 288, 229, 3, "positive"),
    (20, 243, 229, 3, "positive"),
    (20, 380, 147, 3, "positive"),
    (20, 368, 325, 3, "positive"),
    (20, 429, 227, 3, "positive"),
    # and both where the cup hides part of the cat
    (30, 181, 202, 1, "positive"),
    (30, 224, 147, 1, "positive"),
    (30, 157, 264, 1, "positive"),
    (30, 294, 288, 3, "positive"),
    (30, 208, 288, 3, "positive"),
    (30, 329, 184, 3, "positive"),
    (30, 322, 386, 3, "positive"),
    (30, 420, 276, 3, "positive"),
)


def write_prompts(path: Path, clicks: tuple[tuple[float, float, float, int, str], ...]) -> None:
    """Write clicks (axis-0, axis-1, axis-2, object, polarity) as napari's points CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["index", "axis-0", "axis-1", "axis-2", "object_id", "polarity"])
        for index, (z, y, x, object_id, polarity) in enumerate(clicks):
            table.writerow([index, float(z), float(y), float(x), object_id, polarity])


def write_clip(folder: Path) -> None:
    """Write clip.mp4, clip_labels.tif and clip_prompts.csv."""
    puppets = [Puppet(*cat(), cat_path), Puppet(*eye(), eye_path), Puppet(*cup(), cup_path)]
    ground, rng = lawn(), np.random.default_rng(7)
    frames = [render(ground, puppets, frame, rng) for frame in range(FRAMES)]
    _encode(folder / "clip.mp4", [image for image, _ in frames])
    tifffile.imwrite(
        folder / "clip_labels.tif",
        np.stack([labels for _, labels in frames]),
        compression="zlib",
        predictor=True,
        metadata={"axes": "TYX"},
    )
    write_prompts(folder / "clip_prompts.csv", CLICKS)
