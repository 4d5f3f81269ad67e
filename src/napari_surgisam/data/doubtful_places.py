"""Where a person should look first: where a correction is expected to mend most.

A correction mends its own frame, and what lies nearer to it than to any frame that was checked
before, the less the further away. How much there is to mend is the doubt: 1 - `expected_iou` of a
mask, and of an empty one the odds that the object is there. So the middle of a long doubtful
stretch comes before its worst frame, and stretches that are worse before others. In a volume,
where it is voxels that count, large sections weigh more, and doubt soon grows no more: where slices
lie and how large they are says more of what a correction mends than their predicted IoU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_surgisam.data.confidence import expected_iou, fading
from napari_surgisam.data.curves import Curve, Figures, Flags
from napari_surgisam.data.prompts import ObjectId

LEAST = 0.2
"""Confidence under which a mask is doubtful."""

LEAST_GAIN = 0.5
"""Frames' worth of IoU that a correction must be expected to mend, for a place to be one."""

MOST = 20
"""Places of one object: many more are no list that anyone works through."""

APART = 5
"""Frames around a place that are no place of their own."""

MENDED = 15.0
"""Frames over which what a correction mends fades."""

COMPLETE = 0.3
"""Expected error from which on doubt of a volume's slice that shows the object grows no more."""

SHOWN = 0.8
"""Most doubt of such a slice: one that lacks the object lacks it wholly."""

REACH = 30
"""Frames beyond which a correction is not counted on."""

SURELY_ABSENT = -1.5
"""Presence logit under which an empty mask is no reason for doubt."""


@dataclass(frozen=True, slots=True)
class DoubtfulPlace:
    """A frame whose correction would mend one object's masks there and beside it.

    Parameters
    ----------
    gain : float
        What is expected to be mended: frames' worth of IoU.
    object_id : ObjectId
    frame : int
        The frame to correct.
    start, stop : int
        The first frame that would lie nearest to it, and the one after the last.
    """

    gain: float
    object_id: ObjectId
    frame: int
    start: int
    stop: int

    @property
    def frames(self) -> range:
        """First to last frame that the correction is for."""
        return range(self.start, self.stop)


def find_doubtful(curves: Iterable[Curve], *, by_area: bool = False) -> list[DoubtfulPlace]:
    """Return the doubtful places of some objects, first those where a correction gains most.

    Each place of an object supposes that those before it are mended, so that neighbours count
    once. Prompted, accepted and stale frames are never proposed. Of frames that gain as much
    the first counts.

    Parameters
    ----------
    curves : iterable of Curve
    by_area : bool
        Whether a frame counts for its share of the object's largest area, and an empty one for that
        of the nearest that is not, and doubt grows no more from `COMPLETE` on: for volumes.
    """
    places = (place for curve in curves for place in _places(curve, by_area))
    return sorted(places, key=lambda place: (-place.gain, place.object_id, place.frame))


@lru_cache(maxsize=128)  # it stays while masks of other objects stream in
def _places(curve: Curve, by_area: bool) -> tuple[DoubtfulPlace, ...]:
    doubtful = open_to_doubt(curve)
    doubt = np.where(doubtful, _wrong(curve, by_area), np.float32(0))
    held = fading(curve.prompted, curve.accepted, len(curve), MENDED).copy()
    own = doubt * held  # the frame itself is mended wholly, however near it is
    gain = np.where(doubtful, own + _gains(doubt, held), np.float32(0))
    fade = _fade()
    places: list[DoubtfulPlace] = []
    while len(places) < MOST and gain.max(initial=0) >= LEAST_GAIN:
        frame = int(gain.argmax())
        first, stop = max(frame - REACH, 0), min(frame + REACH + 1, len(curve))
        mended = fade[first - frame + REACH : stop - frame + REACH]
        nearer = doubtful[first:stop] & (mended > held[first:stop])
        start, end = _run(nearer, frame - first)
        place = DoubtfulPlace(
            float(gain[frame]), curve.object_id, frame, first + start, first + end
        )
        places.append(place)
        np.maximum(held[first:stop], mended, out=held[first:stop])
        doubtful[max(frame - APART, 0) : frame + APART + 1] = False
        # what changed reaches as far again; twice as far for the gains to be whole
        outer, inner = (
            slice(max(first - n * REACH, 0), min(stop + n * REACH, len(curve))) for n in (2, 1)
        )
        again = _gains(doubt[outer], held[outer])[inner.start - outer.start :]
        again = own[inner] + again[: inner.stop - inner.start]
        gain[inner] = np.where(doubtful[inner], again, 0)
    return tuple(places)


