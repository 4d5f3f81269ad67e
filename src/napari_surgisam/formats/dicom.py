"""DICOM: single images, images of many frames, and series of slices in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.formats.dicom_headers import Header, read_header
from napari_surgisam.formats.dicom_pixels import DicomArray
from napari_surgisam.formats.dicom_stacks import Stack, stack_frames
from napari_surgisam.formats.folders import IMAGE_ENDINGS, holds_pictures
from napari_surgisam.formats.volumes import Selection, identity

DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
_DIRECTORY = "DICOMDIR"
_DEPTH = 4
_MAGIC, _MAGIC_AT = b"DICM", 128
_NO_IMAGES = frozenset({"SEG", "RTSTRUCT", "SR", "PR", "KO", "RTPLAN", "REG"})


class DicomFrames(ArrayFrames):
    """Frames of DICOM files; see `open_dicom`.

    Attributes
    ----------
    files : tuple of Path
        The images, in the order of the stored array's first axis, or one that holds all.
    frame_indices : tuple of int
        Which frame of its file each plane is, likewise.
    frame_seconds : float or None
        Time from one frame to the next, where it is a movie.
    notice : str
        What a person should know of them; empty if nothing.
    stack : Stack
        All of the series, with every axis.
    """

    files: tuple[Path, ...]
    frame_indices: tuple[int, ...]
    frame_seconds: float | None
    notice: str
    stack: Stack


def open_dicom(path: Path, selection: Selection) -> DicomFrames:
    """Open an image, the series to which a slice belongs, or the one that a folder holds.

    An image that says where it lies in the patient stands for the stack of slices that it is
    one of: all images of its series in its folder. Any other is opened by itself.

    Parameters
    ----------
    path : Path
    selection : Selection
        The window is the file's own where it has one and none is asked for. Of slices in time
        ``at`` chooses the volume (axis 0) or the place (axis 1).

    Raises
    ------
    DataError
        If the file is damaged, no image, or one of a series that is no stack.
    """
    stack = read_stack(path)
    pixels = DicomArray(stack)
    window = selection.window
    if window == "auto" and pixels.window is not None:
        window = pixels.window
    files = dict.fromkeys(frame.path for frame in stack.frames)
    source = DicomFrames(
        pixels,
        axis=selection.axis,
        at=selection.at,
        rgb=pixels.rgb,
        channel=selection.channel,
        window=window,
        spacing=stack.spacing,
        time_axis=0 if stack.temporal else None,
        affine=_affine_at(stack, selection.at or {}),
        identity=identity(*files),
        name=str(path),
    )
    numbers = np.arange(prod(stack.lengths)).reshape(stack.lengths)
    at = selection.at or {}
    chosen = np.asarray(numbers[tuple(at.get(a, slice(None)) for a in range(numbers.ndim))])
    kept = [stack.frames[int(number)] for number in chosen.ravel()]
    source.files = tuple(dict.fromkeys(frame.path for frame in kept))
    source.frame_indices = tuple(frame.index or 0 for frame in kept)
    source.frame_seconds = stack.frames[0].header.frame_seconds if source.temporal else None
    source.notice, source.stack = stack.notice, stack
    return source


def _affine_at(stack: Stack, at: Mapping[int, int]) -> NDArray[np.float64] | None:
    """Return where the frames lie that are left when an index of time or place is chosen."""
    if stack.affine is None or len(stack.lengths) < 2 or 1 not in at:
        return stack.affine
    affine = stack.affine.copy()
    affine[:, 3] += affine[:, 2] * at[1]
    return affine


def read_stack(path: Path) -> Stack:
    """Read the headers of an image or a series, and put its frames into order.

    Parameters
    ----------
    path : Path
        An image, as for `open_dicom`, or the folder of a series. Files of a folder are told
        by their content, whatever their names; objects without pixels, and segmentations,
        are passed over.

    Raises
    ------
    DataError
        If there are no images, those of several series, or ones that are no stack.
    """
    if path.name.upper() == _DIRECTORY:
        path = path.parent
    headers = _of_folder(path) if path.is_dir() else _of_file(path)
    return stack_frames([frame for header in headers for frame in header.frames()], str(path))


def _of_file(path: Path) -> list[Header]:
    header = read_header(path)
    if header.count == 1 and header.orientation is not None:
        if next(header.frames()).position is not None:
            return _series_of(find_dicom(path.parent)).get(header.key, [header])
    return [header]


def _of_folder(path: Path) -> list[Header]:
    series = _series_of(find_dicom(path))
    if not series:
        raise DataError(f"{path} has no DICOM images in it.")
    if len(series) > 1:
        raise DataError(
            f"{path} holds {len(series)} series of images:\n"
            + "\n".join(f"  {_describe(headers)}" for headers in series.values())
            + "\nGive one file of the series that you want instead of the folder."
        )
    return next(iter(series.values()))


def find_dicom(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, or where it has none, of the folders in it.

    Those are searched as deep as a CD of patient, study and series has them. A folder of
    pictures without any DICOM is not searched further.
    """
    if found := _dicom_among(folder.iterdir()):
        return found
    if holds_pictures(folder):
        return []
    return _dicom_among(
        f for depth in range(2, _DEPTH + 2) for f in folder.glob("/".join("*" * depth))
    )


def _dicom_among(files: Iterable[Path]) -> list[Path]:
    return sorted(
        file
        for file in files
        if file.suffix.lower() not in IMAGE_ENDINGS
        and file.name.upper() != _DIRECTORY
        and is_dicom(file)
    )


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its ending or its content."""
    if path.name.startswith(".") or not path.is_file():
        return False
    if path.suffix.lower() in DICOM_ENDINGS:
        return True
    try:
        with path.open("rb") as file:
            file.seek(_MAGIC_AT)
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _series_of(files: list[Path]) -> Mapping[str, list[Header]]:
    """Read headers of images, and group those of one series; copies of one count once."""
    series: dict[str, list[Header]] = {}
    seen: set[str] = set()
    for file in files:
        try:
            header = read_header(file)
        except DataError:
            continue
        image = header.text("SOPInstanceUID")
        if header.text("Modality") in _NO_IMAGES or (image and image in seen):
            continue
        seen.add(image)
        series.setdefault(header.key, []).append(header)
    return dict(sorted(series.items(), key=lambda item: item[1][0].number("SeriesNumber") or 0))


def _describe(headers: list[Header]) -> str:
    first = headers[0]
    facts = [first.text("SeriesNumber"), first.text("Modality"), first.text("SeriesDescription")]
    count = first.count if len(headers) == 1 else len(headers)
    facts.append(f"{count} {'image' if count == 1 else 'images'}, such as {first.path}")
    return " · ".join(fact for fact in facts if fact)
