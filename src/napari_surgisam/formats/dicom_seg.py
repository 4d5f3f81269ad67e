"""Labels as a DICOM segmentation of the images that they were made on, by highdicom."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from napari_surgisam.data.classes import RGB
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.errors import DataError
from napari_surgisam.formats.dicom import DicomFrames
from napari_surgisam.formats.labelled import Export, Labelled

_NAME, _LONG_TEXT = "napari-surgisam", 64


def write_dicom_seg(path: Path, labelled: Labelled) -> None:
    """Write a binary segmentation, a segment per object, on the frames where it is.

    Segments are numbered from 1 in the order of the objects' ids; a segment's label is the
    object's name, its description the class where it has one, its tracking id the number, and its
    colour the class's. The labels are in memory as a whole.

    Parameters
    ----------
    path : Path
    labelled : Labelled
        Of DICOM images.

    Raises
    ------
    DataError
        If there are no labels, or the images lack what a segmentation refers to.
    """
    import highdicom as hd
    from pydicom import dcmread
    from pydicom.sr.codedict import codes

    frames = labelled.frames
    assert isinstance(frames, DicomFrames)  # `_check` refuses anything else
    object_ids = labelled.object_ids()
    if not object_ids:
        raise DataError(
            "The segmentation was not written: no frame has labels, and DICOM SEG needs some."
        )
    numbers = np.zeros(labelled.max_id + 1, np.uint16)
    numbers[object_ids] = np.arange(1, len(object_ids) + 1)
    segments = np.stack([numbers[labels] for _, labels in labelled])
    sources = [dcmread(file, stop_before_pixels=True) for file in frames.files]
    many = sources[0].get("NumberOfFrames") or 1
    if many > 1:  # planes are in the order of the file, whatever the order of places
        in_file = np.zeros((int(many), *segments.shape[1:]), segments.dtype)
        in_file[list(frames.frame_indices)] = segments
        segments = in_file
    algorithm = hd.AlgorithmIdentificationSequence(
        name=_NAME, version=version(_NAME), family=codes.DCM.ArtificialIntelligence
    )
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=labelled.name(object_id)[:_LONG_TEXT],
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
            algorithm_identification=algorithm,
            tracking_uid=hd.UID(),
            tracking_id=str(object_id),
        )
        for number, object_id in enumerate(object_ids, start=1)
    ]
    for object_id, described in zip(object_ids, descriptions, strict=True):
        known = labelled.classes.get(object_id)
        if known is not None:
            described.SegmentDescription = known.name
            described.RecommendedDisplayCIELabValue = _dicom_colour(known.colour)
    try:
        result: Any = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=segments,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=descriptions,
            series_instance_uid=hd.UID(),
            series_number=int(sources[0].get("SeriesNumber") or 0) + 1000,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=_NAME,
            manufacturer_model_name=_NAME,
            software_versions=version(_NAME),
            device_serial_number="0",
            series_description="Segmentation",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"The segmentation was not written: {frames.files[0]} lacks what it refers to "
            f"({error}). Write NIfTI (.nii.gz) instead."
        ) from error
    result.save_as(path)


def _dicom_colour(colour: RGB) -> list[int]:
    """Return a colour in CIELab, as DICOM scales it to 16 bits (PS3.3, C.10.7.1.1)."""
    from skimage.color import rgb2lab

    lightness, a, b = rgb2lab(np.array(colour, float) / 255)
    scaled = (lightness * 65535 / 100, (a + 128) * 65535 / 255, (b + 128) * 65535 / 255)
    return [round(float(value)) for value in scaled]


def _check(path: Path, frames: FrameSource) -> None:
    if find_spec("highdicom") is None:
        raise DataError(
            f"{path} needs highdicom, which is not installed: "
            "pip install 'napari-surgisam[dicom-seg]'."
        )
    if not isinstance(frames, DicomFrames):
        raise DataError(
            f"{path}: a DICOM segmentation refers to the DICOM images that it was made on, and "
            "these labels are of something else. Write NIfTI (.nii.gz) instead."
        )
    if frames.axis != 0:
        raise DataError(
            f"{path}: a DICOM segmentation lies on the images themselves, but these labels run "
            f"along axis {frames.axis}. Write NIfTI (.nii.gz) instead."
        )
    placed = frames.affine is not None and not frames.temporal
    if not placed or not frames.stack.frames[0].header.text("FrameOfReferenceUID"):
        raise DataError(
            f"{path}: a DICOM segmentation says where each image lies in the patient, but "
            f"{frames.files[0]} does not say that, as cines and radiographs do not. Write COCO "
            "(.json), TIFF or zarr instead."
        )


DICOM_SEG = Export(_check, write_dicom_seg)
