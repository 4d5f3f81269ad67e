"""The focus window: which part of a frame the network sees, for each object and frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_surgisam.data.prompts import Box
from napari_surgisam.data.regions import (
    ROOM,
    Region,
    bounds,
    box_within,
    closer,
    follow,
    inside,
    is_cut,
    mask_bounds,
    point_within,
    square_around,
    suits,
    trial_regions,
    widened,
)
from napari_surgisam.engine.checkpoints import read_architecture
from napari_surgisam.engine.models import find_weights
from napari_surgisam.engine.network import Prediction, Query
from napari_surgisam.errors import ModelError

FOCUS_CHOICES = ("default", "auto", "off")

_BACKGROUND = -10.0  # logit of what a region did not show
_SPECK = 0.1  # of an object's pixels: a smaller piece of it does not widen its box


@dataclass(frozen=True, slots=True)
class Focus:
    """Rules for where to look; it decides from masks and prompts, and holds no state.

    Parameters
    ----------
    fractions : tuple of float
        Sides of the regions that are tried around clicks, beside the whole frame, as parts
        of the frame's shorter side.
    preference : float
        Trust by which a region must be better than one of twice its side: networks find the
        parts of an object as convincing as the object.
    steadiness : float
        What the stability of a mask against its threshold counts for, beside predicted IoU.
    doubt : float
        Predicted IoU below which a tracked object counts as not found.
    """

    fractions: tuple[float, ...] = (1 / 2, 1 / 4, 1 / 8)
    preference: float = 0.03
    steadiness: float = 0.7
    doubt: float = 0.2

    def regions(
        self, query: Query, shape: tuple[int, int], least: int
    ) -> tuple[Region | None, ...]:
        """Return the regions in which to try a prompt, the widest first; the `best` answer counts.

        A box or a mask tells an object's size, and so does the mask that a click refines:
        its region stays, unless a click lies outside, the mask is cut off, or the object is
        small or large in it. Where no object was shown, clicks are tried as the first ones.

        Parameters
        ----------
        query : Query
            In frame pixels.
        shape : tuple of int
            Height and width of the frame, in pixels.
        least : int
            Side below which nothing is gained, in pixels.
        """
        if query.mask is not None:
            box = mask_bounds(query.mask, None, shape)
            return (None if box is None else _around(box, shape, least),)
        shown = None
        if query.previous_logits is not None:
            shown = _object_box(query.previous_logits, query.region, shape)
        if shown is not None:
            return (_refined(query, shown, shape, least),)
        if query.box is not None:
            return (_around(bounds(query.points, [query.box]), shape, least),)
        if any(point.positive for point in query.points):
            return trial_regions(bounds(query.points), shape, least, self.fractions)
        return (query.region,)

    def best(self, predictions: Sequence[Prediction], shape: tuple[int, int]) -> Prediction:
        """Return the answer to trust among those from several regions, the widest first."""

        def trust(prediction: Prediction) -> float:
            if prediction.presence <= 0:
                return -1.0
            zoom = 1.0 if prediction.region is None else max(shape) / prediction.region.side
            stable = self.steadiness * float(stability(prediction.mask_logits))
            return prediction.iou + stable - self.preference * log2(zoom)

        return max(predictions, key=trust)

    def following(
        self, prediction: Prediction, shape: tuple[int, int], least: int
    ) -> Region | None:
        """Return where to look for an object after a frame on which it was looked for."""
        found = prediction.prompted or prediction.iou >= self.doubt
        box = _object_box(prediction.mask_logits, prediction.region, shape) if found else None
        return follow(prediction.region, box, shape, least)

    def closer(self, prediction: Prediction, shape: tuple[int, int], least: int) -> Region | None:
        """Return where to look again at a class that is small in the frame, or None.

        Specks count: a class may be several objects, large and small.
        """
        box = mask_bounds((prediction.mask_logits > 0).cpu().numpy(), None, shape)
        return None if box is None else closer(box, shape, least)


def choose_focus(choice: str, model: str | Path) -> Focus | None:
    """Return what a choice means for a model.

    Parameters
    ----------
    choice : {"default", "auto", "off"}
        "default" is "auto" for networks like the embedded one, which see few pixels, and
        "off" for SAM 2, whose results it leaves as they are published.
    model : str or Path
        As for `load_network`.

    Raises
    ------
    ModelError
        If there is no such choice, or no such model.
    """
    if choice not in FOCUS_CHOICES:
        raise ModelError(
            f"The focus {choice!r} is unknown: choose auto, off, or default, the model's own."
        )
    if choice == "default":
        choice = "auto" if read_architecture(find_weights(model)) == "compact" else "off"
    return Focus() if choice == "auto" else None


def within(query: Query, region: Region | None, shape: tuple[int, int]) -> Query:
    """Return a query about a frame as one about a region of it, in the region's pixels."""
    previous = query.previous_logits
    if previous is not None and query.region != region:
        previous = moved_logits(previous, query.region, region, shape)
        query = replace(query, previous_logits=previous, region=region)
    if region is None:
        return query
    return replace(
        query,
        points=tuple(point_within(point, region) for point in query.points),
        box=None if query.box is None else box_within(query.box, region),
        mask=None if query.mask is None else region.crop(query.mask),
    )


def stability(logits: Tensor) -> Tensor:
    """Return the IoU of each (..., h, w) mask at a higher and at a lower threshold, (...).

    References
    ----------
    Kirillov et al., Segment Anything, arXiv:2304.02643: the stability score of automatic masks.
    """
    inner, outer = ((logits > offset).flatten(-2).sum(-1) for offset in (1.0, -1.0))
    return (inner + 1) / (outer + 1)


def moved_logits(
    logits: Tensor, before: Region | None, after: Region | None, shape: tuple[int, int]
) -> Tensor:
    """Resample (h, w) logits that cover one region to cover another, at the same size.

    What the first region did not show is background.
    """
    source, target = (r or Region(0, 0, *shape) for r in (before, after))
    axes = []
    for n, (start, length), (new_start, new_length) in (
        (logits.shape[0], (source.top, source.height), (target.top, target.height)),
        (logits.shape[1], (source.left, source.width), (target.left, target.width)),
    ):
        centres = new_start + (torch.arange(n, device=logits.device) + 0.5) * new_length / n
        axes.append((centres - start) / length * 2 - 1)
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack((columns, rows), dim=-1)[None]
    sampled = F.grid_sample(
        logits[None, None].float(), grid, padding_mode="border", align_corners=False
    )[0, 0]
    shown = (rows.abs() <= 1) & (columns.abs() <= 1)
    return sampled.where(shown, sampled.new_tensor(_BACKGROUND))


def _around(box: Box, shape: tuple[int, int], least: int) -> Region | None:
    return square_around(box, max(ROOM * (box.y1 - box.y0), ROOM * (box.x1 - box.x0), least), shape)


def _refined(query: Query, shown: Box, shape: tuple[int, int], least: int) -> Region | None:
    region, boxes = query.region, [shown] if query.box is None else [shown, query.box]
    box = bounds(query.points, boxes)
    if not suits(box, region, shape):
        return _around(box, shape, least)
    if is_cut(shown, region, shape) or not all(inside(point, region) for point in query.points):
        return widened(region, box, shape)
    return region


def _object_box(logits: Tensor, region: Region | None, shape: tuple[int, int]) -> Box | None:
    """Return the box of an object in frame pixels, specks left out, or None."""
    return mask_bounds(_without_specks((logits > 0).cpu().numpy()), region, shape)


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    return np.asarray((areas >= _SPECK * areas.sum())[pieces])
