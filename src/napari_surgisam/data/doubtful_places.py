"""Where a person should look first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from napari_surgisam.data.confidence import DEFAULT, Confidence
from napari_surgisam.data.curves import Curve, Flags
from napari_surgisam.data.prompts import ObjectId

LEAST = 0.2
"""Confidence under which a mask is doubtful."""

APART = 5
"""Frames that may lie between two doubtful ones of the same place."""

SURELY_ABSENT = -1.0
"""Presence logit under which an empty mask is no reason for doubt."""


@dataclass(frozen=True, slots=True)
class DoubtfulPlace:
    """Neighbouring frames on which one object's masks are doubtful.

    Parameters
    ----------
    confidence : float
        Of the worst frame.
    object_id : ObjectId
    worst, start, stop : int
        The worst frame, the first one, and the one after the last.
    """

    confidence: float
    object_id: ObjectId
    worst: int
    start: int
    stop: int

    @property
    def frames(self) -> range:
        """First to last doubtful frame."""
        return range(self.start, self.stop)


def find_doubtful(
    curves: Iterable[Curve],
    confidence: Confidence = DEFAULT,
    *,
    least: float = LEAST,
    apart: int = APART,
) -> list[DoubtfulPlace]:
    """Return the doubtful places of some objects, the worst first.

    Prompted, accepted and stale frames are never among them, and a prompted or accepted frame
    ends a place. Of equally bad frames the first counts.
    """
    places: list[DoubtfulPlace] = []
    for curve in curves:
        trust, checked = confidence(curve), curve.checked
        doubtful = np.flatnonzero(_doubtful(curve) & (trust < least))
        between = np.cumsum(checked)
        breaks = (np.diff(doubtful) > apart + 1) | (np.diff(between[doubtful]) > 0)
        for frames in np.split(doubtful, np.flatnonzero(breaks) + 1):
            if len(frames):
                worst = int(frames[np.argmin(trust[frames])])
                first, stop = int(frames[0]), int(frames[-1]) + 1
                places.append(
                    DoubtfulPlace(float(trust[worst]), curve.object_id, worst, first, stop)
                )
    return sorted(places, key=attrgetter("confidence", "object_id", "start"))


def _doubtful(curve: Curve) -> Flags:
    """Return on which frames doubt is possible."""
    with np.errstate(invalid="ignore"):
        gone = (curve.area == 0) & (curve.presence < SURELY_ABSENT)
    return np.asarray(curve.open & ~gone)
