"""What the dock widget *Review* looks like; it knows nothing of images and sessions."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_surgisam.plugin.timeline import Timeline
from napari_surgisam.plugin.timeline_image import (
    ACCEPTED,
    DOUBT,
    LINE_COLOURS,
    LINES,
    RGB,
    STALE,
    WORST,
)

HINT = (
    "Click jumps to a frame; drag selects frames; the wheel zooms. Height is confidence; "
    "hatched is older than a click; triangles are clicks; the star is where a click mends most."
)

LINE_TIPS = {
    "predicted IoU": "How well the model thinks that its mask fits, from 0 to 1",
    "presence": "Whether the model thinks that the object is on the frame",
    "change of area": "High where the mask is as large as on the frames beside it",
}

MARKS: tuple[tuple[str, RGB], ...] = (
    ("■ doubtful", DOUBT),
    ("★ correct first", WORST),
    ("■ accepted", ACCEPTED),
    ("▼ clicks", (255, 255, 255)),
    ("▨ older than a click", STALE),
)


class ReviewForm(QWidget):
    """The small widgets of *Review*, laid out."""

    lines_changed = Signal(object)  # names of the lines

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.timeline = Timeline()
        self.summary = QElidingLabel()
        self.next_button = QPushButton("Next doubtful")
        self.next_button.setToolTip("Go to the worst place that you have not seen yet (N)")
        self.open_button = QPushButton("Open Segment")
        self.open_button.setToolTip("Open the widget that makes the masks")
        self.open_button.hide()
        self.accept_button = QPushButton("Accept")
        self.accept_button.setToolTip("These masks are right: no propagation changes them")
        self.reopen_button = QPushButton("Reopen")
        self.reopen_button.setToolTip("Let propagations change accepted masks again")
        self.clear_button = QPushButton("Clear")
        self.clear_button.setToolTip("Remove these masks, but for clicked and accepted frames")
        self.again_button = QPushButton("Propagate again")
        self.again_button.setToolTip("Make these masks anew, but for clicked and accepted frames")
        self.span_label = QLabel()
        top = QHBoxLayout()
        top.addWidget(self.next_button)
        top.addWidget(self.summary, stretch=1)
        top.addWidget(self.open_button)
        self._span_buttons = (
            self.accept_button,
            self.reopen_button,
            self.clear_button,
            self.again_button,
        )
        top.addWidget(self.span_label)
        for button in self._span_buttons:
            top.addWidget(button)
        bottom = QHBoxLayout()
        self._boxes: dict[str, QCheckBox] = {}
        for name in LINES:
            box = QCheckBox(name)
            box.setChecked(True)
            box.setToolTip(LINE_TIPS[name])
            box.setStyleSheet(f"color: {_css(LINE_COLOURS[name])};")
            box.toggled.connect(lambda _: self.lines_changed.emit(self.lines()))
            self._boxes[name] = box
            bottom.addWidget(box)
        for text, colour in MARKS:
            label = QLabel(text)
            label.setStyleSheet(f"color: {_css(colour)};")
            bottom.addWidget(label)
        bottom.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.timeline)
        scroll.setMinimumHeight(90)
        self.timeline.setToolTip(HINT)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(scroll, stretch=1)
        layout.addLayout(bottom)
        self.show_span("", accepted=False)

    def sizeHint(self) -> QSize:
        """Ask for little width: before it goes below, the dock lies beside the canvas."""
        return QSize(300, 250)

    def minimumSizeHint(self) -> QSize:
        """Ask for little, so that the dock never makes the window larger."""
        return QSize(300, 150)

    def lines(self) -> frozenset[str]:
        """Return the names of the lines that are to be drawn."""
        return frozenset(name for name, box in self._boxes.items() if box.isChecked())

    def show_span(self, text: str, *, accepted: bool) -> None:
        """Show what is selected and what can be done with it; nothing where the text is empty."""
        self.span_label.setText(text)
        self.span_label.setVisible(bool(text))
        for button in self._span_buttons:
            button.setVisible(bool(text))
        self.reopen_button.setVisible(bool(text) and accepted)


def _css(colour: RGB) -> str:
    return f"rgb{colour}"
