"""Between the row of prompts and the image that is being worked on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

if TYPE_CHECKING:
    from napari_surgisam.data.prompts import MaskSize
    from napari_surgisam.plugin.drawings import Use
    from napari_surgisam.plugin.segment_widget import SegmentWidget
    from napari_surgisam.plugin.workbench import Workbench


class PromptDesk(QObject):
    """Passes what the row of prompts asks for on to the image, and shows what holds there.

    Parameters
    ----------
    widget : SegmentWidget
    """

    def __init__(self, widget: SegmentWidget) -> None:
        super().__init__(widget)
        self._widget, self._row = widget, widget.prompt_row
        self._row.size_chosen.connect(self._set_size)
        self._row.draw_wanted.connect(self._draw)
        self._row.copy_wanted.connect(self._copy)
        self._row.find_wanted.connect(lambda: self._on_bench(lambda b: b.tools.finder.find()))
        widget.progress.cancelled.connect(lambda: self._on_bench(lambda b: b.tools.finder.cancel()))
        self._row.use_wanted.connect(self._use)
        widget.table.menu.box_wanted.connect(lambda: self._on_bench(lambda b: b.tools.draw_box()))
        widget.table.menu.labels_offered.connect(
            lambda: self._on_bench(lambda b: b.painted.use_shown())
        )

    def attach(self, bench: Workbench) -> None:
        """Follow the sliders of an image's work."""
        bench.live.moved.connect(self.show)
        finder, progress = bench.tools.finder, self._widget.progress
        finder.progressed.connect(
            lambda e: progress.advance(f"searching {bench.unit} {e.frame:,}", e.done, e.total)
        )
        finder.running_changed.connect(
            lambda on: progress.begin("Searching …") if on else progress.end()
        )

    def show(self) -> None:
        """Show what holds for the selected object on the frame that is shown."""
        bench = self._widget.bench
        self._row.show_size(None if bench is None else bench.tools.mask_size())
        here = None if bench is None else bench.live.frame
        sources = [] if bench is None or here is None else list(bench.tools.sources())
        sources.sort(key=lambda frame: abs(frame - (here or 0)))
        self._row.show_sources(sources, "frame" if bench is None else bench.unit)

    def _set_size(self, size: MaskSize) -> None:
        self._on_bench(lambda bench: bench.tools.set_mask_size(size))
        self.show()

    def _draw(self, what: str) -> None:
        if what == "box":
            self._on_bench(lambda bench: bench.tools.draw_box())
        else:
            self._on_bench(lambda bench: bench.tools.drawings.draw(what))

    def _use(self, areas: Use) -> None:
        self._on_bench(lambda bench: bench.tools.drawings.use(areas))

    def _copy(self, frame: int | None) -> None:
        self._on_bench(lambda bench: bench.tools.copy_here(frame))

    def _on_bench(self, action: Callable[[Workbench], object]) -> None:
        if self._widget.bench is not None:
            action(self._widget.bench)
