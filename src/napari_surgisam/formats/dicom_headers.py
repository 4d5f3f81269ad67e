"""What the header of a DICOM image says: of the whole image, and of each of its frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from napari_surgisam.errors import DataError

_MOVING = frozenset({"US", "IVUS", "XA", "RF", "ES", "XC", "GM"})
"""Modalities whose images, where nothing says where they lie, follow each other in time."""

_CENTIMETRE, _PLANAR = 3, 1  # codes of ultrasound's regions
_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"),
    *(
        "FrameOfReferenceUID",
        "Modality",
        "InstanceNumber",
        "AcquisitionNumber",
        "TemporalPositionIdentifier",
    ),
    *("TriggerTime", "EchoTime", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SliceThickness", "SpacingBetweenSlices", "FrameTime", "FrameTimeVector", "CineRate"),
    *("RecommendedDisplayFrameRate", "FrameIncrementPointer", "GridFrameOffsetVector"),
    *("SequenceOfUltrasoundRegions", "DetectorInformationSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"),
    *("ModalityLUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *("RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData", "PaletteColorLookupTableUID"),
)


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """One frame of an image file, and what turns its stored values into real ones.

    Parameters
    ----------
    path : Path
    index : int or None
        Which frame of the file, or None where it holds a single one.
    header : Header
    position : (3,) array or None
        Of the first pixel in the patient, in mm towards left, back and head.
    slope, intercept : float
    window : (low, high) or None
        Real values shown as black and white.
    """

    path: Path
    index: int | None
    header: Header
    position: NDArray[np.float64] | None
    slope: float
    intercept: float
    window: tuple[float, float] | None


class Header:
    """An image's header without its pixels; see `read_header`.

    Attributes
    ----------
    path : Path
    dataset : pydicom.Dataset
    """

    def __init__(self, path: Path, dataset: Dataset) -> None:
        self.path, self.dataset = path, dataset

    def text(self, name: str) -> str:
        """Return a text attribute, or "" where there is none."""
        return str(self.dataset.get(name) or "").strip()

    def number(self, name: str) -> float | None:
        """Return a positive number, the first of several, or None where there is none."""
        found = _number(self.dataset, name)
        return found if found is not None and found > 0 else None

    @cached_property
    def count(self) -> int:
        """Number of frames in the file."""
        return int(self.dataset.get("NumberOfFrames") or 1)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.dataset.Rows), int(self.dataset.Columns)

    @cached_property
    def palette(self) -> bool:
        """Whether stored values stand for colours of a table."""
        return self.text("PhotometricInterpretation") == "PALETTE COLOR"

    @cached_property
    def colour(self) -> bool:
        """Whether frames have red, green and blue."""
        return self.palette or int(self.dataset.get("SamplesPerPixel") or 1) == 3

    @cached_property
    def orientation(self) -> NDArray[np.float64] | None:
        """Unit vectors along a row and down a column, as (2, 3), or None where unknown."""
        return self._orientation(0)

    @cached_property
    def turned(self) -> bool:
        """Whether frames of this file lie in different planes."""
        first = self.orientation
        if first is None or "PerFrameFunctionalGroupsSequence" not in self.dataset:
            return False
        others = (self._orientation(index) for index in range(1, self.count))
        return any(o is not None and not np.allclose(o, first, atol=1e-3) for o in others)

    def _orientation(self, index: int) -> NDArray[np.float64] | None:
        for holder, name in (
            (self._group(index, "PlaneOrientationSequence"), "ImageOrientationPatient"),
            (self._group(index, "PlaneOrientationVolumeSequence"), "ImageOrientationVolume"),
            (self.dataset, "ImageOrientationPatient"),
            (self._detector, "ImageOrientationPatient"),
        ):
            found = _numbers(holder, name, 6)
            if found is not None and np.linalg.norm(np.cross(found[:3], found[3:])) > 0.5:
                return found.reshape(2, 3)
        return None

    @cached_property
    def pixel_size(self) -> tuple[float, float] | None:
        """Height and width of a pixel in mm, or None where unknown."""
        for holder in (self._group(0, "PixelMeasuresSequence"), self.dataset):
            found = _numbers(holder, "PixelSpacing", 2)
            if found is not None and (found > 0).all():
                return float(found[0]), float(found[1])
        return self._region_size()

    @cached_property
    def gap(self) -> float | None:
        """Distance of slices in mm, where a file names one without saying where they lie."""
        return self._measure("SpacingBetweenSlices")

    @cached_property
    def thickness(self) -> float | None:
        """How thick a slice is in mm, which is no distance: slices may overlap."""
        return self._measure("SliceThickness")

    @cached_property
    def frame_seconds(self) -> float | None:
        """Time from one frame of a movie to the next."""
        if (milliseconds := self.number("FrameTime")) is not None:
            return milliseconds / 1000
        times = self.dataset.get("FrameTimeVector")
        if times is not None and self.count > 1:
            steps = np.atleast_1d(np.asarray(times, np.float64))[1:]
            if steps.size and steps.mean() > 0:
                return float(steps.mean()) / 1000
        rate = self.number("CineRate") or self.number("RecommendedDisplayFrameRate")
        return None if rate is None else 1 / rate

    @cached_property
    def moving(self) -> bool:
        """Whether frames without positions follow each other in time."""
        if self.frame_seconds is not None:
            return True
        return self.text("Modality") in _MOVING

    @cached_property
    def key(self) -> str:
        """What images of one series share: a file of many frames is a series of its own."""
        return self.text("SOPInstanceUID" if self.count > 1 else "SeriesInstanceUID")

    def order_in_time(self, index: int | None = None) -> tuple[float, ...]:
        """Return what sorts images, or frames of this one, of one position."""
        if index is not None:
            content = self._group(index, "FrameContentSequence")
            return (_number(content, "TemporalPositionIndex") or 0.0, index)
        names = ("TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "EchoTime")
        found = (_number(self.dataset, name) for name in (*names, "InstanceNumber"))
        return tuple(0.0 if number is None else number for number in found)

    def frames(self) -> Iterator[StoredFrame]:
        """Yield the frames as they are stored."""
        for index in range(self.count):
            values = self._group(index, "PixelValueTransformationSequence") or self.dataset
            slope, intercept = _number(values, "RescaleSlope"), _number(values, "RescaleIntercept")
            yield StoredFrame(
                self.path,
                index if self.count > 1 else None,
                self,
                self._position(index),
                slope or 1.0,
                intercept or 0.0,
                _window(self._group(index, "FrameVOILUTSequence") or self.dataset),
            )

    def _measure(self, name: str) -> float | None:
        holders = (self._group(0, "PixelMeasuresSequence"), self.dataset)
        return next((abs(f) for f in (_number(h, name) for h in holders) if f), None)

    def _position(self, index: int) -> NDArray[np.float64] | None:
        for group, name in (
            ("PlanePositionSequence", "ImagePositionPatient"),
            ("PlanePositionVolumeSequence", "ImagePositionVolume"),
        ):
            found = _numbers(self._group(index, group), name, 3)
            if found is not None:
                return found
        first = _numbers(self.dataset, "ImagePositionPatient", 3)
        if first is None:
            first = _numbers(self._detector, "ImagePositionPatient", 3)
        if first is None or self.orientation is None or self.count == 1:
            return first
        offsets = self.dataset.get("GridFrameOffsetVector")
        if offsets is not None and len(offsets) == self.count:
            step = float(offsets[index]) - (float(offsets[0]) if offsets[0] else 0.0)
        elif self.text("Modality") in ("NM", "PT", "CT", "MR") and self.gap:
            step = index * self.gap
        else:
            return None
        normal: NDArray[np.float64] = np.cross(*self.orientation)
        return first + step * normal

    def _region_size(self) -> tuple[float, float] | None:
        """Return ultrasound's pixel size, if all its two-dimensional regions have the same."""
        sizes = []
        for region in self.dataset.get("SequenceOfUltrasoundRegions") or ():
            if region.get("RegionSpatialFormat") != _PLANAR:
                continue
            units = {region.get(f"PhysicalUnits{axis}Direction") for axis in "XY"}
            size = [abs(_number(region, f"PhysicalDelta{axis}") or 0.0) * 10 for axis in "YX"]
            if units == {_CENTIMETRE} and min(size) > 0:
                sizes.append(size)
        if not sizes or not np.allclose(sizes, sizes[0], rtol=0.01):
            return None
        return sizes[0][0], sizes[0][1]

    @cached_property
    def _detector(self) -> Any:
        return next(iter(self.dataset.get("DetectorInformationSequence") or ()), None)

    def _group(self, index: int, name: str) -> Any:
        """Return a functional group of a frame, its own or the one that all share."""
        own = self.dataset.get("PerFrameFunctionalGroupsSequence") or ()
        shared = self.dataset.get("SharedFunctionalGroupsSequence") or ()
        for holder in (*own[index : index + 1], *shared[:1]):
            if holder.get(name):
                return holder[name][0]
        return None


