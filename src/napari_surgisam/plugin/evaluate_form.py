"""What the dock widget *Evaluate* looks like; it knows nothing of layers and models."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_surgisam.plugin.frame_plot import FramePlot
from napari_surgisam.plugin.message_line import MessageLine
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.plugin.progress_row import ProgressRow
from napari_surgisam.plugin.protocol_form import ProtocolForm
from napari_surgisam.plugin.score_table import ScoreTable

COMPARE = "Measure the labels by the reference"
RUN = "Prompt the model as the protocol says, and measure what it makes"
SAVE = "Write the table, and the figures of every frame"


class EvaluateForm(QWidget):
    """The small widgets of *Evaluate*, laid out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reference_box, self.labels_box, self.image_box = QComboBox(), QComboBox(), QComboBox()
        for box in (self.reference_box, self.labels_box, self.image_box):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(12)
        self.reference_box.setToolTip("The labels that are right")
        self.labels_box.setToolTip("The labels that are measured")
        self.image_box.setToolTip("The image that a model segments, to be measured")
        self.compare_button = QPushButton("Compare")
        self.run_button = QPushButton("Run")
        self.save_button = QPushButton("Save as CSV…")
        self.models, self.protocol = ModelChooser(), ProtocolForm()
        self.table, self.plot = ScoreTable(), FramePlot()
        self.progress, self.line = ProgressRow(), MessageLine()

        compare = QFormLayout()
        compare.addRow("Reference", self.reference_box)
        compare.addRow("Labels", self.labels_box)
        compare.addRow(self.compare_button)
        group = QGroupBox("Try a model on an image")
        attempt = QFormLayout(group)
        attempt.addRow("Image", self.image_box)
        attempt.addRow("Model", self.models)
        attempt.addRow(self.protocol)
        attempt.addRow(self.run_button)
        save = QHBoxLayout()
        save.addStretch()
        save.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.addLayout(compare)
        layout.addWidget(group)
        layout.addWidget(self.progress)
        layout.addWidget(self.line)
        layout.addWidget(self.table)
        layout.addWidget(self.plot)
        layout.addLayout(save)
        layout.addStretch()
