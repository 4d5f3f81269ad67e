"""Loss and validation DSC of a training, as they come."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget


class FinetunePlot(QWidget):
    """Plots the loss step by step, and DSC at every validation."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._lines = {}
        for name, colour in (("loss", "#0072b2"), ("DSC", "#d55e00")):
            plot = pg.PlotWidget(background=None)
            plot.setMinimumHeight(110)
            # its own hint would make the dock as wide as the canvas
            plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.setLabel("left", name)
            plot.showGrid(y=True, alpha=0.25)
            symbol = "o" if name == "DSC" else None
            self._lines[name] = plot.plot([], [], pen=pg.mkPen(colour, width=1.5), symbol=symbol)
            layout.addWidget(plot)
        self.losses: list[tuple[int, float]] = []
        self.scores: list[tuple[int, float]] = []

    def clear(self) -> None:
        """Forget what is drawn."""
        self.losses, self.scores = [], []
        self._draw()

    def add(self, step: int, loss: float | None, score: float | None) -> None:
        """Add what a step gave."""
        if loss is not None:
            self.losses.append((step, loss))
        if score is not None:
            self.scores.append((step, score))
        self._draw()

    def _draw(self) -> None:
        for name, points in (("loss", self.losses), ("DSC", self.scores)):
            self._lines[name].setData([p[0] for p in points], [p[1] for p in points])
