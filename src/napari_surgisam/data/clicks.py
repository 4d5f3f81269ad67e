"""Clicks and boxes that stand in for a person's, derived from a true mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_surgisam.data.prompts import Box, MaskPrompt, ObjectId, Point, Prompt
from napari_surgisam.errors import PromptError

Seed = int | np.random.Generator | None
"""Where randomness comes from: a seed, a generator, or None for fresh entropy."""

ClickMode = Literal["center", "random"]
PromptKind = Literal["points", "box", "mask"]
MAX_CLICKS = 10
"""Clicks that a frame is prompted with at most, before there is any mask to correct."""


def first_click(mask: NDArray[np.bool_], seed: Seed = None, *, mode: ClickMode = "center") -> Point:
    """Click an object for the first time.

    Parameters
    ----------
    mask : (H, W) bool array
        The true mask.
    seed : int or Generator, optional
        Used by "random" alone.
    mode : {"center", "random"}
        "center": the pixel farthest from the background, the image's border counting as
        background; of several, the first in reading order. "random": any of the mask.

    Returns
    -------
    Point
        A positive click.

    Raises
    ------
    PromptError
        If the mask is empty.
    """
    if mode == "random":
        return random_clicks(mask, 1, seed)[0]
    return spread_clicks(mask, 1)[0]


def random_clicks(mask: NDArray[np.bool_], count: int, seed: Seed = None) -> tuple[Point, ...]:
    """Draw positive clicks from a mask, uniformly and without repetition.

    This is how BioSAM-2 and SurgiSAM2 prompt, with no model in the loop.

    Parameters
    ----------
    mask : (H, W) bool array
    count : int
        How many clicks, at least 1.
    seed : int or Generator, optional

    Returns
    -------
    tuple of Point
        `count` clicks; the first ones of a longer draw with the same seed may differ.

    Raises
    ------
    PromptError
        If the mask has fewer pixels than `count`.
    """
    pixels = np.flatnonzero(mask)
    _check_count(pixels.size, count)
    chosen = np.random.default_rng(seed).choice(pixels, size=count, replace=False)
    return tuple(_point(index, mask.shape, positive=True) for index in chosen)


def spread_clicks(mask: NDArray[np.bool_], count: int) -> tuple[Point, ...]:
    """Spread positive clicks over a mask as a careful person would, with no model in the loop.

    The first click lies in the centre. Each next one lies where the distance to the nearest
    earlier click, times that to the background or to the image's border, is largest: away from
    the others, but well inside. The first `n` of more clicks are the `n` clicks.

    Parameters
    ----------
    mask : (H, W) bool array
    count : int
        How many clicks, at least 1.

    Returns
    -------
    tuple of Point
        `count` clicks, the centre first. They repeat exactly from call to call.

    Raises
    ------
    PromptError
        If the mask has fewer pixels than `count`.
    """
    _check_count(int(np.count_nonzero(mask)), count)
    depth = _depth(mask)
    apart = np.ones(mask.shape)  # nothing to keep away from yet
    unclicked = np.ones(mask.shape, dtype=np.bool_)
    clicks = []
    for _ in range(count):
        index = int((depth * apart).argmax())
        clicks.append(_point(index, mask.shape, positive=True))
        unclicked.flat[index] = False
        apart = ndi.distance_transform_edt(unclicked)
    return tuple(clicks)


def correction_click(
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    clicked: Sequence[Point] = (),
    mode: ClickMode = "center",
    seed: Seed = None,
) -> Point | None:
    """Click an error: positive where something was missed, negative where it is extra.

    The largest error is the one that holds the largest disc; the image's border counts as
    its edge. Of equally large ones a missed part comes first.

    Parameters
    ----------
    prediction, reference : (H, W) bool array
    clicked : sequence of Point
        Earlier clicks: their pixels are not clicked again, so that a prediction that does
        not follow its clicks still gets new ones.
    mode : {"center", "random"}
        "center": the centre of the largest error. "random": any wrong pixel, all as likely.
    seed : int or Generator, optional
        Used by "random" alone.

    Returns
    -------
    Point or None
        None when nothing is wrong, or every wrong pixel has been clicked.

    Raises
    ------
    PromptError
        If the shapes differ.

    References
    ----------
    Sofiiuk et al., Reviving Iterative Training with Mask Guidance for Interactive
    Segmentation, ICIP 2022, clicks the centre; SAM 2 knows both ways.
    """
    if prediction.shape != reference.shape:
        raise PromptError(
            f"The prediction has the shape {prediction.shape}, the reference {reference.shape}: "
            "bring both to the image's own grid before simulating a correction."
        )
    fresh = np.ones(reference.shape, dtype=np.bool_)
    for point in clicked:
        fresh[round(point.y), round(point.x)] = False
    if mode == "random":
        wrong = np.flatnonzero((reference ^ prediction) & fresh)
        if not wrong.size:
            return None
        index = int(np.random.default_rng(seed).choice(wrong))
        return _point(index, reference.shape, positive=bool(reference.flat[index]))
    missed = _depth(reference & ~prediction) * fresh
    extra = _depth(prediction & ~reference) * fresh
    positive = bool(missed.max() >= extra.max())
    error = missed if positive else extra
    if error.max() == 0:
        return None
    return _point(int(error.argmax()), reference.shape, positive=positive)


def simulated_prompt(
    object_id: ObjectId,
    frame: int,
    mask: NDArray[np.bool_],
    *,
    kind: PromptKind = "points",
    clicks: int = 3,
    mode: ClickMode = "random",
    seed: Seed = None,
) -> Prompt | MaskPrompt:
    """Prompt an object on a frame as a person would who knows the truth.

    Parameters
    ----------
    object_id : ObjectId
    frame : int
    mask : (H, W) bool array
        The true mask.
    kind : {"points", "box", "mask"}
        Positive clicks, a box with jitter, or the mask itself.
    clicks : int
        How many points, 1 to 10; an object with fewer pixels is clicked on each of them.
    mode : {"center", "random"}
        See `random_clicks` and `spread_clicks`.
    seed : int or Generator, optional

    Returns
    -------
    Prompt or MaskPrompt

    Raises
    ------
    PromptError
        If the mask is empty, or the number of clicks is impossible.
    """
    if kind == "mask":
        if not mask.any():
            raise PromptError(f"Object {object_id} is not on frame {frame}: its mask is empty.")
        return MaskPrompt(object_id, frame, np.array(mask, dtype=np.bool_))
    if kind == "box":
        return Prompt(object_id, frame, box=jittered_box(mask, seed))
    if not 1 <= clicks <= MAX_CLICKS:
        raise PromptError(f"Asked for {clicks} clicks: 1 to {MAX_CLICKS} can be simulated.")
    count = min(clicks, max(int(np.count_nonzero(mask)), 1))
    points = random_clicks(mask, count, seed) if mode == "random" else spread_clicks(mask, count)
    return Prompt(object_id, frame, points)


def interacted_frames(
    visible: Sequence[int], count: int, *, spread: bool = False
) -> tuple[int, ...]:
    """Choose the frames on which a simulated person prompts an object.

    Parameters
    ----------
    visible : sequence of int
        Frames on which the object can be seen, ascending.
    count : int
        How many frames to prompt, at least 1; all where there are fewer.
    spread : bool
        The first ones (False), or evenly spread over all, the first and the last included.

    Returns
    -------
    tuple of int
        Ascending.

    Raises
    ------
    PromptError
        If the object is seen nowhere, or no frame is asked for.
    """
    if not visible:
        raise PromptError("The object is on no frame, so it can be prompted on none.")
    if count < 1:
        raise PromptError(f"Asked to prompt {count} frames: at least one is needed.")
    if not spread:
        return tuple(visible[:count])
    steps = np.linspace(0, len(visible) - 1, min(count, len(visible))).round().astype(int)
    return tuple(visible[k] for k in steps)


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Draw the smallest box around a mask, along the outer edges of its pixels.

    Parameters
    ----------
    mask : (H, W) bool array

    Returns
    -------
    Box
        Half a pixel beyond the outermost pixel centres, so never degenerate.

    Raises
    ------
    PromptError
        If the mask is empty.
    """
    if not mask.any():
        raise PromptError("An empty mask has no box: the object is not on this frame.")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(rows[0] - 0.5, columns[0] - 0.5, rows[-1] + 0.5, columns[-1] + 0.5)


