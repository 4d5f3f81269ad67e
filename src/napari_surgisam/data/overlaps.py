"""Who has a pixel that several objects claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.masklets import Masklet, paint_labels
from napari_surgisam.data.prompts import ObjectId


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """How an object stands towards others where they overlap; the greater lies in front.

    Parameters
    ----------
    locked : bool
        Its pixels are nobody else's.
    priority : int
    by_order : bool
        Whether of several such objects the first has the pixel, instead of the surest.
    """

    locked: bool = False
    priority: int = 0
    by_order: bool = False


Claims = Mapping[ObjectId, Claim]
USUAL = Claim()
NO_CLAIMS: Claims = MappingProxyType({})


def paint_overlapping(
    masklets: Iterable[Masklet], frame: int, shape: tuple[int, int], claims: Claims = NO_CLAIMS
) -> NDArray[np.uint16]:
    """Paint the objects of one frame, by what they claim.

    Parameters
    ----------
    masklets : iterable of Masklet
        In the order of the list of objects.
    frame : int
    shape : tuple of int
        Height and width of the frame, in pixels.
    claims : mapping of ObjectId to Claim
        An object that is missing has the usual claim: of these the surest wins.

    Returns
    -------
    (H, W) uint16 array
        Object ids; 0 where no object is.
    """
    masklets = list(masklets)
    levels: dict[Claim, list[Masklet]] = {}
    for masklet in masklets:
        levels.setdefault(claims.get(masklet.object_id, USUAL), []).append(masklet)
    if len(levels) == 1 and not next(iter(levels)).by_order:
        return paint_labels(masklets, frame, shape)
    labels = np.zeros(shape, np.uint16)
    for claim in sorted(levels):  # from behind
        # Those that go by the list are painted one by one, the first of them last.
        members = levels[claim]
        groups = [[m] for m in reversed(members)] if claim.by_order else [members]
        for group in groups:
            if any(frame in masklet for masklet in group):
                painted = paint_labels(group, frame, shape)
                np.copyto(labels, painted, where=painted > 0)
    return labels
