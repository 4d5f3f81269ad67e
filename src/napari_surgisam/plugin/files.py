"""What napari opens through us: movies, NIfTI volumes and sample data; see also `scans`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import ArrayFrames, FrameSource
from napari_surgisam.errors import DataError
from napari_surgisam.plugin.waiting import wait_for
from napari_surgisam.resources import sample_data

if TYPE_CHECKING:
    from napari.types import LayerData, ReaderFunction

    PathLike = str | Path

AFFINE = "affine"
"""Key of a layer's metadata: NIfTI's matrix, for the stored (x, y, z) order."""

PATH = "surgisam_path"
"""Key of a layer's metadata: the file that it was opened from, where napari does not know it."""

SOURCE = "surgisam_source"
"""Key of a layer's metadata under which a `FrameStack` says how to open its file anew."""


class FrameStack:
    """Frames as an array that is read one frame at a time, for dask to wrap.

    Parameters
    ----------
    open_frames : callable
        Returns a new, independent reader of the file. The viewer has one, and each
        computation its own: a movie read at two places at once would seek back and forth.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(self, open_frames: Callable[[], FrameSource]) -> None:
        self.open_frames = open_frames
        self._frames = open_frames()
        self.shape = (len(self._frames), *self._frames.shape, 3)
        self._name = f"surgisam-frames-{uuid4().hex}"

    @property
    def damage(self) -> str:
        """What is wrong with a file that is cut off; empty if nothing is."""
        return str(getattr(self._frames, "damage", ""))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: tuple[slice, ...]) -> NDArray[np.uint8]:
        numbers = range(len(self))[index[0]]
        return np.stack([self._frames.read(frame)[index[1:]] for frame in numbers])

    def made(self, array: Any) -> bool:
        """Whether an array is the whole dask array that `as_dask` returns."""
        return getattr(array, "name", None) == self._name

    def as_dask(self) -> Any:
        """Return a dask array with one chunk per frame."""
        import dask.array as da

        return da.from_array(
            self,
            chunks=(1, *self.shape[1:]),
            name=self._name,
            asarray=False,
            fancy=False,
            meta=np.empty((0, 0, 0, 0), np.uint8),
        )


def movie_reader(path: PathLike | Sequence[PathLike]) -> ReaderFunction | None:
    """Return a function that opens a movie lazily, or None for several paths."""
    return movie_layers if isinstance(path, str | Path) else None


def nifti_reader(path: PathLike | Sequence[PathLike]) -> ReaderFunction | None:
    """Return a function that opens a NIfTI volume, or None for several paths."""
    return read_nifti if isinstance(path, str | Path) else None


def open_clip() -> list[LayerData]:
    """Open the sample clip."""
    return movie_layers(sample_data() / "clip.mp4")


def open_volume() -> list[LayerData]:
    """Open the sample volume."""
    return read_nifti(sample_data() / "volume.nii.gz")


def open_ultrasound() -> list[LayerData]:
    """Open the multi-frame echocardiogram that ships inside pydicom."""
    from pydicom.data import get_testdata_file

    from napari_surgisam.plugin.scans import read_dicom

    path = get_testdata_file("examples_ybr_color.dcm", download=False)
    if path is None:
        raise DataError(
            "This installation of pydicom comes without its example files: install pydicom "
            "again, or open a file of your own."
        )
    ((data, facts, kind),) = read_dicom(path)
    return [(data, facts | {"name": "ultrasound"}, kind)]


def open_brain() -> list[LayerData]:
    """Open the two brain volumes that ship inside nibabel, the first in time."""
    from importlib.resources import as_file, files

    with as_file(files("nibabel") / "tests" / "data" / "example4d.nii.gz") as path:
        if not path.is_file():
            raise DataError(
                "This installation of nibabel comes without its example volume: install "
                "nibabel again, or open a file of your own."
            )
        return read_nifti(path)


def open_coins() -> list[LayerData]:
    """Open scikit-image's picture of Greek coins: a clip of one frame."""
    from skimage import data

    return [(data.coins(), {"name": "coins"}, "image")]


