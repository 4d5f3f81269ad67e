"""NRRD and MetaImage (.mha, .mhd), read and written by SimpleITK, which is an extra."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.formats.volumes import Selection, identity

ITK_ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class ItkScan:
    """An image as ITK knows it.

    Parameters
    ----------
    array : (T, Z, Y, X), (Z, Y, X) or (Y, X) array, with channels last if there are several
    spacing : tuple of float or None
        Size of a voxel in mm along each axis.
    components : int
        Number of channels.
    affine : (4, 4) array or None
        From (x, y, z) to mm towards right, front and head, as NIfTI has it.
    """

    array: NDArray[Any]
    spacing: tuple[float | None, ...]
    components: int
    affine: NDArray[np.float64] | None

    @property
    def rgb(self) -> bool:
        """Whether the channels are red, green and blue."""
        return self.components in (3, 4) and self.array.dtype == np.uint8


def open_itk(path: Path, selection: Selection) -> ArrayFrames:
    """Open a NRRD or MetaImage file as (Z, Y, X), (T, Z, Y, X) or (Y, X).

    It is read whole, at its stored type.

    Parameters
    ----------
    path : Path
    selection : Selection

    Raises
    ------
    DataError
        If SimpleITK is not installed, or the file is damaged.
    """
    scan = read_itk(path)
    return ArrayFrames(
        scan.array,
        axis=selection.axis,
        at=selection.at,
        rgb=scan.rgb,
        channel_axis=scan.array.ndim - 1 if scan.components > 1 else None,
        channel=selection.channel,
        window=selection.window,
        spacing=scan.spacing,
        time_axis=0 if len(scan.spacing) == 4 else None,
        affine=scan.affine,
        identity=identity(path),
        name=str(path),
    )


def read_itk(path: Path) -> ItkScan:
    """Read a NRRD or MetaImage file whole.

    Raises
    ------
    DataError
        If SimpleITK is not installed, or the file is damaged.
    """
    image = _read(path)
    spacing = [float(s) for s in reversed(image.GetSpacing())]
    return ItkScan(
        simple_itk(path).GetArrayFromImage(image),
        tuple(s if isfinite(s) and s > 0 else None for s in spacing),
        image.GetNumberOfComponentsPerPixel(),
        _affine(image) if image.GetDimension() >= 3 else None,
    )


def read_itk_labels(path: Path) -> NDArray[Any]:
    """Read labels in reverse of ITK's order: (Z, Y, X) or (Y, X).

    Raises
    ------
    DataError
        If SimpleITK is not installed, or the file is damaged.
    """
    labels: NDArray[Any] = simple_itk(path).GetArrayFromImage(_read(path))
    return labels


def write_itk(
    path: Path,
    labels: NDArray[Any],
    spacing: tuple[float, float, float] | None,
    affine: NDArray[np.float64] | None,
    ending: str,
) -> None:
    """Write labels, compressed, with the place of what they belong to.

    Parameters
    ----------
    path : Path
    labels : (Z, Y, X) or (Y, X) array
    spacing : tuple of float or None
        Of (Z, Y, X) in mm.
    affine : (4, 4) array or None
        NIfTI's, for (x, y, z). It counts more than `spacing`.
    ending : str
        Tells the format, whatever the path's name.

    Raises
    ------
    DataError
        If ITK cannot hold the affine, or cannot write.
    """
    sitk = simple_itk(path)
    image = sitk.GetImageFromArray(labels)
    if labels.ndim == 3 and affine is not None:
        columns = _LPS_TO_RAS @ affine[:3, :3]
        if not abs(np.linalg.det(columns)) > 0:
            raise DataError(
                "NRRD and MetaImage cannot hold this image's affine, which is flat: write NIfTI."
            )
        sizes = np.linalg.norm(columns, axis=0)
        image.SetSpacing(sizes.tolist())
        image.SetDirection((columns / sizes).ravel().tolist())
        image.SetOrigin((_LPS_TO_RAS @ affine[:3, 3]).tolist())
    elif spacing is not None:
        image.SetSpacing(spacing[::-1][: labels.ndim])
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("NrrdImageIO" if ending == ".nrrd" else "MetaImageIO")
    named = path.with_name(f"{path.name}{ending}")  # of another ending it would be two files
    writer.SetFileName(str(named))
    writer.UseCompressionOn()
    try:
        writer.Execute(image)
        named.replace(path)
    except RuntimeError as error:
        raise OSError(f"SimpleITK: {_reason(error)}") from error
    finally:
        named.unlink(missing_ok=True)


def simple_itk(path: Path) -> Any:
    """Import SimpleITK.

    Raises
    ------
    DataError
        If it is not installed.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise DataError(
            f"{path} needs SimpleITK, which is not installed: "
            "pip install 'napari-surgisam[itk]', or use NIfTI (.nii.gz)."
        ) from error
    return SimpleITK


def _read(path: Path) -> Any:
    sitk = simple_itk(path)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise DataError(f"{path} cannot be read: {_reason(error)}.") from error


def _reason(error: RuntimeError) -> str:
    """Return the last line of ITK's message, which says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "unknown reason"


def _affine(image: Any) -> NDArray[np.float64]:
    axes = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (axes, axes))[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ direction @ np.diag(image.GetSpacing()[:3])
    affine[:3, 3] = _LPS_TO_RAS @ np.asarray(image.GetOrigin()[:3])
    return affine