def _wrong(curve: Curve, by_area: bool) -> Figures:
    """Return how much of each mask is expected to be wrong, in [0, 1]; perhaps by its area."""
    error = 1 - expected_iou(curve)
    if by_area:
        error = np.minimum(error / np.float32(COMPLETE), 1) * np.float32(SHOWN)
    odds = np.exp(np.minimum(curve.presence, 0))
    wrong = np.asarray(np.where(curve.area == 0, odds, error), np.float32)
    return wrong * _share(curve) if by_area else wrong


def _share(curve: Curve) -> Figures:
    """Return each area as a share of the largest; of a frame without one, of the nearest's."""
    area = np.nan_to_num(curve.area)
    shown = np.flatnonzero(area)
    if not len(shown):
        return np.ones(len(curve), np.float32)
    between = (shown[1:] + shown[:-1]) / 2
    nearest = shown[np.searchsorted(between, np.arange(len(curve)))]
    return np.asarray(area[nearest] / area.max(), np.float32)


def _gains(doubt: Figures, held: Figures) -> Figures:
    """Return what a correction of each frame mends, given how near each is to a checked one."""
    there, near = (
        sliding_window_view(np.pad(values, REACH), 2 * REACH + 1) for values in (doubt, held)
    )
    nearer = np.subtract(_fade(), near)
    np.maximum(nearer, 0, out=nearer)
    return np.asarray(np.einsum("ij,ij->i", there, nearer), np.float32)


@lru_cache(maxsize=1)
def _fade() -> Figures:
    return np.exp(-np.abs(np.arange(-REACH, REACH + 1)) / MENDED).astype(np.float32)


def _run(flags: Flags, inside: int) -> tuple[int, int]:
    """Return the start and stop of the run of flags around an index."""
    outside = np.flatnonzero(~flags)
    after = int(np.searchsorted(outside, inside))
    start = int(outside[after - 1]) + 1 if after else 0
    return start, int(outside[after]) if after < len(outside) else len(flags)


def open_to_doubt(curve: Curve) -> Flags:
    """Return on which frames doubt is possible.

    Parameters
    ----------
    curve : Curve

    Returns
    -------
    (T,) bool array
        False on checked and stale frames, and on empty ones where the object is surely absent or
        that lie behind one which a person found empty.
    """
    empty = curve.area == 0
    with np.errstate(invalid="ignore"):
        gone = empty & (curve.presence < SURELY_ABSENT)
    # what a person found empty lies behind its end, and so does what is empty further on
    seen, left = curve.known & ~empty, curve.checked & empty
    nearest = np.stack([_latest(seen, left), _latest(seen[::-1], left[::-1])[::-1]])
    behind = empty & (nearest.max(axis=0) <= 0) & (nearest.min(axis=0) < 0)
    return np.asarray(curve.open & ~gone & ~behind)


def _latest(seen: Flags, left: Flags) -> NDArray[np.int8]:
    """Return which flag was the last until each frame: 1 seen, -1 left, 0 none."""
    frames = np.arange(len(seen))
    latest = [np.maximum.accumulate(np.where(flags, frames, -1)) for flags in (seen, left)]
    return np.asarray(np.sign(latest[0] - latest[1]), np.int8)
