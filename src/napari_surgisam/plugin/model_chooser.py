"""Which model segments; those that are not on this machine can be fetched or imported."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QMenu, QToolButton, QWidget

from napari_surgisam.engine.registry import (
    EMBEDDED,
    ModelSpec,
    available_models,
    weights_path,
)
from napari_surgisam.errors import ModelError

DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}
FILE_FILTER = "Models (*.pt *.pth *.safetensors);;All files (*)"


class ModelChooser(QWidget):
    """Chooses a model by name; asks for the others to be fetched or imported."""

    value_changed = Signal(str)
    fetch_requested = Signal(str)  # name
    import_requested = Signal(str)  # path
    failed = Signal(object)  # ModelError

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QComboBox()
        self._combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self._combo.setMinimumContentsLength(12)
        self._device = ""
        self._labels: list[str] = []
        self._more = QToolButton()
        self._more.setText("⋯")
        self._more.setToolTip("Fetch or import a model")
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._more.setMenu(self._menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo, stretch=1)
        layout.addWidget(self._more)
        self.refresh()
        self._combo.currentIndexChanged.connect(self._on_index)

    def value(self) -> str:
        """Return the name of the chosen model; the embedded one where none can be chosen."""
        return str(self._combo.currentData() or EMBEDDED)

    def set_value(self, name: str) -> None:
        """Choose a model that is on this machine; others are ignored."""
        index = self._combo.findData(name)
        if index >= 0 and weights_path(available_models()[name]) is not None:
            self._combo.setCurrentIndex(index)

    @property
    def device(self) -> str:
        """Where the chosen model computes, as `show_device` was told."""
        return self._device

    def show_device(self, device: str) -> None:
        """Say where the chosen model computes: torch's type of device, empty while unknown."""
        self._device = device
        word = DEVICES.get(device, device)
        for index, label in enumerate(self._labels):
            chosen = word and index == self._combo.currentIndex()
            self._combo.setItemText(index, f"{label} · {word}" if chosen else label)

    def refresh(self) -> None:
        """Look again which models are on this machine."""
        chosen = self._combo.currentData() or EMBEDDED
        try:
            specs = available_models()
        except ModelError as error:
            self.failed.emit(error)
            return
        with QSignalBlocker(self._combo):
            self._combo.clear()
            self._menu.clear()
            self._labels.clear()
            for spec in specs.values():
                here = weights_path(spec) is not None
                size = f"{spec.nbytes / 1e6:,.0f} MB"
                missing = f"fetch {size}" if spec.url else "missing"
                self._labels.append(spec.name if here else f"{spec.name} · {missing}")
                self._combo.addItem(self._labels[-1], spec.name)
                index = self._combo.count() - 1
                self._combo.setItemData(index, _card(spec), Qt.ItemDataRole.ToolTipRole)
                model = self._combo.model()
                if not here and isinstance(model, QStandardItemModel):
                    model.item(index).setEnabled(False)
                if not here and spec.url:
                    action = self._menu.addAction(f"Fetch {spec.name} ({size})")
                    action.setToolTip(_card(spec))
                    action.triggered.connect(
                        lambda _=False, name=spec.name: self.fetch_requested.emit(name)
                    )
            self._menu.addSeparator()
            self._menu.addAction("Import file…").triggered.connect(lambda _=False: self.browse())
            self._combo.setCurrentIndex(max(self._combo.findData(chosen), 0))
        self.show_device(self._device)
        self._combo.setToolTip(_card(specs[self.value()]))

    def browse(self) -> None:
        """Ask for a model file on this machine."""
        path, _ = QFileDialog.getOpenFileName(self, "Import a model", "", FILE_FILTER)
        if path:
            self.import_requested.emit(path)

    def _on_index(self, _: int) -> None:
        name = self.value()
        self.show_device("")
        self._combo.setToolTip(_card(available_models()[name]))
        self.value_changed.emit(name)


def _card(spec: ModelSpec) -> str:
    lines = [spec.note, f"{spec.image_size} x {spec.image_size} px", spec.licence, spec.citation]
    return "\n".join(line for line in (spec.name, *lines) if line)
