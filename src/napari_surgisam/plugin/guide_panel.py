"""The first steps and the help, shown under the buttons of *Segment*."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_surgisam.plugin.advice import FirstStep
from napari_surgisam.plugin.keys import help_text

DONE_COLOUR = "#4caf50"
LEAST_HEIGHT = 160  # of the keys, in pixels: a low window scrolls


class FirstSteps(QFrame):
    """Shows `FirstStep` values, the next one bold; asks to be put away."""

    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.steps: tuple[FirstStep, ...] = ()
        close = QToolButton()
        close.setText("×")
        close.setToolTip("Put the first steps away; the help (?) brings them back")
        close.clicked.connect(lambda _=False: self.dismissed.emit())
        top = QHBoxLayout()
        top.addWidget(QLabel("<b>First steps</b>"), stretch=1)
        top.addWidget(close)
        self._lines: list[QLabel] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(8, 4, 4, 6)
        self._layout.addLayout(top)

    def show_steps(self, steps: Sequence[FirstStep]) -> None:
        """Show the steps, and which are done."""
        if tuple(steps) == self.steps:
            return
        self.steps = tuple(steps)
        while len(self._lines) < len(steps):
            line = QLabel()
            line.setWordWrap(True)
            self._lines.append(line)
            self._layout.addWidget(line)
        following = next((n for n, step in enumerate(steps) if not step.done), None)
        for number, (line, step) in enumerate(zip(self._lines, steps, strict=True)):
            text = f"{'✓' if step.done else number + 1}  {step.text}"
            line.setText(f"<b>{text}</b>" if number == following else text)
            line.setStyleSheet(f"color: {DONE_COLOUR};" if step.done else "")


class HelpPanel(QFrame):
    """Lists the keys; asks for the first steps."""

    steps_wanted = Signal()
    dismissed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        keys = QLabel(help_text())
        keys.setWordWrap(True)
        keys.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumHeight(LEAST_HEIGHT)
        scroll.setWidget(keys)
        again = QPushButton("Show the first steps")
        again.setToolTip("What to do first, step by step")
        again.clicked.connect(lambda _=False: self.steps_wanted.emit())
        close = QPushButton("Close")
        close.setToolTip("Put the help away (?)")
        close.clicked.connect(lambda _=False: self.dismissed.emit())
        row = QHBoxLayout()
        row.addWidget(again)
        row.addStretch()
        row.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 4, 4, 6)
        layout.addWidget(scroll)
        layout.addLayout(row)


class GuidePanel(QWidget):
    """The first steps or, in their place, the help; or nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.steps, self.help = FirstSteps(), HelpPanel()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.steps)
        layout.addWidget(self.help)
        self.show_parts(steps=False, help_=False)

    def show_parts(self, *, steps: bool, help_: bool) -> None:
        """Show the help where it is wanted, else the steps where they are."""
        self.help.setVisible(help_)
        self.steps.setVisible(steps and not help_)
        self.setVisible(steps or help_)
