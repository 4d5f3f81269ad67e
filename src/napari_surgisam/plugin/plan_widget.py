"""Which way the masks are carried, and how far."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QFormLayout, QHBoxLayout, QRadioButton, QWidget

from napari_surgisam.engine.plan import Order, Plan
from napari_surgisam.plugin.span_widget import SpanWidget

if TYPE_CHECKING:
    from napari_surgisam.engine.session import Session

WAYS: tuple[tuple[str, Order, str], ...] = (
    ("both", "outward", "From every prompted frame outward, forward and back."),
    ("forward", "forward", "From each object's first prompt to the end."),
    ("back", "backward", "From each object's last prompt to the beginning."),
)


class PlanWidget(QWidget):
    """Edits a `Plan`: a span of frames and a way through them."""

    value_changed = Signal(object)  # Plan
    way_chosen = Signal(str)  # by a person: an `Order`

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.span = SpanWidget()
        self._ways = QButtonGroup(self)
        row = QHBoxLayout()
        for number, (label, _, tip) in enumerate(WAYS):
            button = QRadioButton(label)
            button.setToolTip(tip)
            self._ways.addButton(button, number)
            row.addWidget(button)
        row.addStretch()
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addRow("Frames", self.span)
        layout.addRow("Way", row)
        self._ways.button(0).setChecked(True)
        self.span.value_changed.connect(lambda _: self.value_changed.emit(self.value()))
        self._ways.idClicked.connect(lambda _: self.value_changed.emit(self.value()))
        self._ways.idClicked.connect(lambda number: self.way_chosen.emit(WAYS[number][1]))

    def value(self) -> Plan:
        """Return the plan."""
        return Plan(WAYS[self._ways.checkedId()][1], self.span.value())

    def set_value(self, plan: Plan) -> None:
        """Show a plan; ``first-n`` is shown as forward, which it is."""
        order = "forward" if plan.order == "first-n" else plan.order
        assert order in get_args(Order)
        number = next(n for n, (_, known, _) in enumerate(WAYS) if known == order)
        self._ways.button(number).setChecked(True)
        self.span.set_value(plan.span)
        self.value_changed.emit(self.value())


def plan_for(plan: Plan, session: Session | None) -> Plan:
    """Return how "both ways" runs through a movie that is prompted from its start.

    Nothing lies before the first prompt then, so one forward pass meets all frames and
    later prompts correct it on the way; it does not turn round between two prompts.
    """
    if session is None or plan.order != "outward" or not session.frames.temporal:
        return plan
    frames = plan.span.frames(len(session.frames))
    first = min((f for o in session.book.object_ids for f in session.book.frames(o)), default=0)
    return replace(plan, order="first-n") if frames and first <= frames[0] else plan