def open_retina() -> list[LayerData]:
    """Open scikit-image's photograph of a retina: a clip of one frame."""
    from skimage import data

    return [(data.retina(), {"name": "retina", "rgb": True}, "image")]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a Labels layer as NIfTI, NRRD or MetaImage, with the affine of its image, or as zarr.

    Parameters
    ----------
    path : str
        Ends with .nii.gz, .nii, .nrrd, .mha or .zarr; napari has asked before replacing what
        is there.
    data : (T or Z, Y, X) or (Y, X) integer array
        NumPy, dask or zarr; read frame by frame.
    attributes : dict
        What napari knows of the layer.

    Returns
    -------
    list of str
        The path that was written.

    Raises
    ------
    DataError
        If the labels do not fit the format, or the disk is full.
    """
    from napari_surgisam.formats.labels import create_labels

    frames = frames_of_labels(data, attributes)
    highest = max(int(frames.values(frame).max(initial=0)) for frame in range(len(frames)))
    with create_labels(path, frames, max(highest, 1), overwrite=True) as writer:
        for frame in range(len(frames)):
            writer.write(frame, frames.values(frame))
    return [path]


def frames_of_labels(data: Any, attributes: Mapping[str, Any]) -> ArrayFrames:
    """Return a Labels layer's array as frames, with what the layer knows of its geometry.

    Parameters
    ----------
    data : (T or Z, Y, X) or (Y, X) integer array
    attributes : mapping
        As for `write_labels`.

    Raises
    ------
    DataError
        If the layer has other axes.
    """
    from napari_surgisam.plugin.grid import TIME_NAMES

    scale, units = attributes.get("scale", ()), attributes.get("units", ())
    names = [str(name).lower() for name in attributes.get("axis_labels", ())]
    times = [axis for axis, name in enumerate(names) if name in TIME_NAMES]
    return ArrayFrames(
        data,
        window=(0, 1),
        spacing=[
            float((abs(step) * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else None
            for step, unit in zip(scale, units, strict=True)
        ]
        or None,
        time_axis=times[0] if times else None,
        affine=attributes.get("metadata", {}).get(AFFINE),
        name=str(attributes.get("name", "labels")),
    )


def movie_layers(path: Any) -> list[LayerData]:
    """Open a movie, or a folder of frames, lazily."""
    return [read_movie(Path(path))]


def read_movie(
    file: Path,
    opened: FrameSource | None = None,
    open_again: Callable[[], FrameSource] | None = None,
) -> LayerData:
    """Open a movie as a layer that is read frame by frame.

    Parameters
    ----------
    file : Path
    opened : FrameSource, optional
        A reader of it, which the viewer takes.
    open_again : callable, optional
        Returns further readers; they show the movie as it is by default.
    """
    readers = [] if opened is None else [opened]

    def open_frames() -> FrameSource:
        from napari_surgisam.formats.sources import open_source

        if readers:
            return readers.pop()
        return open_source(file) if open_again is None else open_again()

    def open_stack() -> FrameStack:
        stack = FrameStack(open_frames)
        middle = (len(stack) - 1) // 2
        stack[middle : middle + 1,]  # napari shows it first; decoding up to it may take long
        return stack

    stack = wait_for(open_stack)
    if stack.damage:
        from napari.utils.notifications import show_warning

        show_warning(stack.damage)
    facts = {
        "name": file.stem,
        "rgb": True,
        "axis_labels": ("time", "y", "x"),
        "metadata": {SOURCE: stack, PATH: str(file)},
    }
    return (stack.as_dask(), facts, "image")


def read_nifti(path: Any) -> list[LayerData]:
    """Open a NIfTI volume as a layer."""
    return wait_for(lambda: _load_nifti(Path(path)))  # a compressed one is unpacked


def _load_nifti(file: Path) -> list[LayerData]:
    import nibabel as nib

    try:
        image: Any = nib.load(file)
        proxy = image.dataobj
        scaled = (float(proxy.slope), float(proxy.inter)) != (1.0, 0.0)
        if file.suffix == ".gz":  # seeking would unpack all that comes before
            array: Any = np.asarray(proxy, np.float32 if scaled else None)
        else:
            import dask.array as da

            chunks = (*proxy.shape[:2], *(1 for _ in proxy.shape[2:]))
            array = da.from_array(proxy, chunks=chunks, name=f"surgisam-nifti-{uuid4().hex}")
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise DataError(f"{file} cannot be read as NIfTI: {error}.") from error
    zooms = [float(z) if np.isfinite(z) and z > 0 else 1.0 for z in image.header.get_zooms()]
    space, _ = image.header.get_xyzt_units()
    unit = {"meter": "m", "mm": "mm", "micron": "um"}.get(space, "mm")
    labels = ("t", "z", "y", "x")[-array.ndim :] if array.ndim <= 4 else None
    kwargs: dict[str, Any] = {
        "name": file.name.removesuffix(".gz").removesuffix(".nii"),
        "metadata": {AFFINE: np.asarray(image.affine), PATH: str(file)},
    }
    if labels is not None:
        kwargs["axis_labels"] = labels
        kwargs["units"] = ["pixel" if label == "t" else unit for label in labels]
        kwargs["scale"] = [
            1.0 if label == "t" else zoom for label, zoom in zip(labels, zooms[::-1], strict=True)
        ]
    return [(array.T, kwargs, "image")]
