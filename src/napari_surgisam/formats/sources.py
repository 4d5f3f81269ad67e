"""Open anything that frames can be read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.windows import Window
from napari_surgisam.errors import DataError
from napari_surgisam.formats.dicom import (
    DICOM_ENDINGS,
    find_dicom,
    is_dicom,
    open_dicom,
)
from napari_surgisam.formats.folders import open_folder, open_picture
from napari_surgisam.formats.itk import ITK_ENDINGS, open_itk
from napari_surgisam.formats.tiff import open_tiff
from napari_surgisam.formats.video import VIDEO_ENDINGS, open_video
from napari_surgisam.formats.volumes import (
    Selection,
    open_nifti,
    open_npy,
    open_zarr,
)

_READERS: dict[str, Callable[[Path, Selection], FrameSource]] = {
    **dict.fromkeys(VIDEO_ENDINGS, open_video),
    **dict.fromkeys((".tif", ".tiff"), open_tiff),
    **dict.fromkeys((".nii", ".nii.gz"), open_nifti),
    **dict.fromkeys(DICOM_ENDINGS, open_dicom),
    **dict.fromkeys(ITK_ENDINGS, open_itk),
    ".zarr": open_zarr,
    ".npy": open_npy,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".webp"), open_picture),
}
_ZARR_MARKERS = ("zarr.json", ".zarray", ".zgroup")


def open_source(
    path: str | Path,
    *,
    axis: int = 0,
    window: Window = "auto",
    channel: int | None = None,
    at: Mapping[int, int] | None = None,
) -> FrameSource:
    """Open a movie, a folder of frames or slices, a volume or a picture, lazily.

    Parameters
    ----------
    path : str or Path
        A movie (mp4, mov, avi, mkv, ...), a folder of pictures, DICOM (a file, or a folder
        of slices), TIFF, NIfTI, NRRD, MetaImage, zarr, npy, or a single picture.
    axis : int
        Axis that plays the part of time, counted in the (T or Z, Y, X) that `at` leaves.
    window : "auto" or (low, high)
        Values shown as black and white, for the whole source.
    channel : int, optional
        Which channel of a multichannel image to show, in grey.
    at : mapping of int to int, optional
        Fixed indices of a (T, Z, Y, X) source, by axis.

    Raises
    ------
    DataError
        If there is no such file, its kind is unknown, it is damaged, or axes, window or
        channel do not fit.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist. Check the spelling and the folder.")
    selection = Selection(axis, window, channel, at)
    if path.is_dir():
        if any((path / marker).exists() for marker in _ZARR_MARKERS):
            return open_zarr(path, selection)
        if find_dicom(path):
            return open_dicom(path, selection)
        return open_folder(path, selection)
    name = path.name.lower()
    reader = _READERS.get(".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower())
    if reader is None and is_dicom(path):  # scanners name their files as they like
        reader = open_dicom
    if reader is None:
        raise DataError(
            f"{path} has an ending that is not understood. Understood are "
            f"{', '.join(_READERS)}, and folders of frames."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is an empty file (0 bytes): copy or export it again.")
    return reader(path, selection)
