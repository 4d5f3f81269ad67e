"""What most people never touch, folded away."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_surgisam.engine.policy_names import POLICY_SUMMARIES
from napari_surgisam.plugin.grid import NO_AXIS
from napari_surgisam.plugin.layer_reading import WindowChoice
from napari_surgisam.plugin.window_widget import WindowWidget

MAX_CONDITIONING = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """How the image is read and the model run.

    Parameters
    ----------
    axis : int or None
        Axis of the layer along which frames follow; None chooses by itself.
    level : int
        Resolution of a multiscale image, 0 the finest.
    window : "shown", "auto" or (low, high)
        Values that become black and white.
    image_size : int or None
        Side of the square that frames are resized to; None is the model's own.
    device, precision : str
    max_conditioning : int
        Prompted frames that are attended to at most.
    focus : str
        Whether the model sees a window that follows each object: "auto", "off", or
        "default", the model's own.
    policy : str
        Which earlier frames the model attends to, as `choose_policy` reads it.
    """

    axis: int | None = None
    level: int = 0
    window: WindowChoice = "shown"
    image_size: int | None = None
    device: str = "auto"
    precision: str = "auto"
    max_conditioning: int = MAX_CONDITIONING
    focus: str = "default"
    policy: str = "auto"


class AdvancedPanel(QWidget):
    """Edits `Settings`; collapsed."""

    value_changed = Signal(object)  # Settings
    here_requested = Signal()  # take channel and position from the sliders

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axis = _combo([("chosen by itself", None)], "Which slider plays the part of time")
        self._level = _combo([("0, the finest", 0)], "Resolution of a multiscale image")
        self._window = WindowWidget()
        sizes = [("the model's own", None), *((f"{n} px", n) for n in (256, 384, 512, 768, 1024))]
        self._size = _combo(sizes, "Frames are resized to such a square: smaller is faster")
        self._focus = _combo(
            [("as suits the model", "default"), ("a window around each object", "auto"),
             ("the whole frame", "off")],
            "A window that follows the object shows small ones larger, and costs one more "
            "picture for each object",
        )  # fmt: skip
        self._policy = _combo(
            [("as suits the model", "auto"), *((name, name) for name in POLICY_SUMMARIES)],
            "Which earlier frames the model attends to",
        )
        for index, summary in enumerate(POLICY_SUMMARIES.values(), start=1):
            self._policy.setItemData(index, summary, Qt.ItemDataRole.ToolTipRole)
        self._device = _combo([("automatic", "auto"), ("CPU", "cpu"), ("CUDA", "cuda"),
                               ("Apple GPU", "mps")], "Where to compute")  # fmt: skip
        self._precision = _combo(
            [("automatic", "auto"), ("bfloat16", "bfloat16"), ("float32", "float32")],
            "bfloat16 is faster where the hardware has it",
        )
        self._prompted = QSpinBox()
        self._prompted.setRange(1, 64)
        self._prompted.setValue(MAX_CONDITIONING)
        self._prompted.setToolTip(
            "How many prompted frames, the nearest, each frame looks to at most. A model that was "
            "trained with fewer looks to fewer: the embedded one to two."
        )
        self.here = QPushButton("as the sliders are now")
        self.here.setToolTip(
            "Work on the channel, depth or time that the other sliders show at this moment"
        )
        self.here.clicked.connect(lambda _=False: self.here_requested.emit())
        form = QFormLayout()
        for label, widget in (
            ("Frames along", self._axis),
            ("Channel, position", self.here),
            ("Resolution", self._level),
            ("Window", self._window),
            ("Image size", self._size),
            ("Model sees", self._focus),
            ("Memory", self._prompted),
            ("Memory policy", self._policy),
            ("Device", self._device),
            ("Precision", self._precision),
        ):
            form.addRow(label, widget)
        inside = QWidget()
        inside.setLayout(form)
        self.fold = QCollapsible("Advanced", expandedIcon="▾", collapsedIcon="▸")
        self.fold.addWidget(inside)
        self.fold.collapse(animate=False)
        self.fold.toggleButton().setToolTip("What most people never touch")
        self._prompted.setSuffix(" prompted frames")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        for combo in (self._axis, self._level, self._size, self._focus, self._policy,
                      self._device, self._precision):  # fmt: skip
            combo.currentIndexChanged.connect(self._emit)
        self._window.value_changed.connect(self._emit)
        self._prompted.editingFinished.connect(self._emit)
        self._last = self.value()

    def value(self) -> Settings:
        """Return the settings."""
        return Settings(
            axis=self._axis.currentData(),
            level=self._level.currentData() or 0,
            window=self._window.value(),
            image_size=self._size.currentData(),
            device=self._device.currentData(),
            precision=self._precision.currentData(),
            max_conditioning=self._prompted.value(),
            focus=self._focus.currentData(),
            policy=self._policy.currentData(),
        )

    def set_value(self, settings: Settings) -> None:
        """Show settings; what is not among the choices of an image stays as it is."""
        with ExitStack() as quiet:
            chosen: tuple[tuple[QComboBox, Any], ...] = (
                (self._axis, settings.axis),
                (self._level, settings.level),
                (self._size, settings.image_size),
                (self._focus, settings.focus),
                (self._policy, settings.policy),
                (self._device, settings.device),
                (self._precision, settings.precision),
            )
            for combo, value in chosen:
                quiet.enter_context(QSignalBlocker(combo))
                if combo is self._size and value is not None and combo.findData(value) < 0:
                    combo.addItem(f"{value} px", value)
                if combo is self._policy and combo.findData(value) < 0:
                    combo.addItem(value, value)
                if (index := combo.findData(value)) >= 0:
                    combo.setCurrentIndex(index)
            quiet.enter_context(QSignalBlocker(self._window))
            self._window.set_value(settings.window)
            quiet.enter_context(QSignalBlocker(self._prompted))
            self._prompted.setValue(settings.max_conditioning)
        self._emit()

    def set_image_size(self, size: int | None) -> None:
        """Choose the side of the square that frames are resized to."""
        self._size.setCurrentIndex(max(self._size.findData(size), 0))

    def offer(self, axes: Sequence[tuple[str, int]], levels: int) -> None:
        """Offer the axes and resolutions of another image; nothing is announced.

        Parameters
        ----------
        axes : sequence of (str, int)
            Name and number of the axes along which frames may follow.
        levels : int
            Resolutions of a multiscale image, 1 for others.
        """
        entries = [("chosen by itself", None), *axes, ("none: one picture", NO_AXIS)]
        with QSignalBlocker(self._axis), QSignalBlocker(self._level):
            _fill(self._axis, entries)
            _fill(self._level, [(f"{n}{', the finest' if n == 0 else ''}", n)
                                for n in range(levels)])  # fmt: skip
        self._axis.setEnabled(len(axes) > 0)
        self.here.setEnabled(len(axes) > 1)
        self._level.setEnabled(levels > 1)
        self._last = self.value()

    def _emit(self, _: object = None) -> None:
        value = self.value()
        if value != self._last:
            self._last = value
            self.value_changed.emit(value)


def _combo(entries: Sequence[tuple[str, Any]], tip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tip)
    _fill(combo, entries)
    return combo


def _fill(combo: QComboBox, entries: Sequence[tuple[str, Any]]) -> None:
    combo.clear()
    for label, data in entries:
        combo.addItem(label, data)
