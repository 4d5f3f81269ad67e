"""DICOM files that pydicom writes, for tests."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

AXIAL = (1, 0, 0, 0, 1, 0)


def image(
    pixels: np.ndarray, *, multi: bool = False, sop_class: str = CTImageStorage, **values: object
) -> Dataset:
    """Return an image; `values` are attributes by keyword."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    uid = generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
    facts: dict[str, object] = {
        "PatientName": "Test^Phantom",
        "PatientID": "1",
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyInstanceUID": "1.2.3",
        "StudyID": "",
        "StudyDate": "20200101",
        "StudyTime": "",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "SeriesInstanceUID": "1.2.3.4",
        "SeriesNumber": 1,
        "Modality": "CT",
        "InstanceNumber": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    for name, value in (facts | values).items():
        setattr(dataset, name, value)
    colour = pixels.ndim - multi == 3
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[multi : multi + 2]
    if multi:
        dataset.NumberOfFrames = len(pixels)
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    if "BitsStored" not in dataset:
        dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """Write an image."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def series(
    folder: Path,
    volume: np.ndarray,
    *,
    heights: Iterable[float] | None = None,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float, float] = (2.5, 0.5, 0.75),
    origin: Sequence[float] = (10, 20, 30),
    seed: int = 0,
    start: int = 0,
    **values: object,
) -> list[Path]:
    """Write a volume as a series whose file names and numbers say nothing of the order.

    Returns
    -------
    list of Path
        In the order of the slices.
    """
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    names = rng.permutation(len(volume)) + start
    numbers = rng.permutation(len(volume)) + 1
    normal = np.cross(orientation[:3], orientation[3:])
    if heights is None:
        heights = np.arange(len(volume)) * spacing[0]
    facts: dict[str, object] = {
        "ImageOrientationPatient": [float(v) for v in orientation],
        "PixelSpacing": [spacing[1], spacing[2]],
        "SliceThickness": 9.0,  # no distance: slices may overlap
        "FrameOfReferenceUID": "1.2.3.5",
        "PositionReferenceIndicator": "",
    }
    paths = []
    for k, height in enumerate(heights):
        position = np.asarray(origin) + height * normal
        own = {
            "ImagePositionPatient": [round(float(v), 6) for v in position],
            "InstanceNumber": int(numbers[k]),
        }
        dataset = image(volume[k], **facts | own | values)
        paths.append(save(dataset, folder / f"IM{names[k]:04d}"))
    return paths


def enhanced(
    volume: np.ndarray, heights: Sequence[float], spacing: tuple[float, float] = (0.5, 0.75)
) -> Dataset:
    """Return an enhanced CT whose frames say in functional groups where they lie."""
    dataset = image(
        volume, multi=True, sop_class="1.2.840.10008.5.1.4.1.1.2.1", FrameOfReferenceUID="1.2.3.5"
    )
    orientation, measures, values, shared = Dataset(), Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [float(v) for v in AXIAL]
    measures.PixelSpacing, measures.SliceThickness = list(spacing), 9.0
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 1, -1024, "HU"
    shared.PlaneOrientationSequence = Items([orientation])
    shared.PixelMeasuresSequence = Items([measures])
    shared.PixelValueTransformationSequence = Items([values])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    groups = []
    for height in heights:
        plane, group, window = Dataset(), Dataset(), Dataset()
        plane.ImagePositionPatient = [10.0, 20.0, float(height)]
        window.WindowCenter, window.WindowWidth = 40, 401
        group.PlanePositionSequence, group.FrameVOILUTSequence = Items([plane]), Items([window])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Items(groups)
    return dataset


def cine(frames: np.ndarray, **values: object) -> Dataset:
    """Return an ultrasound cine of 20 frames a second with a region in centimetres."""
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType = 1, 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.03
    return image(
        frames,
        multi=True,
        sop_class=UltrasoundMultiFrameImageStorage,
        **{
            "Modality": "US",
            "FrameTime": 50.0,
            "SequenceOfUltrasoundRegions": Items([region]),
            **values,
        },
    )
