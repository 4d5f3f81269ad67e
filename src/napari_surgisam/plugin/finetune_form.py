"""What the dock widget *Fine-tune* looks like; it knows nothing of layers and processes."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_surgisam.plugin.finetune_plot import FinetunePlot
from napari_surgisam.plugin.message_line import MessageLine
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.plugin.progress_row import ProgressRow

RECIPES = (
    ("decoder-only", "Frames are embedded once, the mask decoder is trained: for a laptop"),
    ("biosam2", "Image encoder with layer decay and mask decoder, after BioSAM-2"),
    ("surgisam2", "Encoder and decoder on single frames, after SurgiSAM2"),
    ("surgsam2", "Encoder, decoder and memory on clips of 8 frames, after SurgSAM-2"),
    ("tsms", "The same, a tenth of the clips at twice the speed, after TSMS-SAM2"),
    ("sam2s", "Frames from near and far, softened labels, after SAM2S"),
    ("lora", "Low-rank changes of the encoder's and the decoder's attention"),
    ("dd-sam2", "Depthwise-dilated changes of convolutions, after DD-SAM2"),
    ("classes", "A prompt for each class: the model then labels every frame without a click"),
)
"""Names and tips; reading them from the recipes would import PyTorch to show a form."""

CHECK = "Say what will be trained, how long it takes, and how much memory"
BEGIN = "Train, in a process of its own: the window stays free"

SAMPLES = ("all", "50", "100", "200", "400")


class BeforeAfter(QWidget):
    """A validation case as the base segments it, and as the tuned model does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._labels = []
        for title in ("Before", "After"):
            picture = QLabel()
            # its own hint would make the dock as wide as the picture
            picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            layout.addWidget(QLabel(title))
            layout.addWidget(picture)
            self._labels.append(picture)
        self.hide()

    def show_files(self, before: Path, after: Path) -> None:
        """Show two pictures; nothing where one is missing."""
        pictures = [QPixmap(str(path)) for path in (before, after)]
        shown = not any(picture.isNull() for picture in pictures)
        for label, picture in zip(self._labels, pictures, strict=True):
            fitting = Qt.TransformationMode.SmoothTransformation
            width = max(200, self.width())
            label.setPixmap(picture.scaledToWidth(width, fitting) if shown else QPixmap())
        self.setVisible(shown)


class FinetuneForm(QWidget):
    """The small widgets of *Fine-tune*, laid out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image_box, self.labels_box = QComboBox(), QComboBox()
        for box in (self.image_box, self.labels_box):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(12)
        self.image_box.setToolTip("An image that was labelled")
        self.labels_box.setToolTip("Its labels, on the image's own grid")
        self.add_button = QPushButton("Add pair")
        self.folder_button = QPushButton("Add folder…")
        self.remove_button = QPushButton("Remove")
        self.add_button.setToolTip("Learn from the chosen image and labels")
        self.folder_button.setToolTip("Learn from a folder of images with labels")
        self.remove_button.setToolTip("Take the selected line out of the list")
        self.data_list = QListWidget()
        self.data_list.setToolTip("What the model learns from")
        self.data_list.setMaximumHeight(90)
        self.models = ModelChooser()
        self.recipe_box, self.samples_box = QComboBox(), QComboBox()
        for name, tip in RECIPES:
            self.recipe_box.addItem(name)
            self.recipe_box.setItemData(
                self.recipe_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole
            )
        self.recipe_box.setToolTip("What of the model is trained, and on what; each has a tip")
        self.samples_box.addItems(SAMPLES)
        self.samples_box.setToolTip("Labelled objects of each class that are learned from")
        self.epochs_box, self.fraction_box = QSpinBox(), QDoubleSpinBox()
        self.epochs_box.setRange(1, 1000)
        self.epochs_box.setValue(20)
        self.epochs_box.setToolTip("How many times it learns from all samples")
        self.fraction_box.setRange(0, 0.9)
        self.fraction_box.setSingleStep(0.05)
        self.fraction_box.setValue(0.2)
        self.fraction_box.setToolTip(
            "Share of the images that examine the model. With 0, it is trained for all epochs "
            "and never examined: the only way with a single image."
        )
        self.merge_box = QCheckBox("All labels are one object")
        self.merge_box.setToolTip("Take every label above 0 for the same object")
        self.name_edit = QLineEdit("my-model")
        self.name_edit.setToolTip("What the tuned model is called in Segment")
        self.check_button, self.start_button = QPushButton("Check"), QPushButton("Start")
        self.plan_label = QLabel()
        self.plan_label.setWordWrap(True)
        self.plan_label.hide()
        self.plot, self.pictures = FinetunePlot(), BeforeAfter()
        self.progress, self.line = ProgressRow(), MessageLine()
        self._lay_out()

    def _lay_out(self) -> None:
        data = QFormLayout()
        data.addRow("Image", self.image_box)
        data.addRow("Labels", self.labels_box)
        buttons = QHBoxLayout()
        for button in (self.add_button, self.folder_button, self.remove_button):
            buttons.addWidget(button)
        how = QFormLayout()
        how.addRow("Base model", self.models)
        how.addRow("Recipe", self.recipe_box)
        how.addRow("Samples per class", self.samples_box)
        how.addRow("Epochs", self.epochs_box)
        how.addRow("For validation", self.fraction_box)
        how.addRow(self.merge_box)
        how.addRow("Name", self.name_edit)
        actions = QHBoxLayout()
        actions.addWidget(self.check_button)
        actions.addWidget(self.start_button)
        layout = QVBoxLayout(self)
        layout.addLayout(data)
        layout.addLayout(buttons)
        layout.addWidget(self.data_list)
        layout.addLayout(how)
        layout.addLayout(actions)
        layout.addWidget(self.plan_label)
        layout.addWidget(self.progress)
        layout.addWidget(self.line)
        layout.addWidget(self.plot)
        layout.addWidget(self.pictures)
        layout.addStretch()
