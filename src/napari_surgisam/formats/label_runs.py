"""Labels that come frame by frame from a long run, which can be killed and gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from napari_surgisam.data.classes import ObjectClass
from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.mask_records import StepMasks
from napari_surgisam.errors import DataError
from napari_surgisam.formats.journal import Journal
from napari_surgisam.formats.label_files import label_ending, remove
from napari_surgisam.formats.label_writer import LabelWriter
from napari_surgisam.formats.labels import create_labels


def begin_run(
    path: Path,
    frames: FrameSource,
    max_id: int,
    settings: Mapping[str, str],
    *,
    overwrite: bool = False,
    resume: bool = False,
    names: Mapping[int, str] | None = None,
    classes: Mapping[int, ObjectClass] | None = None,
) -> LabelRun | None:
    """Start labels, or go on with those of a run that was interrupted or killed.

    Until the labels are complete, frames, masks and memories lie beside them, in
    ``NAME.partial.zarr`` (``NAME.partial`` for a folder of PNGs), ``NAME.partial.masks`` and
    ``NAME.partial.memories``.

    Parameters
    ----------
    path : Path
    frames : FrameSource
    max_id : int
    settings : mapping of str to str
        What the masks depend on, by what a person calls it.
    overwrite : bool
        Whether what exists may be replaced, an unfinished run included.
    resume : bool
        Whether to go on with an unfinished run; where there is none, one is begun.
    names : mapping of int to str, optional
        What objects are called.
    classes : mapping of int to ObjectClass, optional
        Those of objects, for exports that say them.

    Returns
    -------
    LabelRun or None
        None where a run that was to be resumed is complete already.

    Raises
    ------
    DataError
        If the labels exist or cannot be written, another process is writing them, or the
        unfinished run was begun with other settings.
    """
    ending = label_ending(path)
    spool = path.with_name(f"{path.name}.partial{'.zarr' if ending else ''}")
    masks = path.with_name(f"{path.name}.partial.masks")
    memories = path.with_name(f"{path.name}.partial.memories")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path} cannot be written: its folder does not exist. Create it first.")
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(f"{path} is being written by another process: wait for it.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}.") from error
    try:
        unfinished = spool.exists() and masks.exists()
        if resume and not unfinished and path.exists() and not overwrite:
            remove(memories)  # killed after the labels were in their place
            masks.unlink(missing_ok=True)
            _release(lock)
            return None
        if not unfinished or not resume:
            if not overwrite and _holds_frames(spool):
                raise DataError(
                    f"An unfinished run is kept in {spool}: go on with it (--resume), or start "
                    "over (--overwrite)."
                    if unfinished
                    else f"Labels of another run are kept in {spool}: rename it, or replace it "
                    "(--overwrite)."
                )
            remove(spool)
            remove(memories)
            masks.unlink(missing_ok=True)
        journal = Journal(masks, settings) if spool.exists() else None  # refuses before it writes
        replaced = overwrite or journal is not None
        writer = create_labels(
            path, frames, max_id, replaced, spool=spool, names=names, classes=classes
        )
        if journal is None:
            journal = _new_journal(masks, settings, writer)
        return LabelRun(writer, journal, lock, spool)
    except BaseException:
        _release(lock)
        raise


class LabelRun:
    """Labels and masks of a run, on disk after every frame; see `begin_run`."""

    def __init__(
        self, writer: LabelWriter, journal: Journal, lock: BaseFileLock, spool: Path
    ) -> None:
        self._writer, self._journal, self._lock, self._spool = writer, journal, lock, spool

    @property
    def memories(self) -> Path:
        """Folder for what the latest frames left; it is removed with the rest."""
        return self.path.with_name(f"{self.path.name}.partial.memories")

    @property
    def path(self) -> Path:
        """Where the labels will be."""
        return self._writer.path

    def records(self) -> Iterator[StepMasks]:
        """Yield what the run had done when it was interrupted, in order; once, at first."""
        for record in self._journal.records():
            self._writer.mark_done([record.frame])
            yield record

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Store the labels of a frame."""
        self._writer.write(frame, labels)

    def read(self, frame: int) -> NDArray[Any]:
        """Return the labels of a frame as they were written."""
        return self._writer.read(frame)

    def record(self, record: StepMasks) -> None:
        """Note a step as done, after its labels were written.

        Raises
        ------
        DataError
            If the disk is full: what was noted before is kept.
        """
        try:
            self._journal.append(record)
        except OSError as error:
            kept = self.abort(keep=True)
            raise DataError(
                f"The masks of frame {record.frame} cannot be written beside {self.path}: "
                f"{error}. What is finished is kept in {kept}. Make room, and go on with --resume."
            ) from error

    def close(self) -> None:
        """Finish the labels and move them into place.

        Raises
        ------
        DataError
            If the disk is full: all is kept.
        """
        self._writer.close()
        self._clear()

    def abort(self, keep: bool = False) -> Path | None:
        """End before all is done; return where the frames that are done are kept, if any."""
        kept = self._writer.abort(keep)
        if kept is None and not self._spool.exists():
            self._clear()
        else:
            self._journal.close()
            _release(self._lock)
        return kept

    def _clear(self) -> None:
        remove(self.memories)
        self._journal.remove()
        _release(self._lock)


def _new_journal(masks: Path, settings: Mapping[str, str], writer: LabelWriter) -> Journal:
    try:
        return Journal(masks, settings)
    except OSError as error:
        writer.abort()
        raise DataError(f"{masks} cannot be written: {error}.") from error


def _holds_frames(spool: Path) -> bool:
    return (spool / "c").exists() or any(spool.glob("*.png"))


def _release(lock: BaseFileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
