"""What the dock widget *Segment* looks like; it knows nothing of images and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_surgisam.plugin.advanced_panel import AdvancedPanel
from napari_surgisam.plugin.class_labelling import ClassesButton
from napari_surgisam.plugin.guide_panel import GuidePanel
from napari_surgisam.plugin.keys import help_text
from napari_surgisam.plugin.message_line import MessageLine
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.plugin.object_table import ObjectRow, ObjectTable
from napari_surgisam.plugin.plan_widget import PlanWidget
from napari_surgisam.plugin.progress_row import ProgressRow
from napari_surgisam.plugin.prompt_row import PromptRow
from napari_surgisam.plugin.session_row import SessionRow

PROPAGATE = "Carry the clicks through the frames (P)"
DOTS = {
    "ready": ("#4caf50", "Ready: a click on this frame is answered at once."),
    "embedding": ("#f2b84b", "Getting this frame ready …"),
    "waiting": ("#808080", "This frame is not ready yet; a click takes a little longer."),
}


class SegmentForm(QWidget):
    """The small widgets of *Segment*, laid out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image_box, self.masks_box = QComboBox(), QComboBox()
        for box in (self.image_box, self.masks_box):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(12)
        self.image_box.setToolTip("The image whose objects are segmented")
        self.masks_box.setToolTip("The Labels layer that the masks go to")
        self.open_button = QToolButton()
        self.open_button.setText("⋯")
        self.open_button.setToolTip("Open a video, a scan or a picture")
        self.axis_label = QLabel()
        self.models = ModelChooser()
        self.session_row = SessionRow()
        self.table = ObjectTable()
        self.prompt_row = PromptRow()
        self.plan = PlanWidget()
        self.propagate_button = QPushButton("Propagate")
        self.selected_button = QPushButton("only this object")
        self.review_button = QPushButton("Review")
        self.review_button.setToolTip("See along all frames where masks are doubtful, and accept")
        self.classes_button = ClassesButton()
        self.progress = ProgressRow()
        self.line = MessageLine()
        self.advanced = AdvancedPanel()
        self.dot = QLabel("●")
        self.help_button = QToolButton()
        self.help_button.setText("?")
        self.help_button.setToolTip(help_text())
        self.help_button.setCheckable(True)
        self.guide_panel = GuidePanel()

        form = QFormLayout()
        image = QHBoxLayout()
        image.addWidget(self.image_box, stretch=1)
        image.addWidget(self.open_button)
        form.addRow("Image", image)
        form.addRow("", self.axis_label)
        form.addRow("Model", self.models)
        form.addRow("Masks", self.masks_box)
        form.addRow("Session", self.session_row)
        buttons = QHBoxLayout()
        buttons.addWidget(self.dot)
        buttons.addWidget(self.propagate_button, stretch=2)
        buttons.addWidget(self.selected_button, stretch=1)
        buttons.addWidget(self.review_button)
        buttons.addWidget(self.help_button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.table)
        layout.addWidget(self.prompt_row)
        layout.addWidget(self.plan)
        layout.addLayout(buttons)
        layout.addWidget(self.classes_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.line)
        layout.addWidget(self.guide_panel)
        layout.addWidget(self.advanced)
        layout.addStretch()
        self.show_ready("waiting")

    def show_ready(self, state: str) -> None:
        """Colour the dot: "waiting", "embedding" or "ready"."""
        colour, tip = DOTS[state]
        self.dot.setStyleSheet(f"color: {colour};")
        self.dot.setToolTip(tip)

    def show_objects(
        self,
        rows: Sequence[ObjectRow],
        selected: int | None,
        why_not: str,
        what: tuple[str, str] = ("Propagate", ""),
    ) -> None:
        """Show the objects, and whether they can be propagated.

        Parameters
        ----------
        rows : sequence of ObjectRow
        selected : int or None
        why_not : str
            Why they cannot; empty where they can.
        what : tuple of str
            What a propagation would do, in the words of a button and of its tooltip.
        """
        self.table.set_rows(rows, selected)
        self.table.setEnabled(bool(rows))
        self.propagate_button.setEnabled(not why_not)
        text, tip = what
        self.propagate_button.setText(text)
        self.propagate_button.setToolTip(why_not or tip or PROPAGATE)
        row = next((r for r in rows if r.object_id == selected), None)
        self.selected_button.setText(f"only {row.name}" if row else "only this object")
        able = bool(row and row.prompts)
        self.selected_button.setEnabled(not why_not and able)
        none = "" if able else "Click on this object first."
        self.selected_button.setToolTip(why_not or none or "Leave the other objects as they are")


def offer(box: QComboBox, items: Sequence[tuple[str, Any]], current: object) -> None:
    """Fill a box with names and what they stand for, silently; the first, where one is missing."""
    with QSignalBlocker(box):
        box.clear()
        for name, data in items:
            box.addItem(name, data)
        known = [data is current for _, data in items]
        box.setCurrentIndex(known.index(True) if any(known) else min(len(items), 1) - 1)
