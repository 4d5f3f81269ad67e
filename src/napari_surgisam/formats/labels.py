"""Labels in files: TIFF, zarr, NIfTI, NRRD, MetaImage, a folder of palette PNGs, and exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from napari_surgisam.data.classes import ObjectClass
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import MAX_OBJECT_ID
from napari_surgisam.errors import DataError
from napari_surgisam.formats.exports import EXPORTS
from napari_surgisam.formats.folders import picture_files, read_labels_png
from napari_surgisam.formats.itk import ITK_ENDINGS, read_itk_labels, simple_itk
from napari_surgisam.formats.label_files import ITK_LABEL_ENDINGS, check_existing, label_ending
from napari_surgisam.formats.label_writer import LabelWriter
from napari_surgisam.formats.labelled import Labelled
from napari_surgisam.jobs import Event, Job

_PICTURES = (".png", ".bmp")


def create_labels(
    path: str | Path,
    frames: FrameSource,
    max_id: int,
    overwrite: bool = False,
    *,
    spool: Path | None = None,
    names: Mapping[int, str] | None = None,
    classes: Mapping[int, ObjectClass] | None = None,
) -> LabelWriter:
    """Start a labels file for a source; everything that can be refused is refused now.

    Parameters
    ----------
    path : path
        Ends with .tif, .zarr, .nii.gz, .nii, .nrrd or .mha, or with an ending of `EXPORTS`;
        without one it is a folder of palette PNGs, named like the source's pictures if it is
        a folder of them.
    frames : FrameSource
        Gives shape, axis, spacing and affine, and to some exports the pictures.
    max_id : int
        Largest label to come; decides between 8 and 16 bits.
    overwrite : bool
        Whether what exists may be replaced. It stays until the new file is complete.
    spool : Path, optional
        Where frames are kept until all are there, to go on from what is there already.
    names : mapping of int to str, optional
        What objects are called, for exports that say it.
    classes : mapping of int to ObjectClass, optional
        Those of objects, for exports that say them.

    Returns
    -------
    LabelWriter

    Raises
    ------
    DataError
        If the ending is unknown, the path exists or its folder does not, the labels do not
        fit the format, or the place cannot be written to.
    """
    path = Path(path)
    ending = check_labels(path, frames, max_id, overwrite)
    return LabelWriter(path, ending, frames, max_id, spool, names, classes)


def check_labels(path: Path, frames: FrameSource, max_id: int, overwrite: bool) -> str:
    """Refuse what `create_labels` would refuse, without writing; return the path's ending.

    Raises
    ------
    DataError
        As `create_labels`.
    """
    ending = label_ending(path)
    if not 1 <= max_id <= MAX_OBJECT_ID:
        raise DataError(f"Labels go from 1 to {MAX_OBJECT_ID}; {max_id} cannot be stored.")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: its folder does not exist. Create it first.")
    check_existing(path, ending, overwrite)
    if not ending and max_id > 255:
        raise DataError(
            f"{path}: palette PNGs hold labels up to 255, but the largest is {max_id}. "
            "Write to .tif, .zarr or .nii.gz instead."
        )
    if not ending and frames.axis != 0:
        raise DataError(
            f"{path}: a folder holds frames along axis 0, but these run along axis "
            f"{frames.axis}. Write to .tif, .zarr or .nii.gz instead."
        )
    if ending in ITK_LABEL_ENDINGS:
        simple_itk(path)
    if ending in EXPORTS:
        EXPORTS[ending].check(path, frames)
    return ending


def export_labels(path: str | Path, labelled: Labelled, overwrite: bool = False) -> Job:
    """Write labels that exist as another kind of file, frame by frame.

    Parameters
    ----------
    path : path
        As for `create_labels`.
    labelled : Labelled
    overwrite : bool
        Whether what exists may be replaced.

    Yields
    ------
    Event
        After every frame; the file is there when the job has ended.

    Raises
    ------
    DataError
        As `create_labels` and `LabelWriter`, or if a frame cannot be read.
    """
    total = len(labelled.frames)
    names, classes = labelled.names, labelled.classes
    frames, max_id = labelled.frames, labelled.max_id
    with create_labels(path, frames, max_id, overwrite, names=names, classes=classes) as writer:
        for frame, labels in labelled:
            writer.write(frame, labels)
            yield Event(done=frame + 1, total=total)


def read_labels(path: str | Path) -> NDArray[Any]:
    """Read labels whole.

    Parameters
    ----------
    path : path
        As written by `create_labels`, or of the same kinds by others.

    Returns
    -------
    (T or Z, Y, X) integer array
        A single (Y, X) picture becomes one frame. NIfTI is read in reverse of its order.

    Raises
    ------
    DataError
        If the file is missing, damaged, of another kind, or holds no labels.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"The labels {path} do not exist. Check the spelling.")
    suffix = path.suffix.lower()
    ending = "" if suffix in (*_PICTURES, *ITK_ENDINGS) else label_ending(path)
    labels: Any
    try:
        if suffix in ITK_ENDINGS:
            labels = read_itk_labels(path)
        elif ending in (".tif", ".tiff"):
            labels = tifffile.imread(path)
        elif ending in (".nii", ".nii.gz"):
            stored: Any = nib.load(path)
            labels = np.asarray(stored.dataobj).T
        elif ending in EXPORTS:
            raise DataError(f"{path} is an export, which labels are not read from.")
        elif ending == ".zarr" or (path / "zarr.json").exists():
            labels = np.asarray(zarr.open_array(str(path), mode="r")[...])
        elif path.is_dir():
            labels = np.stack([read_labels_png(file) for file in picture_files(path)])
        else:
            labels = read_labels_png(path)
    except (OSError, ValueError, EOFError, KeyError, nib.filebasedimages.ImageFileError) as error:
        raise DataError(f"The labels {path} cannot be read: {error}.") from error
    while labels.ndim > 3 and 1 in labels.shape:
        labels = labels.squeeze(labels.shape.index(1))
    if labels.ndim not in (2, 3):
        raise DataError(f"The labels {path} have the shape {labels.shape}, not three axes.")
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.uint16 if labels.max(initial=0) <= MAX_OBJECT_ID else np.int64)
    if labels.dtype.kind not in "bui":
        raise DataError(f"{path} holds values of type {labels.dtype}, not labels.")
    return cast("NDArray[Any]", labels if labels.ndim == 3 else labels[np.newaxis])
