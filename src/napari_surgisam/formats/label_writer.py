"""Labels written frame by frame: kept in a store beside the output until it is whole."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.classes import ObjectClass
from napari_surgisam.data.frames import FrameSource, check_frame
from napari_surgisam.errors import DataError
from napari_surgisam.formats.exports import EXPORTS
from napari_surgisam.formats.folders import PictureFrames, read_labels_png, write_palette_png
from napari_surgisam.formats.itk import write_itk
from napari_surgisam.formats.label_files import (
    ITK_LABEL_ENDINGS,
    Layout,
    megabytes,
    remove,
    replace,
)
from napari_surgisam.formats.labelled import Labelled

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SLAB_BYTES = 2**26


class LabelWriter:
    """Labels of a source, written frame by frame in any order; see `labels.create_labels`.

    Frames go to a store beside the output, compressed one by one; `close` turns it into the
    output. As a context manager it closes, or after an error aborts.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Of the stored array: (T or Z, Y, X), or (Y, X) for a single picture.
    dtype : uint8 or uint16
    """

    def __init__(
        self,
        path: Path,
        ending: str,
        frames: FrameSource,
        max_id: int,
        spool: Path | None = None,
        names: Mapping[int, str] | None = None,
        classes: Mapping[int, ObjectClass] | None = None,
    ) -> None:
        self.path, self._ending, self._max_id = path, ending, max_id
        self._labelled = Labelled(frames, self.read, max_id, dict(names or {}), dict(classes or {}))
        self._axis, self._length, self._frame_shape = frames.axis, len(frames), frames.shape
        self._layout = Layout.of(frames, max_id)
        self.shape, self.dtype = self._layout.shape, self._layout.dtype
        self._names = [f"{frame:05d}" for frame in range(len(frames))]
        if isinstance(frames, PictureFrames):
            self._names = list(frames.names)
        self._done: set[int] = set()
        token = uuid.uuid4().hex[:8]
        self._lasting = spool is not None
        self._found = spool is not None and spool.exists()
        self._spool = spool or path.with_name(f".{path.name}.{token}.partial")
        self._result = path.with_name(f".{path.name}.{token}.tmp")
        self._open = True
        with self._writing():
            if ending:
                store = self._layout.open_store if self._found else self._layout.create_store
                self._array = store(self._spool, self._axis)
            else:
                self._spool.mkdir(exist_ok=self._lasting)

    def mark_done(self, frames: Iterable[int]) -> None:
        """Take frames that the store holds already as written."""
        self._done.update(frames)

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Store the labels of one frame; a second time replaces the first.

        Parameters
        ----------
        frame : int
        labels : (H, W) integer array
            Frames never written are background.

        Raises
        ------
        DataError
            If frame, shape or values do not fit, or the disk is full.
        """
        self._check_open()
        check_frame(frame, self._length, str(self.path))
        if labels.shape != self._frame_shape or labels.dtype.kind not in "bui":
            raise DataError(
                f"Labels of frame {frame} are {labels.shape} {labels.dtype}, but {self.path} "
                f"takes whole numbers of shape {self._frame_shape}."
            )
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= self._max_id:
            raise DataError(
                f"Labels of frame {frame} go from {labels.min()} to {labels.max()}, but "
                f"{self.path} was made for 0 to {self._max_id}."
            )
        self._done.add(frame)
        with self._writing(frame):
            if not self._ending:
                self._write_png(frame, labels)
            elif len(self.shape) == 2:
                self._array[...] = labels.astype(self.dtype)
            else:
                index: list[Any] = [slice(None)] * 3
                index[self._axis] = frame
                self._array[tuple(index)] = labels.astype(self.dtype)

    def read(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) labels of a frame as they were written; background if never."""
        if not self._ending:
            place = self._spool / f"{self._names[frame]}.png"
            if not place.exists():
                return np.zeros(self._frame_shape, self.dtype)
            return read_labels_png(place)
        if len(self.shape) == 2:
            return np.asarray(self._array[...])
        index: list[Any] = [slice(None)] * 3
        index[self._axis] = frame
        return np.asarray(self._array[tuple(index)])

    def close(self) -> None:
        """Finish the output and move it into place.

        Raises
        ------
        DataError
            If the disk is full: what was there before is untouched, and the frames written
            are kept beside it.
        """
        self._check_open()
        with self._writing():
            try:
                self._finish()
            except DataError as error:  # labels that the format cannot hold
                kept = self.abort(keep=True)
                where = f" What is finished is kept in {kept}." if kept else ""
                raise DataError(f"{error}{where}") from error
            replace(self._result, self.path)
        self._open = False
        remove(self._spool)

    def _finish(self) -> None:
        """Make the output from the store, under another name."""
        if self._ending in (".tif", ".tiff"):
            self._layout.write_tiff(self._result, self._slabs())
        elif self._ending in (".nii", ".nii.gz"):
            self._layout.write_nifti(self._result, self._slabs(), compress=self._ending != ".nii")
        elif self._ending in ITK_LABEL_ENDINGS:
            layout = self._layout
            whole = np.concatenate(list(self._slabs()))
            write_itk(self._result, whole, layout.spacing, layout.affine, self._ending)
        elif self._ending in EXPORTS:
            EXPORTS[self._ending].write(self._result, self._labelled)
        else:
            if not self._ending:
                empty = np.zeros(self._frame_shape, np.uint8)
                for frame in set(range(self._length)) - self._done:
                    self._write_png(frame, empty)
            self._result = self._spool

    def abort(self, keep: bool = False) -> Path | None:
        """Give up: remove what was begun, or keep the frames written so far.

        Returns
        -------
        Path or None
            Where they are kept: a zarr array, or a folder of PNGs.
        """
        if not self._open:
            return None
        self._open = False
        with suppress(OSError):
            self._result.unlink(missing_ok=True)
        if not keep or not (self._done or self._found):
            remove(self._spool)
            return None
        if self._lasting:
            return self._spool
        ending = ".partial.zarr" if self._ending else ".partial"
        kept = self.path.with_name(f"{self.path.name}{ending}")
        number = 2
        while kept.exists():
            kept = self.path.with_name(f"{self.path.name}.{number}{ending}")
            number += 1
        self._spool.rename(kept)
        return kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._open:
            self.close()
        else:
            self.abort()

    def _check_open(self) -> None:
        if not self._open:
            raise DataError(f"The labels {self.path} are closed: nothing more can be written.")

    @contextmanager
    def _writing(self, frame: int | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if frame is not None:
                self._done.discard(frame)
            # NumPy reports a short write without an error number.
            full = error.errno in _NO_ROOM or (error.errno is None and "written" in str(error))
            if not full:
                self.abort(keep=self._lasting)
                raise DataError(f"The labels {self.path} cannot be written: {error}.") from error
            needed, free = self._bytes_needed(), shutil.disk_usage(self.path.absolute().parent).free
            kept = self.abort(keep=True)
            existing = f" {self.path} is as it was before." if self.path.exists() else ""
            count = f"{len(self._done)} frame{'s' * (len(self._done) > 1)} done"
            where = f" What is finished ({count}) is kept in {kept}." if kept else ""
            raise DataError(
                f"There is no room for the labels {self.path}: they need about "
                f"{megabytes(needed)}, and {megabytes(free)} are free "
                f"({error.strerror or error}).{where}{existing} Make room, or choose another disk."
            ) from error

    def _bytes_needed(self) -> int:
        """Return the size to expect: of the frames written so far, or else uncompressed."""
        stored = sum(file.stat().st_size for file in self._spool.rglob("*") if file.is_file())
        if self._done and stored:
            return stored * self._length // len(self._done)
        return self._layout.nbytes

    def _write_png(self, frame: int, labels: NDArray[Any]) -> None:
        """Write a picture that is whole or not there, whenever the process is killed."""
        place = self._spool / f"{self._names[frame]}.png"
        new = place.with_name(f".{place.name}.new")
        try:
            write_palette_png(new, labels)
            new.replace(place)
        finally:
            new.unlink(missing_ok=True)

    def _slabs(self) -> Iterator[NDArray[Any]]:
        """Yield the stored array in order along its first axis, a bounded part at a time."""
        if len(self.shape) == 2:
            yield np.asarray(self._array[...])
            return
        slice_bytes = self.shape[1] * self.shape[2] * self.dtype.itemsize
        # Along another axis each slab touches every chunk, so slabs are thick.
        step = 1 if self._axis == 0 else max(1, _SLAB_BYTES // slice_bytes)
        for start in range(0, self.shape[0], step):
            yield np.asarray(self._array[start : start + step])
