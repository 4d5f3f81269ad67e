"""Which protocol is run on the open layers, and with how many clicks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QHBoxLayout, QLabel, QSpinBox, QWidget

from napari_surgisam.plugin.preferences import remember, remembered

if TYPE_CHECKING:
    from napari_surgisam.evaluation.answers import EvaluationProtocol

WORDS = (
    ("video", "movie: click the first frame, forward"),
    ("volume", "volume: click the middle slice, both ways"),
    ("image", "every frame by itself"),
    ("image-interactive", "every frame, with corrections"),
    ("video-semantic", "movie, scored by class"),
    ("correction", "rounds of correction"),
    ("classes", "no click: classes by their names"),
)
PROMPTS = (("points", "clicks"), ("box", "a box"), ("mask", "the true mask"))
_COUNTS = {
    "video": ("prompted_frames", "first frames prompted", 1, 8, 1),
    "correction": ("rounds", "rounds at most", 1, 20, 3),
    "image-interactive": ("max_clicks", "clicks at most", 1, 50, 20),
}
"""Of some protocols: the name of their number, its words, its range, its usual value."""


class ProtocolForm(QWidget):
    """Edits an `EvaluationProtocol`."""

    value_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._prompt = QComboBox(), QComboBox()
        for name, words in WORDS:
            self._name.addItem(words, name)
        for kind, words in PROMPTS:
            self._prompt.addItem(words, kind)
        self._clicks, self._count, self._count_words = QSpinBox(), QSpinBox(), QLabel()
        self._name.setToolTip("What is prompted, and which way the masks are carried")
        self._prompt.setToolTip("What the model is given: the reference says where")
        self._clicks.setToolTip("Clicks on each object")
        self._clicks.setRange(1, 10)
        self._clicks.setValue(int(remembered("evaluation_clicks", 3)))
        known = self._prompt.findData(remembered("evaluation_prompt", PROMPTS[0][0]))
        self._prompt.setCurrentIndex(max(known, 0))
        prompt = QHBoxLayout()
        prompt.addWidget(self._clicks)
        prompt.addWidget(self._prompt, stretch=1)
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addRow("Protocol", self._name)
        layout.addRow("Prompt", prompt)
        layout.addRow(self._count_words, self._count)
        self._name.currentIndexChanged.connect(lambda _: self._renew())
        self._prompt.currentIndexChanged.connect(lambda _: self._renew())
        self._prompt.activated.connect(
            lambda _: remember("evaluation_prompt", self._prompt.currentData())
        )
        self._clicks.editingFinished.connect(
            lambda: remember("evaluation_clicks", self._clicks.value())
        )
        for box in (self._clicks, self._count):
            box.valueChanged.connect(lambda _: self.value_changed.emit())
        self._renew()

    def value(self) -> EvaluationProtocol:
        """Return the protocol."""
        from napari_surgisam.evaluation.answers import Prompting
        from napari_surgisam.evaluation.protocols import PROTOCOLS

        name = self._name.currentData()
        if name == "classes":
            return PROTOCOLS[name]()
        one_by_one = name in ("image-interactive", "correction")
        prompting = Prompting(
            self._prompt.currentData(),
            self._clicks.value(),
            "center" if one_by_one else "random",
        )
        options: dict[str, Any] = {}
        if name in _COUNTS:
            options[_COUNTS[name][0]] = self._count.value()
        return PROTOCOLS[name](prompting=prompting, **options)

    def choose(self, name: str) -> None:
        """Choose a protocol by its name."""
        self._name.setCurrentIndex(self._name.findData(name))

    def _renew(self) -> None:
        name = self._name.currentData()
        fixed = name in ("image-interactive", "classes")
        self._clicks.setEnabled(self._prompt.currentData() == "points" and not fixed)
        self._prompt.setEnabled(not fixed)
        self._count.setVisible(name in _COUNTS)
        self._count_words.setVisible(name in _COUNTS)
        if name in _COUNTS:
            _, words, low, high, usual = _COUNTS[name]
            self._count_words.setText(words)
            self._count.setToolTip(f"How many {words}")
            self._count.setRange(low, high)
            self._count.setValue(usual)
        self.value_changed.emit()