def read_header(path: Path) -> Header:
    """Read what is said of an image.

    Raises
    ------
    DataError
        If the file is damaged, not DICOM, or holds no image.
    """
    try:
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except InvalidDicomError as error:
        raise DataError(f"{path} is not a DICOM file, whatever its name says.") from error
    except (OSError, EOFError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        raise DataError(f"{path} cannot be read as DICOM: {error}.") from error
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise DataError(
            f"{path} is a DICOM file without an image "
            f"({dataset.get('Modality') or 'of no modality'}): choose one that holds pixels."
        )
    return Header(path, dataset)


def _window(holder: Any) -> tuple[float, float] | None:
    """Return the limits of a window as PS3.3 C.11.2.1.2 and C.11.2.1.3 define them."""
    centre, width = _number(holder, "WindowCenter"), _number(holder, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return None
    if str(holder.get("VOILUTFunction") or "LINEAR") == "LINEAR":
        if width <= 1:
            return None
        centre, width = centre - 0.5, width - 1
    return centre - width / 2, centre + width / 2


def _number(holder: Any, name: str) -> float | None:
    value = None if holder is None else holder.get(name)
    if value is not None and not isinstance(value, str | bytes) and isinstance(value, Sequence):
        value = value[0] if len(value) else None
    try:
        number = float(cast("Any", value))
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _numbers(holder: Any, name: str, count: int) -> NDArray[np.float64] | None:
    value = None if holder is None else holder.get(name)
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    return numbers if numbers.shape == (count,) and np.isfinite(numbers).all() else None
