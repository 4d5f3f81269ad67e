"""In which order DICOM frames make up a volume or a movie, and where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_surgisam.errors import DataError
from napari_surgisam.formats.dicom_headers import StoredFrame

_SAME_PLACE = (0.001, 0.01)  # mm, as rounded positions differ; scans of small animals are fine
_EVEN, _MISSING = 0.02, 0.5  # parts of the usual distance by which one may differ
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Frames in order.

    Parameters
    ----------
    frames : tuple of StoredFrame
        In C order of `lengths`.
    lengths : tuple of int
        () for a single picture, (N,) for a movie or a volume, (T, Z) for a volume in time.
    temporal : bool
        Whether the first of `lengths` is time.
    spacing : tuple of float or None
        Size of a voxel in mm along each of `lengths`, y and x, None where unknown.
    affine : (4, 4) array or None
        From stored (x, y, z) to mm towards right, front and head, as NIfTI has it.
    notice : str
        What a person should know; empty if nothing.
    """

    frames: tuple[StoredFrame, ...]
    lengths: tuple[int, ...]
    temporal: bool
    spacing: tuple[float | None, ...]
    affine: NDArray[np.float64] | None
    notice: str = ""


def stack_frames(frames: Sequence[StoredFrame], name: str) -> Stack:
    """Put frames of one series into order.

    Where positions are known, slices go along the normal of their planes, from low to high;
    several at each place are a volume in time, all at one place a movie. Else images go by
    their number.

    Parameters
    ----------
    frames : sequence of StoredFrame
    name : str
        What messages call the series.

    Raises
    ------
    DataError
        If frames differ in size, pixel size or orientation, or slices are missing.
    """
    _check_alike(frames, name)
    header = frames[0].header
    sizes: tuple[float | None, float | None] = header.pixel_size or (None, None)
    orientation = header.orientation
    positions = [frame.position for frame in frames if frame.position is not None]
    if orientation is None or len(positions) < len(frames):
        return _by_number(frames, sizes)
    normal = np.cross(*orientation)
    heights = np.array(positions) @ (normal / np.linalg.norm(normal))
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order])
    alike = np.clip(steps.max(initial=0.0) / 100, *_SAME_PLACE)
    starts = np.flatnonzero(np.concatenate([[True], steps > alike]))
    places = [
        sorted(group, key=lambda k: frames[k].header.order_in_time(frames[k].index))
        for group in np.split(order, starts[1:])
    ]
    counts = {len(place) for place in places}
    if len(counts) > 1:
        raise DataError(
            f"{name} has {min(counts)} images at some positions and {max(counts)} at others: the "
            "series is not complete, or several are mixed. Export it again, one series a folder."
        )
    repeats = counts.pop()
    levels = heights[order][starts]
    notice = _check_even(levels, name)
    distance = float(np.diff(levels).mean()) if len(levels) > 1 else header.thickness
    affine = None
    if None not in sizes:
        first, last = (np.asarray(frames[place[0]].position) for place in (places[0], places[-1]))
        step = (last - first) / (len(places) - 1) if len(places) > 1 else normal * (distance or 1.0)
        lps = np.eye(4)
        lps[:3, 0], lps[:3, 1] = orientation[0] * sizes[1], orientation[1] * sizes[0]
        lps[:3, 2], lps[:3, 3] = step, first
        affine = _LPS_TO_RAS @ lps
    if repeats > 1 and len(places) > 1:
        ordered = [frames[place[time]] for time in range(repeats) for place in places]
        lengths: tuple[int, ...] = (repeats, len(places))
        return Stack(tuple(ordered), lengths, True, (1.0, distance, *sizes), affine, notice)
    ordered = [frames[k] for place in places for k in place]
    if len(ordered) == 1:
        return Stack(tuple(ordered), (), False, sizes, affine, notice)
    first_size = 1.0 if repeats > 1 else distance
    return Stack(tuple(ordered), (len(ordered),), repeats > 1, (first_size, *sizes), affine, notice)


def _by_number(frames: Sequence[StoredFrame], sizes: tuple[float | None, float | None]) -> Stack:
    """Order frames whose places are unknown."""
    header = frames[0].header

    def number(frame: StoredFrame) -> tuple[float, str, int]:
        return frame.header.order_in_time()[-1], frame.path.name, frame.index or 0

    ordered = tuple(sorted(frames, key=number))
    if len(ordered) == 1:
        return Stack(ordered, (), False, sizes, None)
    if header.moving:
        return Stack(ordered, (len(ordered),), True, (1.0, *sizes), None)
    notice = (
        f"{header.path.parent if header.count == 1 else header.path} does not say where its slices "
        "lie: they are in the order of their numbers, and NIfTI labels will not know where they "
        "belong."
    )
    return Stack(ordered, (len(ordered),), False, (header.gap, *sizes), None, notice)


def _check_alike(frames: Sequence[StoredFrame], name: str) -> None:
    headers = list({id(frame.header): frame.header for frame in frames}.values())
    first = headers[0]
    if any(header.turned for header in headers):
        raise DataError(
            f"{name}: its frames lie in different planes, so they are no stack (a localizer, "
            "perhaps). Choose a series of one plane."
        )
    for other in headers[1:]:
        where = f"{name}: {other.path.name} and {first.path.name}"
        if other.shape != first.shape or other.colour != first.colour:
            kinds = [
                f"{h.shape[0]} x {h.shape[1]} {'colour' if h.colour else 'grey'}"
                for h in (other, first)
            ]
            raise DataError(
                f"{where} are {kinds[0]} and {kinds[1]} pixels: they are no stack. Give the one "
                "that you want in a folder of its own."
            )
        if _differ(other.orientation, first.orientation, 1e-3):
            raise DataError(
                f"{where} lie in different planes: they are no stack (a localizer, perhaps). "
                "Put the slices of one plane into a folder of their own."
            )
        if _differ(other.pixel_size, first.pixel_size, 1e-3):
            raise DataError(
                f"{where} have pixels of {other.pixel_size} and {first.pixel_size} mm: they are no "
                "stack. Put those of one size into a folder of their own."
            )


def _differ(one: ArrayLike | None, other: ArrayLike | None, tolerance: float) -> bool:
    if one is None or other is None:
        return False
    return not np.allclose(one, other, rtol=tolerance, atol=tolerance)


def _check_even(levels: NDArray[np.float64], name: str) -> str:
    """Refuse stacks with missing slices; return what to say of slightly uneven ones."""
    if len(levels) < 3:
        return ""
    distances = np.diff(levels)
    usual = float(np.median(distances))
    worst = int(np.abs(distances - usual).argmax())
    gap = float(distances[worst])
    between = f"between {levels[worst]:.2f} and {levels[worst + 1]:.2f} mm along their normal"
    if abs(gap - usual) > _MISSING * usual:
        raise DataError(
            f"{name}: slices are {usual:.3g} mm apart, but {gap:.3g} mm {between}: slices are "
            "missing, or the distance changes, and every size and place would be wrong. Export "
            "the series again, or resample it to even distances."
        )
    if abs(gap - usual) > _EVEN * usual:
        return (
            f"{name}: slices are not evenly spaced ({gap:.3g} mm {between}, {usual:.3g} mm as a "
            "rule): sizes along them are averages."
        )
    return ""
