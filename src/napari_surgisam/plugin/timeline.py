"""The review timeline as a plot: click to jump, drag to select, scroll to zoom."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtWidgets import QGraphicsRectItem, QVBoxLayout, QWidget

from napari_surgisam.data.curves import Curve
from napari_surgisam.data.doubtful_places import DoubtfulPlace
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.plugin.timeline_image import (
    DOUBT,
    LINES,
    RGB,
    WORST,
    Bins,
    Sheet,
    paint_timeline,
    palette,
)

LEAST_HEIGHT, MOST_HEIGHT = 14, 64  # of a row, in pixels
AXIS_HEIGHT = 34
NAME_WIDTH = 110
MARKED_PLACES = 50
"""Doubtful places that have a mark, the worst ones."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Frames of some objects that a person dragged over."""

    object_ids: tuple[ObjectId, ...]
    frames: range


class Timeline(QWidget):
    """Shows curves of objects in rows; asks for the frame that is clicked, the span dragged."""

    frame_clicked = Signal(int, int)  # object id, frame
    selected = Signal(object)  # Selection, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.selection: Selection | None = None
        self.redraw_seconds = 0.0
        """How long the last redraw took."""
        self._sheet = Sheet()
        self._length = 1
        self._lines: frozenset[str] = frozenset(LINES)
        self._places: tuple[DoubtfulPlace, ...] = ()
        self._box = _Rows(self)
        self.plot = pg.PlotWidget(viewBox=self._box, background=None)
        self.plot.hideButtons()
        self.plot.setMenuEnabled(False)
        self.plot.getAxis("left").setWidth(NAME_WIDTH)
        self.plot.getAxis("left").setStyle(tickLength=0)
        self._image = pg.ImageItem(axisOrder="row-major")
        self._clicks = pg.ScatterPlotItem(
            symbol="t", size=8, pen=pg.mkPen("k"), brush=pg.mkBrush("w"), pxMode=True
        )
        self._doubts = pg.ScatterPlotItem(pxMode=True)
        self._chosen = QGraphicsRectItem()
        self._chosen.setPen(pg.mkPen("w", width=1.5))
        self._chosen.setBrush(pg.mkBrush(255, 255, 255, 60))
        self._here = pg.InfiniteLine(0, angle=90, pen=pg.mkPen("#ff4d4d", width=1.5))
        items = (self._image, self._clicks, self._doubts, self._chosen, self._here)
        for depth, item in enumerate(items):
            item.setZValue(depth)
            self._box.addItem(item, ignoreBounds=True)
        self._chosen.hide()
        self._here.hide()
        self._box.sigXRangeChanged.connect(lambda *_: self._redraw())
        self._box.sigResized.connect(lambda *_: self._redraw())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    # -- what is shown

    @property
    def object_ids(self) -> tuple[ObjectId, ...]:
        """The objects, from the top."""
        return tuple(self._sheet.curves)

    @property
    def shown(self) -> tuple[float, float]:
        """First and last frame in view, about."""
        first, last = self._box.viewRange()[0]
        return float(first), float(last)

    def set_curves(
        self,
        curves: Mapping[ObjectId, Curve],
        names: Mapping[ObjectId, str],
        colours: Mapping[ObjectId, RGB],
        places: Sequence[DoubtfulPlace] = (),
    ) -> None:
        """Show the curves of objects, all of one source, and where they are doubtful.

        Parameters
        ----------
        curves : mapping of ObjectId to Curve
            In the order of their rows.
        names : mapping of ObjectId to str
        colours : mapping of ObjectId to tuple of int
        places : sequence of DoubtfulPlace
            The worst first.
        """
        length = max((len(c) for c in curves.values()), default=1)
        same = [*curves] == [*self.object_ids] and length == self._length
        self._sheet.set_curves(curves)
        self._image.setLookupTable(palette([colours[k] for k in curves]))
        self._places = tuple(places)
        rows = [(n + 0.5, names.get(k, f"object {k}")[:16]) for n, k in enumerate(curves)]
        self.plot.getAxis("left").setTicks([rows])
        if not same:
            self._length = length
            self._fit(len(curves))
            self.select(None)
        self._mark_frames()
        self._redraw()

    def show_lines(self, names: Collection[str]) -> None:
        """Choose which figures are drawn as lines; see `timeline_image.LINES`."""
        self._lines = frozenset(names)
        self._redraw()

    def show_frame(self, frame: int | None) -> None:
        """Mark the frame that is on screen."""
        self._here.setVisible(frame is not None)
        if frame is not None:
            self._here.setValue(frame)

    # -- what is asked

    def select(self, selection: Selection | None) -> None:
        """Take some frames of some objects as selected."""
        if selection == self.selection:
            return
        self.selection = selection
        self._mark(selection)
        self.selected.emit(selection)

    def click_at(self, x: float, y: float) -> None:
        """Ask for the frame at a place of the plot; it ends a selection."""
        found = self.between((x, y), (x, y))
        self.select(None)
        if found is not None:
            self.frame_clicked.emit(found.object_ids[0], found.frames[0])

    def drag_to(self, start: tuple[float, float], stop: tuple[float, float], *, end: bool) -> None:
        """Show what lies between two places of the plot, and select it at the end of a drag."""
        found = self.between(start, stop)
        if end:
            self.select(found)
        else:
            self._mark(found)

    def between(self, one: tuple[float, float], other: tuple[float, float]) -> Selection | None:
        """Return the frames and objects between two places of the plot, both included."""
        ids = self.object_ids
        if not ids:
            return None
        (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(one, other, strict=True))
        first, last = (int(np.clip(round(x), 0, self._length - 1)) for x in (x0, x1))
        top, bottom = (int(np.clip(np.floor(y), 0, len(ids) - 1)) for y in (y0, y1))
        return Selection(ids[top : bottom + 1], range(first, last + 1))

    # -- drawing

    def _fit(self, rows: int) -> None:
        count, right = max(rows, 1), self._length - 0.5
        self._box.setLimits(xMin=-0.5, xMax=right, minXRange=min(10, self._length))
        self._box.setRange(xRange=(-0.5, right), yRange=(0, count), padding=0, update=True)
        self.plot.setMinimumHeight(min(count, 4) * LEAST_HEIGHT + AXIS_HEIGHT)
        self.setMinimumHeight(count * LEAST_HEIGHT + AXIS_HEIGHT)
        self.setMaximumHeight(count * MOST_HEIGHT + AXIS_HEIGHT)

    def _redraw(self) -> None:
        began = perf_counter()
        ids, (first, last) = self.object_ids, self.shown
        columns, high = max(int(self._box.width()), 1), self._box.height()
        height = int(np.clip(high / max(len(ids), 1), LEAST_HEIGHT, MOST_HEIGHT))
        if ids:
            bins = Bins(first, last, columns, self._length)
            pixels = paint_timeline(self._sheet, bins, height, self._lines)
            self._image.setImage(pixels, autoLevels=False, levels=None)
            self._image.setRect(QRectF(first, 0, last - first, len(ids)))
        self._image.setVisible(bool(ids))
        self.redraw_seconds = perf_counter() - began

    def _mark_frames(self) -> None:
        """Mark clicks and doubtful places."""
        ids = self.object_ids
        clicks = [
            (f, n + 0.25) for n, c in enumerate(self._sheet.curves.values()) for f in c.prompted
        ]
        self._clicks.setData(pos=np.array(clicks, float).reshape(-1, 2))
        edge, doubt = pg.mkPen("k"), pg.mkBrush(DOUBT)
        worst: dict[str, Any] = {"symbol": "star", "size": 17, "brush": pg.mkBrush(WORST)}
        other: dict[str, Any] = {"symbol": "t1", "size": 7, "brush": doubt}
        marks = [
            {
                "pos": (place.frame, ids.index(place.object_id) + 0.75),
                "pen": edge,
                **(other if rank else worst),
            }
            for rank, place in enumerate(self._places[:MARKED_PLACES])
            if place.object_id in ids
        ]
        self._doubts.setData(marks[::-1])

    def _mark(self, selection: Selection | None) -> None:
        self._chosen.setVisible(selection is not None)
        if selection is not None:
            top = self.object_ids.index(selection.object_ids[0])
            frames, rows = selection.frames, len(selection.object_ids)
            self._chosen.setRect(QRectF(frames.start - 0.5, top, len(frames), rows))


class _Rows(pg.ViewBox):
    """The rows: the mouse jumps and selects, the wheel zooms along the frames."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(enableMenu=False)
        self._timeline = timeline
        self.invertY(True)
        self.setMouseEnabled(x=True, y=False)
        self.disableAutoRange()

    def mouseClickEvent(self, event: Any) -> None:
        """Jump to the frame that is clicked."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            place = self.mapSceneToView(event.scenePos())
            self._timeline.click_at(place.x(), place.y())

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Select what is dragged over; with another button, move the view."""
        if event.button() != Qt.MouseButton.LeftButton:
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        start, stop = (
            self.mapSceneToView(at) for at in (event.buttonDownScenePos(), event.scenePos())
        )
        self._timeline.drag_to((start.x(), start.y()), (stop.x(), stop.y()), end=event.isFinish())
