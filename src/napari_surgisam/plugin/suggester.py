"""Objects that are suggested on a frame: shown, chosen among, and kept."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QVBoxLayout

from napari_surgisam.data.suggestions import Suggestion, paint_suggestions
from napari_surgisam.plugin.layers import add_preview_layer, remove_layer, show_preview
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.objects import PALETTE, RGBA
from napari_surgisam.plugin.suggestion_row import SuggestionRow

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_surgisam.engine.session import Session
    from napari_surgisam.errors import SurgisamError
    from napari_surgisam.jobs import Event
    from napari_surgisam.plugin.runner import RunningJob
    from napari_surgisam.plugin.segment_widget import SegmentWidget
    from napari_surgisam.plugin.workbench import Workbench

FAINT = 0.12
"""Opacity of suggestions that are dropped."""


STEADY = 3
"""Pixels of the screen by which the mouse may move in a click."""


class Suggester(QObject):
    """Suggests objects on the frame that is shown.

    Parameters
    ----------
    widget : SegmentWidget
    """

    def __init__(self, widget: SegmentWidget) -> None:
        super().__init__(widget)
        self._widget, self.row = widget, SuggestionRow()
        layout = widget.layout()
        if isinstance(layout, QVBoxLayout):
            layout.insertWidget(layout.indexOf(widget.table) + 1, self.row)
        self.row.value_changed.connect(lambda _: self._show())
        self.row.kept.connect(self.keep)
        self.row.dropped.connect(self.end)
        widget.progress.cancelled.connect(self.cancel)
        self.suggestions: tuple[Suggestion, ...] = ()
        self.layer: Labels | None = None
        self._bench: Workbench | None = None
        self._frame = 0
        self._turned: set[int] = set()  # those that a click turned over, by number from 1
        self._job: RunningJob | None = None

    def begin(self) -> None:
        """Look for objects on the frame that is shown."""
        bench = self._widget.bench
        if bench is None:
            return
        session, frame = bench.session, bench.live.frame
        if session is None or frame is None:
            bench.message.emit(Message("The model is still loading: try again in a moment."))
        elif bench.live.is_propagating or self._job is not None:
            bench.message.emit(Message("Something is running: wait for it, or cancel it first."))
        else:
            self.end()
            self._bench, self._frame = bench, frame
            bench.closing.connect(self.end)
            known = np.array(bench.live.writer.read(frame))
            self._job = self._widget.thread.run(
                _suggest(session, frame, known, bench.live.engine.model),
                on_event=self._on_event,
                on_error=self._on_error,
                on_end=self._on_end,
            )
            self._widget.progress.begin("Looking for objects …")

    def cancel(self) -> None:
        """Stop looking."""
        if self._job is not None:
            self._job.cancel()

    def keep(self) -> None:
        """Make the suggestions that are coloured objects."""
        bench, frame, chosen = self._bench, self._frame, self.chosen()
        self.end()
        if bench is not None and bench is self._widget.bench:
            bench.editor.keep(frame, chosen)
            bench.start_clicking()

    def end(self) -> None:
        """Take the suggestions away."""
        layer, self.layer = self.layer, None
        bench, self._bench = self._bench, None
        self.suggestions, self._turned = (), set()
        self.row.hide()
        if bench is not None:
            bench.closing.disconnect(self.end)
            if layer is not None:
                bench.viewer.layers.events.removed.disconnect(self._on_removed)
                remove_layer(bench.viewer, layer)

    def chosen(self) -> list[Suggestion]:
        """Return the suggestions that are coloured, the best first."""
        least = self.row.value()
        return [
            one
            for number, one in enumerate(self.suggestions, start=1)
            if (one.score >= least) != (number in self._turned)
        ]

    def turn(self, number: int) -> None:
        """Drop the suggestion of a number, or take it back."""
        if 1 <= number <= len(self.suggestions):
            self._turned ^= {number}
            self._show()

    def _on_event(self, event: Event) -> None:
        from napari_surgisam.engine.suggesting import Suggested

        if not isinstance(event, Suggested):
            self._widget.progress.advance("clicks", event.done, event.total)
        elif self._job is not None and not self._job.cancelled:
            self._take(event.suggestions)

    def _take(self, suggestions: tuple[Suggestion, ...]) -> None:
        bench = self._bench
        if bench is None:
            return
        if bench is not self._widget.bench or not suggestions:
            self.end()
        if not suggestions:
            bench.message.emit(
                Message(f"Nothing on this {bench.unit} looks like an object to the model: click.")
            )
        if self._bench is None:
            return
        self.suggestions = suggestions
        name = f"{bench.image.name} suggestions"
        self.layer = add_preview_layer(bench.viewer, bench.image, bench.grid, name)
        self.layer.mouse_drag_callbacks.append(self._press)
        bench.viewer.layers.events.removed.connect(self._on_removed)
        self._show()

    def _show(self) -> None:
        bench, layer = self._bench, self.layer
        if bench is None or layer is None:
            return
        chosen = {id(one) for one in self.chosen()}
        # those that are kept lie over those that are dropped
        order = sorted(self.suggestions, key=lambda one: id(one) not in chosen)
        numbers = {id(one): n for n, one in enumerate(self.suggestions, start=1)}
        table = np.array([0, *(numbers[id(one)] for one in order)], np.uint16)
        labels = table[paint_suggestions(order, bench.grid.size)]
        colours: dict[int, RGBA] = {}
        for number, one in enumerate(self.suggestions, start=1):
            red, green, blue, _ = PALETTE[(number - 1) % len(PALETTE)]
            colours[number] = red, green, blue, 1.0 if id(one) in chosen else FAINT
        show_preview(layer, bench.grid, self._frame, labels, colours)
        self.row.show_counts(len(chosen), len(self.suggestions))

    def _press(self, layer: Labels, event: Any) -> Iterator[None]:
        """Turn over what is clicked; dragging moves the picture as ever."""
        start = np.asarray(event.pos, float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos, float) - start).max() > STEADY:
            return
        value = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        if value:
            self.turn(int(value))

    def _on_end(self) -> None:
        self._job = None
        self._widget.progress.end()

    def _on_error(self, error: SurgisamError) -> None:
        self._widget.line.show_message(Message(str(error), "error"))

    def _on_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.end()


def _suggest(
    session: Session, frame: int, known: NDArray[np.integer], model: str
) -> Generator[Event, None, None]:
    from napari_surgisam.engine.suggesting import suggest_objects, usual_suggesting

    settings = usual_suggesting(model)
    yield from suggest_objects(session.tracker, session.frames, frame, settings, known)
