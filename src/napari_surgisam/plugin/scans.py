"""Scans that napari opens through us: DICOM, NRRD and MetaImage, and folders of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_surgisam.plugin.files import AFFINE, movie_layers
from napari_surgisam.plugin.waiting import wait_for

if TYPE_CHECKING:
    from napari.types import LayerData, ReaderFunction

    PathLike = str | Path

DICOM = "surgisam_dicom"
"""Key of a layer's metadata: the path that its DICOM images were opened from."""

SERIES = "surgisam_series"
"""Key of a layer's metadata: what tells the DICOM series, or a lone image, from others."""

_NOTHING: Any = [(None,)]  # how a reader says that it was right to ask, but there is no layer


def dicom_reader(path: PathLike | Sequence[PathLike]) -> ReaderFunction | None:
    """Return a function that opens a DICOM image, or the series of a slice.

    Several files are opened if they are of one folder, whose series they then stand for.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    if len({Path(one).parent for one in paths}) != 1:
        return None
    return lambda _: read_dicom(paths[0])


def itk_reader(path: PathLike | Sequence[PathLike]) -> ReaderFunction | None:
    """Return a function that opens NRRD or MetaImage, or None for several paths."""
    return read_itk if isinstance(path, str | Path) else None


def folder_reader(path: PathLike | Sequence[PathLike]) -> ReaderFunction | None:
    """Return a function that opens a folder of DICOM slices or of frames.

    None if the folder holds neither.
    """
    if not isinstance(path, str | Path) or not Path(path).is_dir():
        return None
    from napari_surgisam.formats.dicom import find_dicom
    from napari_surgisam.formats.folders import holds_pictures

    if find_dicom(Path(path)):
        return read_dicom
    return movie_layers if holds_pictures(Path(path)) else None


def read_dicom(path: Any) -> list[LayerData]:
    """Open DICOM lazily, one frame at a time, in real values and its own window.

    Slices of a series that the viewer shows are passed over, for whoever drops all of them on
    it: napari asks for each by itself.
    """
    file = Path(path)
    if file.is_file() and _is_shown(file):
        nothing: list[LayerData] = _NOTHING
        return nothing
    layer, notice = wait_for(lambda: _load_dicom(file))
    if notice:
        from napari.utils.notifications import show_warning

        show_warning(notice)
    return [layer]


def _is_shown(file: Path) -> bool:
    """Whether the viewer shows the series of a slice; say so where it is the same file."""
    from napari import current_viewer
    from napari.utils.notifications import show_info

    from napari_surgisam.formats.dicom_headers import read_header

    viewer = current_viewer()
    if viewer is None or not any(SERIES in layer.metadata for layer in viewer.layers):
        return False
    header = read_header(file)
    keys = {header.key, header.text("SOPInstanceUID")} - {""}
    for layer in viewer.layers:
        if layer.metadata.get(SERIES) in keys:
            if layer.metadata[DICOM] == str(file):
                show_info(f"{file} is open already: {layer.name}.")
            return True
    return False


def read_itk(path: Any) -> list[LayerData]:
    """Open NRRD or MetaImage."""
    return wait_for(lambda: _load_itk(Path(path)))


def _load_dicom(file: Path) -> tuple[LayerData, str]:
    import dask.array as da

    from napari_surgisam.formats.dicom import read_stack
    from napari_surgisam.formats.dicom_pixels import DicomArray

    stack = read_stack(file)
    pixels: Any = DicomArray(stack)
    leading = len(stack.lengths)
    array = da.from_array(
        pixels,
        chunks=(*(1,) * leading, *pixels.shape[leading:]),
        name=f"surgisam-dicom-{uuid4().hex}",
        asarray=False,
        fancy=False,
        meta=np.empty((0,) * pixels.ndim, pixels.dtype),
    )
    first = stack.frames[0].header
    key = first.key if leading else first.text("SOPInstanceUID")
    axes = (*{0: "", 1: "t" if stack.temporal else "z", 2: "tz"}[leading], "y", "x")
    facts = _placed(axes, stack.spacing) | {
        "name": first.text("SeriesDescription") or file.stem,
        "rgb": pixels.rgb,
        "metadata": {DICOM: str(file), SERIES: key}
        | ({} if stack.affine is None else {AFFINE: stack.affine}),
    }
    if pixels.window is not None:
        facts["contrast_limits"] = pixels.window
    return (array, facts, "image"), stack.notice


def _load_itk(file: Path) -> list[LayerData]:
    from napari_surgisam.formats.itk import read_itk

    scan = read_itk(file)
    axes = ("t", "z", "y", "x")[-len(scan.spacing) :]
    facts = _placed(axes, scan.spacing) | {
        "name": file.stem,
        "rgb": scan.rgb,
        "metadata": {} if scan.affine is None else {AFFINE: scan.affine},
    }
    if scan.components > 1 and not scan.rgb:
        facts["channel_axis"] = scan.array.ndim - 1
    return [(scan.array, facts, "image")]


def _placed(axes: Sequence[str], spacing: Sequence[float | None]) -> dict[str, Any]:
    """Return names, scale and units of axes; time, and what is unknown, goes by pixels."""
    known = [axis != "t" and size is not None for axis, size in zip(axes, spacing, strict=True)]
    return {
        "axis_labels": tuple("time" if axis == "t" else axis for axis in axes),
        "scale": [size if k else 1.0 for k, size in zip(known, spacing, strict=True)],
        "units": ["mm" if k else "pixel" for k in known],
    }
