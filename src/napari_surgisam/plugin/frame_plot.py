"""A figure frame by frame, a line per object; a click goes to the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_surgisam.evaluation.rows import FrameRow

FIGURES = ("dsc", "iou", "nsd", "f")
_FAINT, _STRONG = 90, 255
_HEIGHT = 190


class FramePlot(QWidget):
    """Plots `FrameRow` values; asks for the frame that is clicked."""

    frame_clicked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[FrameRow, ...] = ()
        self._colours: dict[int, tuple[int, int, int]] = {}
        self._selected: int | None = None
        self._figure = QComboBox()
        self._figure.setToolTip("Which figure is plotted along the frames")
        self._plot = pg.PlotWidget(background=None)
        self._plot.setMinimumHeight(_HEIGHT)
        self._plot.setToolTip("A line an object. Click to go to that frame; the wheel zooms.")
        # its own hint would make the dock as wide as the canvas
        self._plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
        self._plot.setMouseEnabled(x=True, y=False)
        self._plot.setYRange(0, 1, padding=0.04)
        self._plot.showGrid(y=True, alpha=0.25)
        self._plot.hideButtons()
        self._plot.setMenuEnabled(False)
        self._plot.setToolTip("Click to go to a frame; the wheel zooms along the frames.")
        self._here = pg.InfiniteLine(0, angle=90, pen=pg.mkPen("#d55e00", width=1.5))
        self._here.setVisible(False)
        row = QHBoxLayout()
        row.addWidget(QLabel("By frame"))
        row.addWidget(self._figure)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self._plot)
        self._figure.currentIndexChanged.connect(lambda _: self._draw())
        self._plot.scene().sigMouseClicked.connect(self._on_click)

    @property
    def lines(self) -> dict[str, tuple[list[float], list[float]]]:
        """What is drawn: frames and values by the name of the line."""
        return {
            item.name(): tuple(map(np.ndarray.tolist, item.getData()))
            for item in self._plot.listDataItems()
        }

    def set_rows(
        self, rows: Sequence[FrameRow], colours: Mapping[int, tuple[int, int, int]]
    ) -> None:
        """Show the figures of some frames, each object in its colour."""
        from qtpy.QtCore import QSignalBlocker

        from napari_surgisam.evaluation.figures import TITLES

        self._rows, self._colours = tuple(rows), dict(colours)
        chosen = self._figure.currentData()
        with QSignalBlocker(self._figure):
            self._figure.clear()
            for name in FIGURES:
                if any(name in row.figures for row in rows):
                    self._figure.addItem(TITLES[name], name)
            self._figure.setCurrentIndex(max(self._figure.findData(chosen), 0))
        self._draw()

    def select(self, object_id: int) -> None:
        """Bring the line of an object out."""
        self._selected = object_id
        self._draw()

    def show_frame(self, frame: int | None) -> None:
        """Mark the frame that is on screen."""
        self._here.setVisible(frame is not None)
        if frame is not None:
            self._here.setValue(frame)

    def click_at(self, x: float) -> None:
        """Ask for the labelled frame that is nearest to a place along the plot."""
        frames = sorted({row.frame for row in self._rows})
        if frames:
            self.frame_clicked.emit(min(frames, key=lambda frame: (abs(frame - x), frame)))

    def _draw(self) -> None:
        self._plot.clear()
        self._plot.addItem(self._here, ignoreBounds=True)
        name = self._figure.currentData()
        by_object: dict[int, list[FrameRow]] = {}
        for row in self._rows:
            by_object.setdefault(row.object_id, []).append(row)
        for object_id, rows in by_object.items():
            strong = self._selected in (None, object_id) or self._selected not in by_object
            colour = (*self._colours.get(object_id, (120, 120, 120)), _STRONG if strong else _FAINT)
            self._plot.plot(
                [row.frame for row in rows],
                [row.figures.get(name, np.nan) for row in rows],
                pen=pg.mkPen(colour, width=2 if strong else 1),
                symbol="o" if len(rows) == 1 else None,
                connect="finite",
                name=f"object {object_id}",
            )
        self._plot.autoRange()
        self._plot.setYRange(0, 1, padding=0.04)

    def _on_click(self, event: Any) -> None:
        if self._plot.plotItem.vb.sceneBoundingRect().contains(event.scenePos()):
            self.click_at(self._plot.plotItem.vb.mapSceneToView(event.scenePos()).x())
