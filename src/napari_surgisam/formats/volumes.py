"""Arrays in files: NIfTI, zarr and npy, read lazily."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import zarr
from nibabel.fileslice import fileslice
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.data.windows import Window
from napari_surgisam.errors import DataError

MM_PER_UNIT = {
    "nm": 1e-6,
    "nanometer": 1e-6,
    "um": 1e-3,
    "µm": 1e-3,
    "μm": 1e-3,
    "\\u00b5m": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "mm": 1.0,
    "millimeter": 1.0,
    "cm": 10.0,
    "centimeter": 10.0,
    "m": 1e3,
    "meter": 1e3,
    "inch": 25.4,
}


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read from a stored array: see `ArrayFrames`."""

    axis: int = 0
    window: Window = "auto"
    channel: int | None = None
    at: Mapping[int, int] | None = None


def identity(*paths: Path) -> str:
    """Return sizes and dates of files: what tells changed files apart without reading them."""
    return repr([(s.st_size, s.st_mtime_ns) for s in (path.stat() for path in paths)])


def open_npy(path: Path, selection: Selection) -> ArrayFrames:
    """Open a .npy file as a memory map; see `ArrayFrames` for its axes.

    The last axis is colour if it has 3 or 4 entries of uint8.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a NumPy array: {error}.") from error
    return _plain(array, path, selection)


def open_zarr(path: Path, selection: Selection) -> ArrayFrames:
    """Open a zarr array (v2 or v3), or level 0 of an OME-Zarr image.

    Axes are named by OME's metadata, by v3's dimension names, or by xarray's attribute.

    Raises
    ------
    DataError
        If there is no single array to read.
    """
    try:
        node = zarr.open(str(path), mode="r")
        axes: Sequence[str] = ()
        sizes: dict[str, float] = {}
        if isinstance(node, zarr.Group):
            node, axes, sizes = _array_of_group(node, path)
        else:
            names = getattr(node.metadata, "dimension_names", None)
            axes = names or cast("Any", node.attrs.get("_ARRAY_DIMENSIONS", ()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as zarr: {error}.") from error
    letters = "".join(_axis_letter(name) for name in axes)
    if len(letters) != len(node.shape) or len(set(letters)) != len(letters):
        return _plain(node, path, selection)
    return named_axes(node, letters, sizes, path, selection)


def open_nifti(path: Path, selection: Selection) -> ArrayFrames:
    """Open a NIfTI file as (Z, Y, X), or (T, Z, Y, X), from its stored (x, y, z, t).

    An uncompressed file is read slice by slice. Of a compressed one, in which seeking
    means unpacking all that comes before, the chosen volume is unpacked into memory at its
    stored type; intensities are scaled per slice.

    Raises
    ------
    DataError
        If the file is damaged, or has four axes and `selection.at` chooses none of them.
    """
    try:
        image: Any = nib.load(path)
        proxy, zooms = image.dataobj, image.header.get_zooms()
        affine = np.asarray(image.affine, dtype=np.float64)
        space, _ = image.header.get_xyzt_units()
    except (OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError) as error:
        raise DataError(f"{path} cannot be read as NIfTI: {error}.") from error
    at = selection.at or {}
    array: Any = _ReversedVolume(proxy)
    if path.suffix == ".gz":
        array = _UnpackedVolume(array, path, at)
    mm = MM_PER_UNIT.get(space, 1.0)
    zooms = [float(zoom) * mm for zoom in zooms[: len(array.shape) - array.rgb]]
    return ArrayFrames(
        array,
        axis=selection.axis,
        at=at,
        rgb=array.rgb,
        channel=selection.channel,
        window=selection.window,
        spacing=[zoom if isfinite(zoom) and zoom > 0 else None for zoom in reversed(zooms)],
        time_axis=0 if len(zooms) == 4 else None,
        affine=affine,
        identity=identity(path),
        name=str(path),
    )


class _ReversedVolume:
    """A NIfTI array read in reverse of its stored order, one slab at a time."""

    def __init__(self, proxy: Any) -> None:
        self.proxy = proxy
        stored = np.dtype(proxy.dtype)
        self.rgb = stored.names is not None and set("RGB") <= set(stored.names)
        self.shape: tuple[int, ...] = tuple(int(n) for n in proxy.shape[::-1])
        while len(self.shape) > 4 and self.shape[0] == 1:
            self.shape = self.shape[1:]
        scaled = (float(proxy.slope), float(proxy.inter)) != (1.0, 0.0)
        self.dtype = np.dtype(np.float32) if scaled else stored
        if self.rgb:
            self.shape, self.dtype = (*self.shape, len(stored.names or ())), np.dtype(np.uint8)

    def stored_index(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        spatial = index[:-1] if self.rgb else index
        padding = (0,) * (len(self.proxy.shape) - len(spatial))
        return (*spatial[::-1], *padding)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        values = np.asarray(self.proxy[self.stored_index(index)]).T
        return self.finish(values, index)

    def finish(self, values: NDArray[Any], index: tuple[Any, ...]) -> NDArray[Any]:
        if self.rgb:
            samples = np.ascontiguousarray(values).view(np.uint8)
            return samples.reshape(*values.shape, -1)[..., index[-1]]
        return values.astype(self.dtype, copy=False)


class _UnpackedVolume(_ReversedVolume):
    """The chosen part of a compressed NIfTI array, in memory at its stored type."""

    def __init__(self, lazy: _ReversedVolume, path: Path, at: Mapping[int, int]) -> None:
        super().__init__(lazy.proxy)
        spatial = len(self.shape) - self.rgb
        if not all(0 <= a < spatial and 0 <= i < self.shape[a] for a, i in at.items()):
            self._values = np.empty(0)  # ArrayFrames refuses such an index
            return
        kept = tuple(slice(at[a], at[a] + 1) if a in at else slice(None) for a in range(spatial))
        self._offset = tuple(at.get(a, 0) for a in range(spatial))
        unpack: Any = fileslice
        try:
            with nib.openers.ImageOpener(str(path)) as file:
                self._values = unpack(
                    file,
                    self.stored_index((*kept, 0) if self.rgb else kept),
                    self.proxy.shape,
                    self.proxy.dtype,
                    self.proxy.offset,
                    order="F",
                ).T
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be unpacked: {error}. The file is damaged.") from error

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        spatial = index[:-1] if self.rgb else index
        inside = tuple(
            i if isinstance(i, slice) else i - offset
            for i, offset in zip(spatial, self._offset, strict=True)
        )
        values = self._values[inside]
        if not self.rgb and self.dtype != values.dtype:
            values = values * np.float32(self.proxy.slope) + np.float32(self.proxy.inter)
        return self.finish(values, index)


def _plain(array: Any, path: Path, selection: Selection) -> ArrayFrames:
    """Return frames of an array whose axes nobody has named."""
    colour = len(array.shape) >= 3 and array.shape[-1] in (3, 4) and array.dtype == np.uint8
    return ArrayFrames(
        array,
        axis=selection.axis,
        at=selection.at,
        rgb=colour,
        channel=selection.channel,
        window=selection.window,
        identity=identity(path),
        name=str(path),
    )


def named_axes(
    array: Any, axes: str, sizes: Mapping[str, float], path: Path, selection: Selection
) -> ArrayFrames:
    """Return frames of an array whose axes have names.

    Parameters
    ----------
    array : array-like
    axes : str
        One letter per axis: T, C, Z, Y, X, S (colours, the last) and others.
    sizes : mapping of str to float
        Voxel size in mm of those axes for which it is known.
    path : Path
    selection : Selection
    """
    rgb = axes.endswith("S") and array.shape[-1] in (3, 4)
    channel_axis = len(axes) - 1 if axes.endswith("S") else axes.find("C")
    named = [a for k, a in enumerate(axes) if k != channel_axis]
    return ArrayFrames(
        array,
        axis=selection.axis,
        at=selection.at,
        rgb=rgb,
        channel_axis=channel_axis if channel_axis >= 0 else None,
        channel=selection.channel,
        window=selection.window,
        spacing=[sizes.get(a) for a in named],
        time_axis=named.index("T") if "T" in named else None,
        identity=identity(path),
        name=str(path),
    )


def _axis_letter(name: Any) -> str:
    words = {"time": "T", "t": "T", "channel": "C", "c": "C", "frame": "T"}
    text = str(name).lower()
    return words.get(text, text[:1].upper() or "?")


def _array_of_group(
    group: zarr.Group, path: Path
) -> tuple[zarr.Array[Any], list[str], dict[str, float]]:
    attributes: Any = group.attrs.asdict()
    multiscales = attributes.get("ome", attributes).get("multiscales")
    if not multiscales:
        arrays = dict(group.arrays())
        if len(arrays) != 1:
            raise DataError(
                f"{path} is a zarr group with {len(arrays)} arrays ({', '.join(sorted(arrays))}): "
                "give the path of one of them."
            )
        return next(iter(arrays.values())), [], {}
    image = multiscales[0]
    level = image["datasets"][0]
    axes = [a["name"] if isinstance(a, dict) else str(a) for a in image.get("axes", "tczyx")]
    units = [a.get("unit", "") if isinstance(a, dict) else "" for a in image.get("axes", "tczyx")]
    scale = [1.0] * len(axes)
    for transform in (
        *level.get("coordinateTransformations", ()),
        *image.get("coordinateTransformations", ()),
    ):
        if transform["type"] == "scale":
            scale = [a * b for a, b in zip(scale, transform["scale"], strict=True)]
    sizes = {
        _axis_letter(a): s * MM_PER_UNIT[u]
        for a, s, u in zip(axes, scale, units, strict=True)
        if u in MM_PER_UNIT
    }
    array = group[level["path"]]
    if not isinstance(array, zarr.Array):
        raise DataError(f"{path}: {level['path']!r} is not an array.")
    return array, axes, sizes
