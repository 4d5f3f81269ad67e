"""How a finished label array is laid out in a file, and put in its place."""

from __future__ import annotations

import gzip
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image
from zarr.codecs import ZstdCodec

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.errors import DataError

ITK_LABEL_ENDINGS = (".nrrd", ".mha")
LABEL_ENDINGS = (".tif", ".tiff", ".zarr", ".nii.gz", ".nii", *ITK_LABEL_ENDINGS)
EXPORT_ENDINGS = (".json", ".dcm", ".mp4", ".csv")
_CLASSIC_TIFF_BYTES = 2**32 - 2**26


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Shape and geometry of stored labels.

    Parameters
    ----------
    shape : tuple of int
        (T or Z, Y, X), or (Y, X) for a single picture.
    dtype : numpy.dtype
    names : str
        One letter per axis: tyx, zyx or yx.
    spacing : tuple of float or None
        Size of a voxel in mm along (T or Z, Y, X); of a single picture the first is unused.
    affine : (4, 4) array or None
        NIfTI's matrix for (x, y, z).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    names: str
    spacing: tuple[float, float, float] | None
    affine: NDArray[np.float64] | None

    @classmethod
    def of(cls, frames: FrameSource, max_id: int) -> Layout:
        """Return the layout of a source's labels, in the smallest type that holds `max_id`."""
        shape, spacing = list(frames.shape), None
        if frames.ndim == 3:
            shape.insert(frames.axis, len(frames))
        if frames.spacing is not None:
            sizes = list(frames.spacing[1:])
            sizes.insert(frames.axis, frames.spacing[0])
            spacing = (sizes[0], sizes[1], sizes[2])
        names = "tyx" if frames.temporal else "zyx"
        dtype = np.dtype(np.uint8 if max_id <= 255 else np.uint16)
        return cls(tuple(shape), dtype, names[-len(shape) :], spacing, frames.affine)

    @property
    def nbytes(self) -> int:
        """Size of the labels without compression."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def create_store(self, path: Path, axis: int) -> zarr.Array[Any]:
        """Create a zarr array of zeros, with a compressed chunk per frame along `axis`."""
        chunks, spacing = list(self.shape), self.spacing
        if len(chunks) == 3:
            chunks[axis] = 1
        return zarr.create_array(
            str(path),
            shape=self.shape,
            chunks=tuple(chunks),
            dtype=self.dtype,
            compressors=ZstdCodec(level=3),
            fill_value=0,
            dimension_names=list(self.names),
            attributes={"spacing": list(spacing), "unit": "mm"} if spacing else {},
            zarr_format=3,
        )

    def open_store(self, path: Path, axis: int) -> zarr.Array[Any]:
        """Open what `create_store` made, to write on.

        Raises
        ------
        DataError
            If it is damaged or another's.
        """
        try:
            array = zarr.open_array(str(path), mode="r+")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be gone on from: {error}. Start over (--overwrite)."
            ) from error
        if (array.shape, array.dtype) != (self.shape, self.dtype):
            raise DataError(
                f"{path} holds labels of {array.shape} {array.dtype}, but {self.shape} "
                f"{self.dtype} are to be written: start over (--overwrite)."
            )
        return array

    def write_tiff(self, path: Path, slabs: Iterable[NDArray[Any]]) -> None:
        """Write a compressed TIFF from consecutive slabs of the stored array.

        ImageJ's kind, which carries axes and voxel size, unless it cannot hold the labels:
        over 4 GB (then BigTIFF) and for a single page, whose first axis it would drop.
        """
        big = self.nbytes > _CLASSIC_TIFF_BYTES
        metadata: dict[str, Any] = {"axes": self.names.upper()}
        resolution = None
        if self.spacing:
            metadata |= {"unit": "mm", "spacing": self.spacing[0]}
            resolution = (1 / self.spacing[2], 1 / self.spacing[1])
        pages = (page for slab in slabs for page in slab.reshape(-1, *self.shape[-2:]))
        imagej = not big and len(self.shape) == 3 and self.shape[0] > 1
        with tifffile.TiffWriter(path, bigtiff=big, imagej=imagej) as file:
            file.write(
                pages,
                shape=self.shape,
                dtype=self.dtype,
                compression="zlib",
                rowsperstrip=self.shape[-2],
                photometric="minisblack",
                metadata=metadata,
                resolution=resolution,
                resolutionunit="NONE",
            )

    def write_nifti(self, path: Path, slabs: Iterable[NDArray[Any]], *, compress: bool) -> None:
        """Write a NIfTI file, stored as (x, y, z), from consecutive slabs of (Z, Y, X)."""
        shape, affine = self.shape[::-1], self.affine
        if affine is None:
            affine = np.diag([*(self.spacing or (1.0, 1.0, 1.0))[::-1], 1.0])
        kind: Any = nib.Nifti1Image if max(shape) < 2**15 else nib.Nifti2Image
        header = kind(np.broadcast_to(self.dtype.type(0), shape), affine).header
        header.set_qform(affine, code="scanner")
        header.set_sform(affine, code="scanner")
        known = self.affine is not None or self.spacing is not None
        header.set_xyzt_units("mm" if known else "unknown")
        header.set_intent("label", name="labels")
        header.set_slope_inter(1, 0)
        with ExitStack() as files:
            file: Any = files.enter_context(path.open("wb"))
            if compress:
                packed = gzip.GzipFile("", "wb", compresslevel=4, fileobj=file, mtime=0)
                file = files.enter_context(packed)
            header.write_to(file)
            for slab in slabs:  # (x, y, z) in Fortran's order is (z, y, x) in C's
                file.write(np.ascontiguousarray(slab).data)


def label_ending(path: Path) -> str:
    """Return which of `LABEL_ENDINGS` or `EXPORT_ENDINGS` a path has, or "" for a folder.

    Raises
    ------
    DataError
        If it has any other ending.
    """
    name = path.name.lower()
    for ending in (*LABEL_ENDINGS, *EXPORT_ENDINGS):
        if name.endswith(ending):
            return ending
    if path.suffix and not path.is_dir():
        raise DataError(
            f"{path} has an ending that labels cannot be written to: use "
            f"{', '.join((*LABEL_ENDINGS, *EXPORT_ENDINGS))}, or no ending for a folder of PNGs."
        )
    return ""


def first_of_arrays(paths: Sequence[Path]) -> Path:
    """Return the first path whose labels can be read again, or the first where there is none.

    Raises
    ------
    DataError
        If one has an unknown ending.
    """
    arrays = [path for path in paths if label_ending(path) not in EXPORT_ENDINGS]
    return (arrays or list(paths))[0]


def check_existing(path: Path, ending: str, overwrite: bool) -> None:
    """Raise a `DataError` unless labels may be written to `path`.

    An empty folder is free. What exists is replaced only where asked, by its own kind, and
    a folder only if it holds nothing but palette PNGs.
    """
    if not path.exists():
        return
    is_folder = path.is_dir()
    if not ending and is_folder and not any(path.iterdir()):
        return
    if not overwrite:
        raise DataError(
            f"{path} exists already and was left alone: choose another name, or overwrite it "
            "(--overwrite)."
        )
    if is_folder != (ending in ("", ".zarr")):
        kind = "a folder" if is_folder else "a file"
        raise DataError(f"{path} is {kind}, which these labels cannot replace: rename it.")
    if not ending and not all(_is_palette_png(file) for file in path.iterdir()):
        raise DataError(
            f"{path} holds other files than labels, which overwriting would delete: choose "
            "another folder."
        )


def _is_palette_png(path: Path) -> bool:
    if path.suffix.lower() != ".png" or not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            return bool(image.mode == "P")
    except OSError:
        return False


def replace(new: Path, path: Path) -> None:
    """Move a finished file or folder to its place; what was there goes only then."""
    if not path.is_dir():
        os.replace(new, path)
        return
    old = path.with_name(f"{new.name}.old")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def remove(folder: Path) -> None:
    """Delete a folder, if it is there, under another name: under its own it is never half."""
    gone = folder.with_name(f".{uuid.uuid4().hex[:12]}.gone")
    with suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def megabytes(size: int) -> str:
    """Return a number of bytes as a person reads it."""
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
