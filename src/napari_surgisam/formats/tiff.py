"""TIFF stacks, read page by page."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite, prod
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.formats.volumes import MM_PER_UNIT, Selection, named_axes


def open_tiff(path: Path, selection: Selection) -> ArrayFrames:
    """Open a TIFF file: stack, time-lapse, hyperstack or single picture.

    Parameters
    ----------
    path : Path
        Of several series the one with most pixels is read, at full resolution; single pages
        of one size are a stack. Axes and spacing are taken from ImageJ's or OME's metadata.
    selection : Selection

    Raises
    ------
    DataError
        If the file is damaged or the selection does not fit.
    """
    try:
        with _complaints() as complaints, tifffile.TiffFile(path) as file:
            series = max(file.series, key=lambda s: prod(s.shape))
            axes, sizes = series.axes, _voxel_sizes(file, series)
            dtype = np.dtype(cast("Any", series.dtype))
            alike = [s for s in file.series if s.shape == series.shape and s.dtype == dtype]
            if len(alike) > 1 and not file.is_ome and all(len(s.pages) == 1 for s in alike):
                pages = [page for s in alike for page in s.pages]
                array: Any = _Pages(pages, (len(alike), *series.shape), dtype)
                axes = f"Q{axes}"
            elif series.dataoffset is not None and series.keyframe.is_memmappable:
                stored = dtype.newbyteorder(cast("Any", file.byteorder))
                array = np.memmap(path, stored, "r", series.dataoffset, series.shape)
            else:
                array = _Pages(list(series.pages), series.shape, dtype)
    except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError) as error:
        raise DataError(f"{path} cannot be read as TIFF: {error}.") from error
    if any("invalid page offset" in complaint for complaint in complaints):
        raise DataError(
            f"{path} is cut off: it refers to pages beyond its end. Copy or export it again."
        )
    if "S" in axes[:-1]:  # colours stored plane by plane
        samples = axes.index("S")
        axes = axes.replace("S", "") + "S"
        array = _SamplesLast(array, samples)
    return named_axes(array, axes, sizes, path, selection)


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile would log: it reports a file that is cut off in no other way."""
    messages: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        messages.append(record.getMessage())
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(keep)
    try:
        yield messages
    finally:
        logger.removeFilter(keep)


class _Pages:
    """Pages of a TIFF file as one array; only those that are asked for are unpacked.

    The file is opened for each read, so that nothing stays open.
    """

    def __init__(self, pages: Sequence[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._pages, self._lock = pages, Lock()
        self._leading, size = 0, prod(shape)
        while size * len(pages) != prod(shape):
            size //= shape[self._leading]
            self._leading += 1

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        numbers = np.arange(len(self._pages)).reshape(self.shape[: self._leading])
        wanted = numbers[index[: self._leading]]
        rest = index[self._leading :]
        parts = [self._page(int(number))[rest] for number in wanted.ravel()]
        return np.stack(parts).reshape(*wanted.shape, *parts[0].shape)

    def _page(self, number: int) -> NDArray[Any]:
        page, shape = self._pages[number], self.shape[self._leading :]
        if page is None:  # OME allows for pages that were never written
            return np.zeros(shape, self.dtype)
        file = page.parent.filehandle
        with self._lock:
            file.open()
            try:
                pixels: NDArray[Any] = page.asarray()
            finally:
                file.close()
        return pixels.reshape(shape)


class _SamplesLast:
    """An array whose colour axis appears as the last one."""

    def __init__(self, array: Any, samples: int) -> None:
        self._array, self._samples, self.dtype = array, samples, array.dtype
        shape = list(array.shape)
        shape.append(shape.pop(samples))
        self.shape = tuple(shape)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        stored = [*index[:-1]]
        stored.insert(self._samples, index[-1])
        values = np.asarray(self._array[tuple(stored)])
        if not isinstance(index[-1], slice):
            return values
        before = sum(isinstance(i, slice) for i in stored[: self._samples])
        return np.moveaxis(values, before, -1)


def _voxel_sizes(file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> dict[str, float]:
    """Return the size of a voxel in mm of those axes for which the metadata name a unit.

    The resolution of other files is mostly a printer's.
    """
    sizes: dict[str, float] = {}
    own: Any = (
        file.imagej_metadata if file.is_imagej else next(iter(file.shaped_metadata or ()), {})
    )
    if own and "unit" in own:
        mm = MM_PER_UNIT.get(str(own["unit"]).lower(), 0.0)
        sizes["Z"] = float(own.get("spacing", 0.0)) * mm
        for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
            if tag in series.keyframe.tags:
                pixels, units = series.keyframe.tags[tag].value
                sizes[axis] = units * mm / pixels if pixels else 0.0
    elif file.is_ome and file.ome_metadata:
        images: Any = cast("Any", tifffile.xml2dict(file.ome_metadata))["OME"]["Image"]
        pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
        for axis in "XYZ":
            mm = MM_PER_UNIT.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")), 0.0)
            sizes[axis] = float(pixels.get(f"PhysicalSize{axis}", 0.0)) * mm
    return {axis: size for axis, size in sizes.items() if isfinite(size) and size > 0}
