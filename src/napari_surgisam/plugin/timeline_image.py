"""The review timeline as pixels: a row an object, a column a bin of frames; no Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.confidence import DEFAULT, predicted_iou, presence, steadiness
from napari_surgisam.data.curves import Curve, Figures, Flags
from napari_surgisam.data.doubtful_places import LEAST, open_to_doubt
from napari_surgisam.data.prompts import ObjectId

Pixels = NDArray[np.uint8]
RGB = tuple[int, int, int]

PERIOD, STRIPE_WIDTH = 8, 2  # of the hatching, in pixels
BAND = 4  # height of the accepted band, in pixels
GAP = 2  # pixels between two rows
FILL = 0.6
"""How strong a height is in its object's colour."""

LINES: Mapping[str, Callable[[Curve], Figures]] = {
    "predicted IoU": predicted_iou,
    "presence": presence,
    "change of area": steadiness,
}
"""What can be drawn as lines over the heights; each is high where there is nothing to see to."""

_BACK, _UNDER, _DOUBT, _ACCEPTED, _STRIPE = range(5)
_COLOURS: tuple[RGB, ...] = (
    (30, 33, 40),
    (50, 53, 61),
    (222, 98, 30),
    (92, 201, 120),
    (170, 170, 170),
    (250, 250, 250),  # the lines
    (110, 190, 255),
    (240, 205, 80),
)
_FIRST_LINE, _FIRST_OBJECT = 5, 8
LINE_COLOURS = dict(zip(LINES, _COLOURS[_FIRST_LINE:], strict=True))
DOUBT, ACCEPTED, STALE = _COLOURS[_DOUBT], _COLOURS[_ACCEPTED], _COLOURS[_STRIPE]
WORST: RGB = (255, 210, 63)


