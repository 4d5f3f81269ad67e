"""What evaluation writes down: rows of figures, and by which conventions they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan

import numpy as np

from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.cases import OpenCase

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Scoring:
    """What is measured, and by which conventions.

    Parameters
    ----------
    tolerance : float
        Of NSD.
    unit : {"auto", "mm", "px"}
        Of the tolerance and of HD95. "auto" takes mm where the image knows the size of its
        voxels, and pixels where it does not.
    empty : float
        What DSC, IoU, NSD, J and F are where an object is neither true nor predicted; NaN
        leaves such frames out.
    """

    tolerance: float = 2.0
    unit: str = "auto"
    empty: float = 1.0

    def __post_init__(self) -> None:
        if self.unit not in ("auto", "mm", "px") or not self.tolerance >= 0:
            raise DataError(
                f"NSD's tolerance cannot be {self.tolerance} {self.unit}: give a distance of 0 "
                "or more, in mm, px or auto."
            )

    def spacing(self, case: OpenCase) -> tuple[float, float, float] | None:
        """Return the size of a voxel in mm, or None to measure in pixels.

        Raises
        ------
        DataError
            If mm are asked for and the image does not know its voxels' size.
        """
        if self.unit == "px":
            return None
        if case.frames.spacing is None and self.unit == "mm":
            raise DataError(
                f"{case.name}: NSD with a tolerance of {self.tolerance:g} mm needs the size of a "
                "voxel, which the image does not give. Store it there, or measure in pixels."
            )
        return case.frames.spacing


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """Figures of an object, of a class (object 0), or of a whole case (neither)."""

    case: str
    object_id: int
    class_name: str
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FrameRow:
    """Figures of an object on a frame."""

    case: str
    object_id: int
    class_name: str
    frame: int
    figures: Figures = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CurveRow:
    """The IoU of an object after some clicks (on one frame) or rounds (frame -1: over all)."""

    case: str
    object_id: int
    class_name: str
    frame: int
    step: int
    iou: float


@dataclass(frozen=True, slots=True)
class CaseScores:
    """All figures of a case."""

    rows: tuple[ScoreRow, ...]
    frames: tuple[FrameRow, ...]
    curve: tuple[CurveRow, ...] = ()


def mean(values: list[float]) -> float:
    """Return the mean of what is known: NaNs are left out, and nothing is NaN."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else nan
