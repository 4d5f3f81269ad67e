"""The dock widget *Review*: where masks are doubtful, along all frames; accept, clear, redo."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_surgisam.engine.plan import Span
from napari_surgisam.plugin.docks import find_dock, move_below, open_dock
from napari_surgisam.plugin.layer_reading import own_viewer
from napari_surgisam.plugin.objects import colour_of
from napari_surgisam.plugin.plan_widget import plan_for
from napari_surgisam.plugin.review_form import ReviewForm
from napari_surgisam.plugin.segment_widget import SegmentWidget
from napari_surgisam.plugin.timeline import Selection
from napari_surgisam.plugin.workbench import Workbench

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_surgisam.data.annotation import Annotation

LOOK_MILLISECONDS = 200
"""How often the widget looks whether anything changed, at most."""

SHARE = 5
"""Redrawing takes at most one part in so many of the time."""

NOTHING = "There are no masks yet: click on an object in Segment, and propagate."
NO_SEGMENT = "Review shows the masks that Segment makes."


class ReviewWidget(ReviewForm):
    """Review the masks of the image that *Segment* works on.

    While it is shown it looks, a few times a second, whether these masks changed: an edit, a
    frame of a propagation, another image. So a fast propagation costs few redraws.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = own_viewer(napari_viewer)
        self._bench: Workbench | None = None
        self._drawn: tuple[Annotation | None, object] = (None, None)
        self._placed = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.look)
        self._moved = QTimer(self)
        self._moved.setSingleShot(True)
        self._moved.timeout.connect(self._mark_frame)
        self.timeline.frame_clicked.connect(self._jump)
        self.timeline.selected.connect(self._on_selected)
        self.lines_changed.connect(self.timeline.show_lines)
        self.open_button.clicked.connect(lambda _=False: self._open_segment())
        self.next_button.clicked.connect(lambda _=False: self._next())
        self.accept_button.clicked.connect(lambda _=False: self.accept())
        self.reopen_button.clicked.connect(lambda _=False: self.reopen())
        self.clear_button.clicked.connect(lambda _=False: self.clear())
        self.again_button.clicked.connect(lambda _=False: self.propagate_again())
        self.viewer.dims.events.point.connect(self._on_moved)
        following = partial(self.viewer.dims.events.point.disconnect, self._on_moved)
        self.destroyed.connect(lambda *_: following())

    @property
    def bench(self) -> Workbench | None:
        """What *Segment* works on, or None."""
        segment = find_dock(self.viewer, SegmentWidget)
        return None if segment is None else segment.bench

    def showEvent(self, event: QShowEvent) -> None:
        """Go under the canvas the first time, and follow what happens."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, partial(move_below, self))  # not while Qt is showing it
        self._timer.start(0)

    def hideEvent(self, event: QHideEvent) -> None:
        """Look no more while nobody can see it."""
        super().hideEvent(event)
        self._timer.stop()

    def look(self) -> None:
        """Show what changed since the last look."""
        began = perf_counter()
        bench = self.bench
        if bench is not self._bench:
            self._bench = bench
            self.timeline.select(None)
        names = None if bench is None else dict(bench.objects.names)
        state = (None if bench is None else bench.live.annotation, (bench, names))
        if state != self._drawn:
            self._drawn = state
            self._show(bench)
        busy = 1000 * (perf_counter() - began)
        if self.isVisible():
            self._timer.start(max(LOOK_MILLISECONDS, round(SHARE * busy)))

    # -- what a person asks

    def accept(self) -> None:
        """Lock the masks that are selected."""
        if self._bench is not None and (chosen := self.timeline.selection):
            self._bench.review.accept(chosen.object_ids, chosen.frames)
            self._settle()

    def reopen(self) -> None:
        """Let propagations change the masks that are selected."""
        if self._bench is not None and (chosen := self.timeline.selection):
            self._bench.review.reopen(chosen.object_ids, chosen.frames)
            self._settle()

    def clear(self) -> None:
        """Remove the masks that are selected."""
        if self._bench is not None and (chosen := self.timeline.selection):
            self._bench.review.clear(chosen.object_ids, chosen.frames)
            self._settle()

    def propagate_again(self) -> None:
        """Make the masks that are selected anew, the way that *Segment* shows."""
        segment, bench = find_dock(self.viewer, SegmentWidget), self._bench
        session, chosen = None if bench is None else bench.session, self.timeline.selection
        if segment is None or bench is None or session is None or chosen is None:
            return
        if bench.live.is_propagating:
            bench.review.message.emit("A propagation is running: Esc stops it.")
            return
        frames = chosen.frames
        plan = replace(segment.plan.value(), span=Span(frames.start, frames.stop))
        able = [k for k in chosen.object_ids if session.annotation.sources(k)]
        self.timeline.select(None)
        bench.propagate(plan_for(plan, session), able or chosen.object_ids, anew=True)

    def _next(self) -> None:
        if self._bench is not None:
            self._bench.review.next_doubtful()

    def _jump(self, object_id: int, frame: int) -> None:
        if self._bench is not None:
            self._bench.select(object_id)
            self._bench.review.show_frame(frame)

    def _open_segment(self) -> None:
        open_dock(self.viewer, "Segment")
        self.look()

    # -- showing

    def _show(self, bench: Workbench | None) -> None:
        curves = {} if bench is None else bench.review.curves()
        places = [] if bench is None else bench.review.places()
        names = {} if bench is None else bench.objects.names
        colours = {k: _rgb(k) for k in curves}
        self.timeline.set_curves(curves, names, colours, places)
        self.open_button.setVisible(bench is None)
        self.next_button.setEnabled(bool(places))
        if bench is None:
            text = NO_SEGMENT
        elif not curves:
            text = NOTHING
        elif places:
            first = places[0]
            name = names.get(first.object_id, f"object {first.object_id}")
            count = f"{len(places):,} doubtful place{'s' if len(places) > 1 else ''}"
            text = f"{count}, first {bench.unit} {first.frame:,} of {name}."
        else:
            text = f"No {bench.unit} is doubtful among those that nobody has checked."
        self.summary.setText(text)
        self._on_selected(self.timeline.selection)
        self._on_moved()

    def _on_selected(self, selection: Selection | None) -> None:
        bench = self._bench
        if selection is None or bench is None:
            self.show_span("", accepted=False)
            return
        ids, frames = selection.object_ids, selection.frames
        who = bench.objects.names.get(ids[0], f"object {ids[0]}")
        who = who if len(ids) == 1 else f"{len(ids)} objects"
        where = f"{bench.unit}s {frames[0]:,}–{frames[-1]:,}"
        where = f"{bench.unit} {frames[0]:,}" if len(frames) == 1 else where
        annotation = bench.live.annotation
        accepted = annotation is not None and any(
            part.start < frames.stop and part.stop > frames.start
            for k in ids
            for part in annotation.accepted.get(k, ())
        )
        self.show_span(f"{who}, {where}:", accepted=accepted)

    def _on_moved(self, event: object = None) -> None:
        self._moved.start(0)  # not at once: the sliders move while layers are being removed, too

    def _mark_frame(self) -> None:
        bench = self.bench
        self.timeline.show_frame(None if bench is None else bench.live.frame)

    def _settle(self) -> None:
        self.timeline.select(None)
        self.look()


def _rgb(object_id: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colour_of(object_id)[:3])
    return red, green, blue