def jittered_box(
    mask: NDArray[np.bool_], seed: Seed = None, *, noise: float = 0.1, limit: float = 20.0
) -> Box:
    """Draw a box around a mask as imprecisely as a person does.

    Parameters
    ----------
    mask : (H, W) bool array
    seed : int or Generator, optional
    noise : float
        Largest shift of an edge, as a share of the box's height or width; all are as likely.
    limit : float
        Largest shift of an edge in pixels, whatever the box's size.

    Returns
    -------
    Box
        Inside the frame, with at least one pixel of height and width.

    Raises
    ------
    PromptError
        If the mask is empty.

    References
    ----------
    SAM 2 jitters the boxes of its training so (noise 0.1, limit 20 pixels).
    """
    box = bounding_box(mask)
    height, width = mask.shape
    rng = np.random.default_rng(seed)
    y0, y1 = _jitter(rng, box.y0, box.y1, height, noise, limit)
    x0, x1 = _jitter(rng, box.x0, box.x1, width, noise, limit)
    return Box(y0, x0, y1, x1)


def _jitter(
    rng: np.random.Generator, low: float, high: float, size: int, noise: float, limit: float
) -> tuple[float, float]:
    reach = min(noise * (high - low), limit)
    shifts = rng.uniform(-reach, reach, 2)
    edges = np.clip(np.array([low, high]) + shifts, -0.5, size - 0.5)
    if edges[1] - edges[0] < 1:
        return low, high
    return float(edges[0]), float(edges[1])


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each pixel's distance to the nearest one outside; the frame ends in background."""
    padded = ndi.distance_transform_edt(np.pad(mask, 1))
    return np.asarray(padded[1:-1, 1:-1], dtype=np.float64)


def _point(index: int, shape: tuple[int, ...], *, positive: bool) -> Point:
    y, x = np.unravel_index(int(index), shape)
    return Point(float(y), float(x), positive)


def _check_count(pixels: int, count: int) -> None:
    if count < 1:
        raise PromptError(f"Asked for {count} clicks: at least one is needed.")
    if pixels < count:
        raise PromptError(
            f"Asked for {count} clicks in a mask of {pixels} pixels: an object must be on the "
            "frame, and have as many pixels as clicks."
        )
