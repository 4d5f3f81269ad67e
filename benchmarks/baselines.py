"""What the embedded model is measured against: methods without any learning.

Both start from the same clicks as the model does and know nothing else of the truth.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.color import rgb2gray
from skimage.registration import optical_flow_tvl1
from skimage.segmentation import random_walker
from skimage.transform import resize

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import Point

Mask = NDArray[np.bool_]
Image = NDArray[np.uint8]

BETA = 2000.0  # of 130 to 6000, the best on the prompted frames of the benchmark's own cases
REACH = 0.4  # of the frame's shorter side: beyond it from every positive click is background
SEED = 0.006  # radius of a click's seed, as a share of the frame's shorter side
BAND = 0.25  # how far an outline may move between frames, as a share of the object's radius
SIDE = 256  # pixels; longer sides are brought down to it, as for the network

FOREGROUND, BACKGROUND, INACTIVE = 1, 2, -1
skimage = version("scikit-image")


class RandomWalker:
    """Grady's random walker: clicks on one frame, then each mask seeds its neighbour.

    On the clicked frame the image's border, negative clicks and whatever lies beyond `REACH`
    of every positive click are background. On each next frame the eroded previous mask is
    foreground and what lies outside the dilated one is background.
    """

    name = "random walker"

    @property
    def version(self) -> str:
        """Name and parameters: scores are cached by it."""
        return f"{self.name}, 1: beta {BETA}, {REACH}, {SEED}, {BAND}, {SIDE}, skimage {skimage}"

    def segment(self, frames: FrameSource, frame: int, points: Sequence[Point]) -> Mask:
        """Return the (H, W) mask of points that enter together."""
        image = frames.read(frame)
        shape, side = image.shape[:2], min(image.shape[:2])
        seeds = np.zeros(shape, np.int8)
        seeds[_distance(shape, [p for p in points if p.positive]) > REACH * side] = BACKGROUND
        seeds[[0, -1]] = seeds[:, [0, -1]] = BACKGROUND
        for point in points:
            near = _distance(shape, [point]) <= max(1.0, SEED * side)
            seeds[near] = FOREGROUND if point.positive else BACKGROUND
        return _walk(image, seeds)

    def interact(self, frames: FrameSource, frame: int) -> Callable[[Point], Mask]:
        """Return a function that adds a click to the seeds and solves anew."""
        points: list[Point] = []

        def answer(point: Point) -> Mask:
            points.append(point)
            return self.segment(frames, frame, points)

        return answer

    def follow(self, image: Image, previous: Mask) -> Mask:
        """Return the mask on the frame beside the one that `previous` belongs to."""
        if not previous.any():
            return previous
        band = max(2.0, BAND * float(np.sqrt(previous.sum() / np.pi)))
        depth = ndi.distance_transform_edt(np.pad(previous, 1))[1:-1, 1:-1]
        seeds = np.zeros(previous.shape, np.int8)
        seeds[ndi.distance_transform_edt(~previous) > band] = BACKGROUND
        seeds[depth > min(band, 0.7 * depth.max())] = FOREGROUND
        return _walk(image, seeds)

    def track(self, frames: FrameSource, prompted: int, points: Sequence[Point]) -> Mask:
        """Return the (T, H, W) masks of an object that is clicked on one frame."""
        masks = np.zeros((len(frames), *frames.shape), np.bool_)
        masks[prompted] = self.segment(frames, prompted, points)
        for frame, neighbour in _outward(len(frames), prompted):
            masks[frame] = self.follow(frames.read(frame), masks[neighbour])
        return masks


class CarriedByFlow(RandomWalker):
    """The random walker's first mask, carried from frame to frame by TV-L1 optical flow."""

    name = "walker + TV-L1 flow"

    def track(self, frames: FrameSource, prompted: int, points: Sequence[Point]) -> Mask:
        """Return the (T, H, W) masks of an object that is clicked on one frame."""
        carried = np.zeros((len(frames), *frames.shape), np.float32)
        carried[prompted] = self.segment(frames, prompted, points)
        grid = np.indices(frames.shape, dtype=np.float32)
        for frame, neighbour in _outward(len(frames), prompted):
            origin = grid + flow_between(frames, frame, neighbour)
            carried[frame] = ndi.map_coordinates(carried[neighbour], origin, order=1)
        return carried > 0.5


@lru_cache(maxsize=64)
def flow_between(frames: FrameSource, frame: int, neighbour: int) -> NDArray[np.float32]:
    """Return (2, H, W) shifts in pixels: where each pixel of `frame` was in `neighbour`."""
    factor = min(1.0, SIDE / max(frames.shape))
    small = tuple(max(8, round(n * factor)) for n in frames.shape)
    now, then = (
        resize(rgb2gray(frames.read(f)), small, anti_aliasing=factor < 1)
        for f in (frame, neighbour)
    )
    flow = optical_flow_tvl1(now, then, dtype=np.float32)
    return np.stack(
        [
            resize(shift, frames.shape) * (n / m)
            for shift, n, m in zip(flow, frames.shape, small, strict=True)
        ]
    ).astype(np.float32)


def _outward(length: int, start: int) -> list[tuple[int, int]]:
    """Return each frame with the neighbour that it is reached from."""
    forward = [(f, f - 1) for f in range(start + 1, length)]
    return forward + [(f, f + 1) for f in range(start - 1, -1, -1)]


def _distance(shape: tuple[int, ...], points: Sequence[Point]) -> NDArray[np.float64]:
    rows, columns = np.indices(shape)
    if not points:
        return np.full(shape, np.inf)
    return np.min([np.hypot(rows - p.y, columns - p.x) for p in points], axis=0)


def _walk(image: Image, seeds: NDArray[np.int8]) -> Mask:
    """Solve for the unseeded pixels, inside the window that holds them all."""
    mask = seeds == FOREGROUND
    if not mask.any() or not (seeds == 0).any():
        return mask
    rows, columns = (np.flatnonzero((seeds != BACKGROUND).any(axis=a)) for a in (1, 0))
    window = np.s_[max(rows[0] - 2, 0) : rows[-1] + 3, max(columns[0] - 2, 0) : columns[-1] + 3]
    shape = seeds[window].shape
    factor = min(1.0, SIDE / max(shape))
    small = tuple(max(4, round(n * factor)) for n in shape)
    picture = resize(image[window], small, anti_aliasing=factor < 1)
    inner = np.zeros(small, np.int32)
    inner[_shrink(seeds[window] == BACKGROUND, small)] = BACKGROUND
    inner[_shrink(seeds[window] == FOREGROUND, small)] = FOREGROUND
    if not (inner == BACKGROUND).any():
        inner[[0, -1]] = inner[:, [0, -1]] = BACKGROUND
    solid = ndi.binary_erosion(inner == BACKGROUND, np.ones((3, 3)), border_value=1)
    inner[solid] = INACTIVE  # only the background's rim can be reached
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The probability range")
        likely = random_walker(
            picture, inner, BETA, "cg_j", 1e-4, channel_axis=-1, return_full_prob=True
        )[0]
    mask[window] = resize(likely, shape, order=1) > 0.5
    return mask


def _shrink(seeds: Mask, shape: tuple[int, ...]) -> Mask:
    """Bring seeds to a coarser grid, and keep at least one pixel of each."""
    share = resize(seeds.astype(float), shape, order=1, anti_aliasing=True)
    return np.asarray(share > min(0.5, 0.9 * float(share.max())) if seeds.any() else share > 0.5)
