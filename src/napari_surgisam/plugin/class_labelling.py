"""Label every frame by the names of classes: the button, and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton, QWidget

from napari_surgisam.plugin.layers import highest_label
from napari_surgisam.plugin.message_line import Message

if TYPE_CHECKING:
    from napari_surgisam.engine.plan import Span
    from napari_surgisam.plugin.workbench import Workbench


class ClassesButton(QPushButton):
    """Starts the labelling; it is there where a model knows classes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Label classes", parent)
        self.hide()

    def show_classes(self, names: Sequence[str], *, busy: bool) -> None:
        """Say which classes would be labelled, and whether this can start."""
        self.setVisible(bool(names))
        self.setEnabled(bool(names) and not busy)
        what = f"Find {', '.join(names)} on every frame, without a click"
        self.setToolTip("Something is running already." if busy else what)


def label_classes(bench: Workbench, span: Span) -> None:
    """Find the classes that the model knows on the frames of a span, as objects of their names.

    Parameters
    ----------
    bench : Workbench
    span : Span
    """
    session = bench.session
    if session is None or bench.live.is_propagating:
        return
    taken = [] if bench.own_labels else [highest_label(bench.labels, bench.live.writer)]
    classes = session.tracker.network.classes
    objects = bench.objects.include_classes(classes, session.object_ids, taken)
    bench.select(min(objects))
    text = f"Looking for {', '.join(classes)} on every {bench.unit}. Cancel keeps what is done."
    bench.message.emit(Message(text))
    bench.live.label_classes(objects, span)
