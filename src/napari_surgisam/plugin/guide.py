"""What makes *Segment* easy to come back to: first steps, help, and remembered choices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_surgisam.plugin.advice import FirstStep, first_steps
from napari_surgisam.plugin.preferences import first_steps_wanted, put_first_steps_away
from napari_surgisam.plugin.remembering import Remembering

if TYPE_CHECKING:
    from napari_surgisam.data.prompts import PromptBook
    from napari_surgisam.plugin.segment_widget import SegmentWidget
    from napari_surgisam.plugin.workbench import Workbench

PRAISE_MILLISECONDS = 4000
"""How long the steps stay when all are done."""


class Guide(QObject):
    """Follows what a person does in *Segment*.

    Parameters
    ----------
    widget : SegmentWidget
        Before it has chosen an image.
    """

    def __init__(self, widget: SegmentWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._panel = panel = widget.guide_panel
        self._bench: Workbench | None = None
        self._carried: PromptBook | None = None  # the prompts that were first propagated
        self._reviewed = False
        self._done: dict[str, bool] = {}  # by the words of a step: what was done once stays
        self._away = QTimer(self)
        self._away.setSingleShot(True)
        self._away.setInterval(PRAISE_MILLISECONDS)
        self._away.timeout.connect(self.put_away)
        self.remembering = Remembering(widget.models, widget.advanced, widget.plan)
        self.remembering.setParent(self)
        panel.steps.dismissed.connect(self.put_away)
        panel.help.dismissed.connect(self.toggle_help)
        panel.help.steps_wanted.connect(self.show_steps)
        widget.help_button.clicked.connect(lambda _=False: self.toggle_help())
        widget.review_button.clicked.connect(lambda _=False: self._on_reviewed())
        self._steps, self._help = first_steps_wanted(), False
        self._show()

    def toggle_help(self) -> None:
        """Show the help, or put it away."""
        self._help = not self._help
        self._widget.help_button.setChecked(self._help)
        self._show()

    def show_steps(self) -> None:
        """Show the first steps from the beginning, in place of the help."""
        self._done.clear()
        self._carried, self._reviewed = None, False
        self._away.stop()
        self._steps, self._help = True, False
        self._widget.help_button.setChecked(False)
        self._show()

    def put_away(self) -> None:
        """Hide the first steps, also at the next start."""
        self._away.stop()
        self._steps = False
        self._show()
        put_first_steps_away()

    def look(self) -> None:
        """Show how far the person is, and note what was chosen."""
        self.remembering.look()
        if not self._steps:
            return
        bench = self._widget.bench
        if bench is not self._bench:
            self._bench = bench
            self._carried = None
            if bench is not None:
                bench.review.message.connect(lambda _: self._on_reviewed())
        session, unit = (None, "frame") if bench is None else (bench.session, bench.unit)
        book = None if session is None else session.book
        if self._carried is not None and book is not self._carried:
            self._reviewed = True
        steps = first_steps(session, unit, reviewed=self._reviewed)
        if self._carried is None and steps[1].done:
            self._carried = book
        for step in steps:
            self._done[step.text] = step.done or self._done.get(step.text, False)
        shown = tuple(FirstStep(step.text, self._done[step.text]) for step in steps)
        self._panel.steps.show_steps(shown)
        if all(step.done for step in shown) and not self._away.isActive():
            self._away.start()

    def _show(self) -> None:
        self._panel.show_parts(steps=self._steps, help_=self._help)
        self.look()

    def _on_reviewed(self) -> None:
        if self._carried is not None:
            self._reviewed = True
            self.look()
