"""Suggest objects on a frame: a grid of clicks, and the masks that look like objects."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import FrameSource, check_frame
from napari_surgisam.data.prompts import Point
from napari_surgisam.data.regions import Region
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.data.suggestions import COVERED, Suggestion, distinct, uncovered
from napari_surgisam.engine.focus import choose_focus, stability
from napari_surgisam.engine.network import Prediction, Query
from napari_surgisam.engine.tracker import Tracker
from napari_surgisam.errors import PromptError
from napari_surgisam.jobs import Event

POINTS_AT_ONCE = 64
"""Clicks that are asked as one batch."""

_TILE_OVERLAP = 0.25  # of a tile's side, so that what one cuts off lies whole in another


@dataclass(frozen=True, slots=True)
class Suggesting:
    """What is asked, and what counts as an object.

    Parameters
    ----------
    points_per_side : int
        Clicks along the longer side of the frame, evenly spaced.
    min_iou : float
        Predicted IoU below which a mask is dropped, in [0, 1].
    min_stability : float
        IoU between the mask at a logit of 1 and at one of -1 below which it is dropped.
    overlap : float
        IoU above which two masks are the same object.
    least, most : float
        Pixels that an object has at least, and its share of the frame at most.
    covered : float
        Share of an object that better ones, or those that there are, may cover.
    levels : int
        How often a network with a focus is shown tiles half as large as those before.

    Raises
    ------
    PromptError
        If a value is out of its range.
    """

    points_per_side: int = 32
    min_iou: float = 0.7
    min_stability: float = 0.85
    overlap: float = 0.7
    least: int = 10
    most: float = 0.5
    covered: float = COVERED
    levels: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.points_per_side <= 256:
            raise PromptError(
                f"{self.points_per_side} points per side are impossible: ask for 1 to 256."
            )
        for name in ("min_iou", "min_stability", "overlap", "most", "covered"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise PromptError(f"{name} is {value}: it is a share, from 0 to 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested(Event):
    """The last event of a job that suggests objects.

    Parameters
    ----------
    frame : int
    suggestions : tuple of Suggestion
        The best first.
    """

    frame: int
    suggestions: tuple[Suggestion, ...]


def usual_suggesting(model: str) -> Suggesting:
    """Return what counts as an object for a model.

    Networks like the embedded one trust their masks less than these deserve: of theirs,
    stability says more than the IoU that they predict.

    Raises
    ------
    ModelError
        If there is no such model.
    """
    compact = choose_focus("default", model) is not None
    return Suggesting(min_iou=0.35, min_stability=0.6) if compact else Suggesting()


def suggest_objects(
    tracker: Tracker,
    source: FrameSource,
    frame: int,
    settings: Suggesting | None = None,
    known: NDArray[np.integer] | None = None,
) -> Generator[Event, None, None]:
    """Click on a grid of points, and return the masks that look like objects.

    A network with a focus is shown tiles of the frame, too, for objects that are small in it: each
    half as large as those before, as long as they show more than the frame did. What a tile cuts
    off is dropped.

    Parameters
    ----------
    tracker : Tracker
    source : FrameSource
    frame : int
    settings : Suggesting, optional
    known : (H, W) integer array, optional
        Labels of objects that there are; they are not suggested again.

    Yields
    ------
    Event
        After each batch of clicks; last a `Suggested`.

    Raises
    ------
    DataError
        If there is no such frame, or it cannot be read.

    References
    ----------
    Kirillov et al., Segment Anything, arXiv:2304.02643, 2023: automatic mask generation.
    """
    settings = settings or Suggesting()
    check_frame(frame, len(source), "The source")
    regions = list(_regions(tracker, source.shape, settings.levels))
    grids = [(region, _grid(region, source.shape, settings)) for region in regions]
    batches = [
        (region, points[start : start + POINTS_AT_ONCE])
        for region, points in grids
        for start in range(0, len(points), POINTS_AT_ONCE)
    ]
    return _suggest(tracker, source, frame, settings, known, batches)


def _suggest(
    tracker: Tracker,
    source: FrameSource,
    frame: int,
    settings: Suggesting,
    known: NDArray[np.integer] | None,
    batches: Sequence[tuple[Region | None, list[Point]]],
) -> Generator[Event, None, None]:
    shape, found, total = source.shape, [], len(batches) + 1
    for done, (region, points) in enumerate(batches, start=1):
        queries = [Query(points=(point,), clip_length=len(source)) for point in points]
        answers = tracker.look(source, frame, queries, region)
        found += _likely(answers, points, region, shape, settings)
        if len(found) > 4 * POINTS_AT_ONCE or done == len(batches):
            found = distinct(found, settings.overlap)
        yield Event(done=done, total=total)
    labels = np.zeros(shape, np.uint16) if known is None else known
    left = uncovered(distinct(found, settings.overlap), labels, settings.covered)
    yield Suggested(done=total, total=total, frame=frame, suggestions=tuple(left))


def _regions(tracker: Tracker, shape: tuple[int, int], levels: int) -> Iterator[Region | None]:
    """Yield the frame, and where the network has a focus, ever smaller tiles of it."""
    yield None
    if tracker.focus is None:
        return
    longer = max(shape)
    for fraction in tracker.focus.fractions[:levels]:
        side = round(longer * fraction)
        if side < tracker.network.image_size // 2 and side < longer // 2:
            return  # the tiles before show every pixel already
        tops, lefts = (_starts(length, side) for length in shape)
        for top in tops:
            for left in lefts:
                yield Region(top, left, min(side, shape[0]), min(side, shape[1]))


def _starts(length: int, side: int) -> list[int]:
    """Return where tiles of a side begin, so that they overlap and cover a length."""
    if side >= length:
        return [0]
    count = int(np.ceil((length - side) / (side * (1 - _TILE_OVERLAP)))) + 1
    return [int(v) for v in np.linspace(0, length - side, count).round()]


def _grid(region: Region | None, shape: tuple[int, int], settings: Suggesting) -> list[Point]:
    """Return evenly spaced points of a region: half as many along a tile as along the frame."""
    seen = region or Region(0, 0, *shape)
    count = settings.points_per_side
    step = max(shape) / count if region is None else max(seen.side / count, 1.0) * 2
    rows, columns = (max(round(n / step), 1) for n in (seen.height, seen.width))
    ys = seen.top - 0.5 + (np.arange(rows) + 0.5) * seen.height / rows
    xs = seen.left - 0.5 + (np.arange(columns) + 0.5) * seen.width / columns
    return [Point(float(y), float(x)) for y in ys for x in xs]


def _likely(
    answers: Sequence[Prediction],
    points: Sequence[Point],
    region: Region | None,
    shape: tuple[int, int],
    settings: Suggesting,
) -> list[Suggestion]:
    """Return the candidates that look like objects."""
    likely = []
    for answer, point in zip(answers, points, strict=True):
        if not bool(answer.presence > 0):
            continue
        stable = stability(answer.logits)
        for k in range(len(answer.ious)):
            iou, steady = float(answer.ious[k]), float(stable[k])
            if iou < settings.min_iou or steady < settings.min_stability:
                continue
            mask = StoredMask.from_logits(
                answer.logits[k].float().cpu().numpy(),
                iou=iou,
                presence=float(answer.presence),
                pointer=answer.pointers[k].float().cpu().numpy(),
                conditioning=True,
                direction=0,
                region=answer.region,
            )
            one = Suggestion.of(mask, shape, min(max(iou, 0.0), 1.0) * steady)
            if one is not None and _fits(one, point, region, shape, settings):
                likely.append(one)
    return likely


def _fits(
    one: Suggestion,
    point: Point,
    region: Region | None,
    shape: tuple[int, int],
    settings: Suggesting,
) -> bool:
    """Whether a mask has a size that is asked for, its own point, and all its outline."""
    if not settings.least <= one.area <= settings.most * shape[0] * shape[1]:
        return False
    rows, columns = one.slices
    y, x = round(point.y), round(point.x)
    if not (rows.start <= y < rows.stop and columns.start <= x < columns.stop):
        return False
    if not one.pixels[y - one.top, x - one.left]:
        return False
    if region is None:
        return True
    cut = (
        region.top > 0 and rows.start <= region.top,
        region.left > 0 and columns.start <= region.left,
        region.top + region.height < shape[0] and rows.stop >= region.top + region.height,
        region.left + region.width < shape[1] and columns.stop >= region.left + region.width,
    )
    return not any(cut)
