"""What labels can be written as besides arrays, by ending."""

from __future__ import annotations

from collections.abc import Mapping

from napari_surgisam.formats.coco import COCO
from napari_surgisam.formats.dicom_seg import DICOM_SEG
from napari_surgisam.formats.labelled import Export
from napari_surgisam.formats.measurements import MEASUREMENTS
from napari_surgisam.formats.overlay_movie import OVERLAY_MOVIE

EXPORTS: Mapping[str, Export] = {
    ".json": COCO,
    ".dcm": DICOM_SEG,
    ".mp4": OVERLAY_MOVIE,
    ".csv": MEASUREMENTS,
}