def palette(colours: Sequence[RGB]) -> Pixels:
    """Return the (256, 3) colours of the painted numbers, for objects in this order."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(_COLOURS)] = _COLOURS
    under = np.asarray(_COLOURS[_UNDER])
    objects = [FILL * np.asarray(c) + (1 - FILL) * under for c in colours[: 256 - _FIRST_OBJECT]]
    if objects:
        table[_FIRST_OBJECT : _FIRST_OBJECT + len(objects)] = objects
    return table


class Sheet:
    """The figures of all objects over all frames, worked out anew where a curve changed."""

    def __init__(self) -> None:
        self.curves: dict[ObjectId, Curve] = {}
        self._figures: dict[str, Figures] = {}

    def set_curves(self, curves: Mapping[ObjectId, Curve]) -> None:
        """Take the curves of objects, all of one source."""
        if [*curves] != [*self.curves] or {len(c) for c in curves.values()} != {
            len(c) for c in self.curves.values()
        }:
            self._figures = {}
        changed = [n for n, (k, c) in enumerate(curves.items()) if self.curves.get(k) is not c]
        self.curves = dict(curves)
        for name, figures in self._figures.items():
            for number in changed:
                figures[number] = self._work_out(name, [*curves.values()][number])

    def figures(self, name: str) -> Figures:
        """Return (K, T) figures: "confidence", "open confidence", or a line by its name."""
        if name not in self._figures:
            rows = [self._work_out(name, curve) for curve in self.curves.values()]
            self._figures[name] = np.stack(rows)
        return self._figures[name]

    def _work_out(self, name: str, curve: Curve) -> Figures:
        if name == "confidence":
            return DEFAULT(curve)
        if name == "open confidence":
            number = [*self.curves].index(curve.object_id)
            return np.where(open_to_doubt(curve), self.figures("confidence")[number], np.nan)
        return LINES[name](curve)


@dataclass(frozen=True)
class Bins:
    """Which frames each pixel column shows, at least one.

    Parameters
    ----------
    first, last : float
        Edges of what is shown; frame f lies between f - 0.5 and f + 0.5.
    columns : int
    length : int
        Frames of the source.
    """

    first: float
    last: float
    columns: int
    length: int

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """(columns,) first frame of each column."""
        at = np.linspace(self.first + 0.5, self.last + 0.5, self.columns, endpoint=False)
        return np.clip(at, 0, self.length - 1).astype(np.intp)

    @cached_property
    def stops(self) -> NDArray[np.intp]:
        """(columns,) frame after the last one of each column."""
        last = int(np.clip(np.ceil(self.last + 0.5), 1, self.length))
        stops: NDArray[np.intp] = np.maximum(np.append(self.starts[1:], last), self.starts + 1)
        return stops

    def least(self, figures: Figures) -> Figures:
        """Return the smallest of (K, T) figures in each column; NaN only where all are."""
        return np.fmin.reduceat(figures[:, : self.stops[-1]], self.starts, axis=1)

    def any(self, parts: Sequence[Iterable[range]]) -> Flags:
        """Return (K, columns) flags of the columns that have a frame of some parts."""
        flags = np.zeros((len(parts), self.columns), np.bool_)
        for row, pieces in zip(flags, parts, strict=True):
            for piece in pieces:
                begin = np.searchsorted(self.stops, piece.start, "right")
                row[begin : np.searchsorted(self.starts, piece.stop)] = True
        return flags


def paint_timeline(sheet: Sheet, bins: Bins, height: int, lines: Iterable[str] = ()) -> Pixels:
    """Paint the rows of objects below each other, as numbers of `palette`.

    The lowest confidence of a column counts, so that no bad frame is lost in it. Heights are
    square roots, which spread the low ones. Doubtful columns have a colour of their own, stale
    ones are hatched, accepted ones have a band on top.

    Parameters
    ----------
    sheet : Sheet
    bins : Bins
    height : int
        Of a row, in pixels.
    lines : iterable of str
        Names of the lines to draw.

    Returns
    -------
    (K * height, columns) uint8 array
    """
    count, inner = len(sheet.curves), height - GAP
    image = np.full((count, height, bins.columns), _BACK, np.uint8)
    if not count:
        return image.reshape(0, bins.columns)
    rows = image[:, GAP // 2 : GAP // 2 + inner]
    up = np.arange(inner, 0, -1, dtype=np.uint8)[None, :, None]  # how high a pixel stands
    trust = bins.least(sheet.figures("confidence"))
    under = np.where(np.isnan(trust), _BACK, _UNDER).astype(np.uint8)
    own = _FIRST_OBJECT + np.arange(count)[:, None] % (256 - _FIRST_OBJECT)
    with np.errstate(invalid="ignore"):
        doubtful = bins.least(sheet.figures("open confidence")) < LEAST
    fill = np.where(doubtful, _DOUBT, own).astype(np.uint8)
    full = up <= _level(np.sqrt(trust), inner)[:, None]
    np.copyto(rows, under[:, None])
    np.copyto(rows, fill[:, None], where=full)
    curves = sheet.curves.values()
    stale = bins.any([curve.stale for curve in curves])
    across = (np.arange(bins.columns) + up[0]) % PERIOD < STRIPE_WIDTH
    for row in np.flatnonzero(stale.any(axis=1)):
        rows[row][across & stale[row]] = _STRIPE
    for number, name in enumerate(LINES):
        if name in lines:
            _draw(rows, bins.least(sheet.figures(name)), up, _FIRST_LINE + number)
    accepted = bins.any([curve.accepted for curve in curves])
    np.copyto(rows[:, :BAND], np.uint8(_ACCEPTED), where=accepted[:, None])
    return image.reshape(count * height, bins.columns)


def _level(values: Figures, height: int) -> Pixels:
    """Return how high values in [0, 1] stand, the lowest 1; 0 where there is none."""
    return np.where(np.isnan(values), 0, np.rint(values * (height - 1)) + 1).astype(np.uint8)


def _draw(rows: Pixels, values: Figures, up: Pixels, colour: int) -> None:
    """Draw a line a pixel thick, upright where it jumps; it breaks where there is no value."""
    at = _level(values, rows.shape[1])
    before = np.concatenate([at[:, :1], at[:, :-1]], axis=1)
    before = np.where(before == 0, at, before)
    low, high = np.minimum(at, before), np.maximum(at, before)
    low[at == 0], high[at == 0] = 1, 0
    where = (up >= low[:, None]) & (up <= high[:, None])
    np.copyto(rows, np.uint8(colour), where=where)
