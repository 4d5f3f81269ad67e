"""Saves the work on one image, by itself and on request."""

from __future__ import annotations

import logging
import zlib
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from threading import RLock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.saved_sessions import model_record
from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.formats.autosave import Autosaver
from napari_surgisam.formats.open_sessions import OpenSessions
from napari_surgisam.formats.session_folder import SessionFolder
from napari_surgisam.formats.session_sources import describe_source
from napari_surgisam.formats.session_state import (
    SessionState,
    SourceRecord,
    object_records,
)
from napari_surgisam.plugin.session_opening import layer_path
from napari_surgisam.plugin.session_restoring import BY_CLASS, COLOURS
from napari_surgisam.plugin.waiting import wait_for

if TYPE_CHECKING:
    from napari_surgisam.data.annotation import Annotation
    from napari_surgisam.plugin.session_opening import OpenedSession
    from napari_surgisam.plugin.workbench import Workbench

LOG = logging.getLogger(__name__)

_record_of = lru_cache(maxsize=4)(model_record)  # it reads the weights' file


class SessionKeeper(QObject):
    """Keeps what is done on one image in a session's folder.

    Until it has a name, that lies among the sessions of `notes`, and goes when the work ends
    properly. Snapshots are taken in the saver's thread: the session's values never change, and
    names and numbers are copied.

    Parameters
    ----------
    bench : Workbench
    notes : OpenSessions
    opened : OpenedSession, optional
        What the work started from: it is saved there.
    """

    saved = Signal()
    failed = Signal(object)  # SurgisamError

    def __init__(
        self,
        bench: Workbench,
        notes: OpenSessions,
        plan: Plan,
        opened: OpenedSession | None = None,
    ) -> None:
        super().__init__(bench)
        self._bench, self._notes, self._opened = bench, notes, opened
        self._view, self._plan = _view_of(bench), plan
        self._folder: SessionFolder | None = None
        self._saver: Autosaver | None = None
        self._left = [] if opened is None else [opened.folder]  # masks are read from them
        self._sources: dict[int, tuple[FrameSource, SourceRecord]] = {}
        self._painted: dict[int, tuple[int, bytes]] = {}
        self._mutex = RLock()
        self._worked = False
        self._start = self._told()
        live = bench.live
        live.progressed.connect(self._on_progress)
        for signal in (live.edited, live.painted, bench.rows_changed, bench.painted.stroked):
            signal.connect(self.changed)

    @property
    def path(self) -> Path | None:
        """Where the session is saved under a name; None where it has none."""
        opened = self._opened if self._opened is not None and self._may_go_on() else None
        folder = self._folder or (None if opened is None else opened.folder)
        return None if folder is None or self._is_unnamed(folder) else folder.path

    @property
    def name(self) -> str:
        """The session's name, empty where it has none."""
        return "" if self.path is None else self.path.stem

    def changed(self, *_: object) -> None:
        """Save soon, where there is anything; what was only opened stays as it is."""
        if self._saver is None:
            self._begin_saving()
        if self._saver is not None:
            self._saver.changed()

    def set_plan(self, plan: Plan) -> None:
        """Take up what the person chose for the next propagation."""
        if plan != self._plan:
            self._plan = plan
            self.changed()

    def save(self) -> None:
        """Save now, where it is saved already.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        if self._folder is None and self.path is not None and self._opened is not None:
            self._begin(self._opened.folder)
        if self._folder is not None:
            wait_for(partial(self._save_to, self._folder))
            self.saved.emit()

    def save_as(self, path: Path) -> None:
        """Save under a name, and from now on there.

        Raises
        ------
        DataError
            If there is something else, or it cannot be written.
        """
        if path.absolute().parent == self._notes.folder.absolute():
            raise DataError(f"{path.parent} is for sessions without a name: choose another folder.")
        held = self._held(path)
        folder = held or SessionFolder(path, new=True)
        try:
            wait_for(partial(self._save_to, folder))
        except BaseException:
            if held is None:
                folder.close()
            raise
        if folder is not self._folder:
            self._leave()
            self._begin(folder)
        self.saved.emit()

    def close(self) -> None:
        """Save what is left under its name, or forget what has none."""
        saver, self._saver = self._saver, None
        folder, self._folder = self._folder, None
        if saver is not None and folder is not None:
            try:
                saver.close(save=not self._is_unnamed(folder))
            except SurgisamError as error:
                LOG.error("%s", error)
        for done in (folder, *self._left):
            if done is not None:
                self._notes.forget(done.path)
                (done.remove if self._is_unnamed(done) else done.close)()
        self._left.clear()

    def snapshot(self) -> SessionState | None:
        """Return the state of this moment, or None before the model is loaded; any thread may."""
        with self._mutex:
            live, objects = self._bench.live, self._bench.objects
            session, engine = live.session, live.engine
            if session is None:
                return None
            touched = dict(live.writer.ledger.painted)
            model = _record_of(engine, session.tracker.max_conditioning)
            return SessionState(
                self._source(session.frames),
                model,
                self._with_paint(session.annotation, touched),
                MappingProxyType(object_records(session.annotation.catalogue, objects.names)),
                order=self._plan.order,
                span=(self._plan.span.start, self._plan.span.stop),
                touched=MappingProxyType(touched),
                view={**self._view, COLOURS: BY_CLASS if objects.by_class else "object"},
            )

    def _held(self, path: Path) -> SessionFolder | None:
        """Return the folder at a path where it is ours: a name that was used before, for one."""
        for folder in (self._folder, *self._left):
            if folder is not None and path.exists() and folder.path.samefile(path):
                return folder
        return None

    def _leave(self) -> None:
        """Save no more where it was saved; the folder is held for the masks that are there."""
        if self._saver is not None:
            self._saver.close(save=False)
        if self._folder is not None:
            self._notes.forget(self._folder.path)
            self._left.append(self._folder)

    def _save_to(self, folder: SessionFolder) -> None:
        state = self.snapshot()
        if state is not None:
            folder.save(state)

    def _begin_saving(self) -> None:
        """Begin to save, once there is something to lose."""
        session, opened = self._bench.live.session, self._opened
        if session is None or self._folder is not None:
            return
        if opened is not None:
            if not self._worked and self._told() == self._start:
                return
            if self._may_go_on():
                self._begin(opened.folder)
                return
        elif not session.object_ids and not self._bench.live.writer.ledger.painted:
            return
        path = self._notes.new_path(self._bench.image.name)
        try:
            self._notes.note(path)
            self._begin(SessionFolder(path, new=True))
        except (OSError, SurgisamError) as error:
            LOG.warning("The work is not saved by itself: %s", error)

    def _may_go_on(self) -> bool:
        """Whether the opened session is saved to, and not kept as it is for who can use it."""
        opened, live = self._opened, self._bench.live
        if opened is None or not opened.whole or not opened.folder.writable:
            return False
        return not live.sha256 or live.sha256 == (opened.state.model.sha256 or live.sha256)

    def _told(self) -> tuple[Any, ...]:
        """Return what a person has said, to compare."""
        live, opened = self._bench.live, self._opened
        session = live.session
        book = None if opened is None else opened.state.annotation.book
        catalogue = None if opened is None else opened.state.annotation.catalogue
        return (
            book if session is None else session.book,
            dict(self._bench.objects.names),
            self._bench.objects.by_class,
            catalogue if session is None else session.annotation.catalogue,
            dict(live.writer.ledger.painted),
            self._plan,
        )

    def _on_progress(self, _: object) -> None:
        self._worked = True

    def _begin(self, folder: SessionFolder) -> None:
        self._folder = folder
        if folder in self._left:
            self._left.remove(folder)
        try:
            self._notes.note(folder.path)
        except OSError as error:
            LOG.warning("A crash would leave no trace of %s: %s", folder.path, error)
        self._saver = Autosaver(
            folder, self.snapshot, on_saved=self.saved.emit, on_failed=self.failed.emit
        )

    def _is_unnamed(self, folder: SessionFolder) -> bool:
        return folder.path.parent == self._notes.folder.absolute()

    def _source(self, frames: FrameSource) -> SourceRecord:
        held, record = self._sources.get(id(frames), (None, None))
        if held is not frames or record is None:
            bench, grid = self._bench, self._bench.grid
            path = layer_path(bench.image)
            channel = None if grid.channel_axis is None else grid.fixed[grid.channel_axis]
            at = {
                axis - (grid.channel_axis is not None and axis > grid.channel_axis): index
                for axis, index in grid.fixed.items()
                if axis != grid.channel_axis
            }
            known = None if self._opened is None else self._opened.state.source
            if known is not None and known.fingerprint == frames.fingerprint:
                record = replace(known, path=path)
            else:
                record = describe_source(frames, path or None, channel=channel, at=at)
            self._sources = {id(frames): (frames, record)}
        return record

    def _with_paint(self, annotation: Annotation, touched: dict[int, Any]) -> Annotation:
        """Add what a person painted into the layer, packed once for each change."""
        packed = {}
        for frame in touched:
            labels = np.ascontiguousarray(self._bench.live.writer.read(frame), np.uint16)
            checksum = zlib.crc32(labels.data)
            before, data = self._painted.get(frame, (None, b""))
            if before != checksum:
                data = zlib.compress(labels.tobytes())
            packed[frame] = (checksum, data)
        self._painted = packed
        painted = {**annotation.painted, **{frame: data for frame, (_, data) in packed.items()}}
        return replace(annotation, painted=MappingProxyType(painted))


def _view_of(bench: Workbench) -> dict[str, Any]:
    """Return how the image lies in the viewer, as JSON can hold it."""
    image, settings = bench.image, bench.settings
    return {
        "name": image.name,
        "scale": [float(v) for v in image.scale],
        "translate": [float(v) for v in image.translate],
        "axis_labels": [str(label) for label in image.axis_labels],
        "units": [str(unit) for unit in image.units],
        "axis": settings.axis,
        "level": settings.level,
    }
