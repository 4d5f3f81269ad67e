"""The dock widget *Evaluate*: labels against a reference, and how good a model would be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFileDialog

from napari_surgisam.data.frames import ArrayFrames, FrameSource
from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.jobs import Event
from napari_surgisam.plugin.docks import share_place
from napari_surgisam.plugin.evaluate_form import COMPARE, RUN, SAVE, EvaluateForm
from napari_surgisam.plugin.evaluate_jobs import (
    LayerLabels,
    ObjectScored,
    ProtocolFinished,
    compare_labels,
    run_protocol,
)
from napari_surgisam.plugin.grid import TIME_NAMES, FrameGrid
from napari_surgisam.plugin.layer_reading import (
    layer_frames,
    layer_grid,
    millimetres,
    own_viewer,
    shown_frame,
)
from napari_surgisam.plugin.layers import show_frame
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.model_downloads import ModelDownloads
from napari_surgisam.plugin.remedies import remedies_for
from napari_surgisam.plugin.runner import JobThread, RunningJob

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_surgisam.evaluation.rows import FrameRow, ScoreRow

START = "Choose a reference and the labels to compare with it, or run a model on the image."
NO_REFERENCE = (
    "Open the true labels as a Labels layer (File > Open, or File > Open Sample > SurgiSAM)."
)


class EvaluateWidget(EvaluateForm):
    """Say how good labels are, object by object and frame by frame.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        share_place(self)
        self.viewer = own_viewer(napari_viewer)
        self.thread = JobThread()
        self.downloads = ModelDownloads(self.thread)
        self.rows: list[ScoreRow] = []
        self.whole: list[ScoreRow] = []  # figures of no object, such as F1 and mIoU
        self.frames: list[FrameRow] = []
        self._shown: tuple[Labels, FrameGrid] | None = None
        self._running: RunningJob | None = None
        self._disconnect: list[Callable[[], object]] = []
        self.destroyed.connect(partial(_end, self.thread, self._disconnect))
        self._connect()
        self._list_layers()

    def _connect(self) -> None:
        layers, dims = self.viewer.layers.events, self.viewer.dims.events
        for event, callback in (
            (layers.inserted, self._list_layers),
            (layers.removed, self._list_layers),
            (layers.renamed, self._list_layers),
            (dims.current_step, self._on_step),
        ):
            event.connect(callback)
            self._disconnect.append(partial(event.disconnect, callback))
        self.compare_button.clicked.connect(lambda _=False: self.compare())
        self.run_button.clicked.connect(lambda _=False: self.run())
        self.save_button.clicked.connect(lambda _=False: self._ask_where())
        self.progress.cancelled.connect(self.cancel)
        self.table.selected.connect(self.plot.select)
        self.plot.frame_clicked.connect(self.jump)
        for box in (self.reference_box, self.labels_box, self.image_box):
            box.currentIndexChanged.connect(lambda _: self._renew())
        self.models.fetch_requested.connect(self.downloads.fetch)
        self.models.import_requested.connect(self.downloads.import_file)
        self.models.failed.connect(self._fail)
        self.downloads.began.connect(self.progress.begin)
        self.downloads.progressed.connect(
            lambda what, event: self.progress.advance(what, event.done, event.total)
        )
        self.downloads.ended.connect(self.progress.end)
        self.downloads.arrived.connect(lambda _: self.models.refresh())
        self.downloads.failed.connect(self._fail)

    def event(self, event: QEvent) -> bool:
        """End the work where the dock was closed: napari only takes its widget out."""
        if event.type() == QEvent.Type.ParentChange and self.parentWidget() is None:
            _end(self.thread, self._disconnect)
        return bool(super().event(event))

    @property
    def busy(self) -> bool:
        """Whether anything is being computed."""
        return self.thread.busy

    # -- what is asked for

    def compare(self) -> None:
        """Compare the labels with the reference."""
        reference, labels = self.reference_box.currentData(), self.labels_box.currentData()
        try:
            read, grid = self._labels_of(reference)
            other, _ = self._labels_of(labels, like=(reference, grid))
        except SurgisamError as error:
            self._fail(error)
            return
        from napari_surgisam.evaluation.rows import Scoring

        frames = _frames_of(reference, grid)
        job = compare_labels(other, read, frames, class_table(reference), Scoring())
        self._start(job, f"Comparing {labels.name} with {reference.name} …", reference, grid)

    def run(self) -> None:
        """Run the protocol on the image, prompted and scored by the reference."""
        reference, image = self.reference_box.currentData(), self.image_box.currentData()
        try:
            grid = layer_grid(self.viewer, image)
            if tuple(reference.data.shape) != grid.shape:
                raise DataError(
                    f"The reference {reference.name} has the shape {reference.data.shape}, the "
                    f"image {image.name} {grid.shape}: labels must lie on the image's own grid."
                )
            read = LayerLabels(reference.name, reference.data, grid)
            frames = layer_frames(image, grid)
            protocol = self.protocol.value()
        except SurgisamError as error:
            self._fail(error)
            return
        from napari_surgisam.engine.settings import EngineSettings
        from napari_surgisam.evaluation.rows import Scoring

        job = run_protocol(
            image.name,
            lambda: frames,
            read,
            class_table(reference),
            protocol,
            Scoring(),
            EngineSettings(self.models.value()),
        )
        self._start(job, f"Running {protocol.name} on {image.name} …", reference, grid)

    def cancel(self) -> None:
        """Stop what runs."""
        if self._running is not None:
            self.progress.stopping()
            self._running.cancel()
        self.downloads.cancel()

    def jump(self, frame: int) -> None:
        """Show a frame of what was compared."""
        if self._shown is not None and self._shown[0] in self.viewer.layers:
            show_frame(self.viewer, self._shown[0], self._shown[1], frame)

    def save(self, path: Path) -> None:
        """Write the table, and beside it the figures of every frame (``NAME_frames.csv``)."""
        from napari_surgisam.evaluation.folder import write_score_tables

        frames = path.with_name(f"{path.stem}_frames.csv")
        try:
            write_score_tables(path, frames, [*self.rows, *self.whole], self.frames)
        except SurgisamError as error:
            self._fail(error)
            return
        self.line.show_message(Message(f"Saved {path.name} and {frames.name}."))

    # -- the job

    def _start(self, job: Any, what: str, reference: Labels, grid: FrameGrid) -> None:
        self.rows, self.whole, self.frames = [], [], []
        self._shown = (reference, grid)
        self._show_figures()
        self.progress.begin(what)
        self.line.show_message(Message(""))
        self._running = self.thread.run(
            job, on_event=self._on_event, on_error=self._fail, on_end=self._on_end
        )
        self._renew()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ObjectScored):
            self.rows.append(event.row)
            self.frames += event.frames
            self.progress.advance(f"object {event.row.object_id}", event.done, event.total)
        elif isinstance(event, ProtocolFinished):
            scores = event.result.scores
            self.rows = [row for row in scores.rows if row.object_id or row.class_name]
            self.whole = [row for row in scores.rows if row not in self.rows]
            self.frames = list(scores.frames)
            self.line.show_message(Message(_sentence(event.result)))
        else:
            self.progress.advance("step", event.done, event.total)

    def _on_end(self) -> None:
        cancelled = self._running is not None and self._running.cancelled
        self._running = None
        self.progress.end()
        self._show_figures()
        self._renew()
        if cancelled:
            self.line.show_message(Message("Stopped; the objects that were done are shown."))
        elif self.rows and not self.line.message.text:
            text = "Click a line of the plot to go to its frame."
            self.line.show_message(Message(text))

    def _fail(self, error: SurgisamError) -> None:
        self.line.show_message(Message(str(error), "error", remedies_for(error, self.models)))

    # -- showing

    def _show_figures(self) -> None:
        self.table.set_rows(self.rows)
        colours: dict[int, tuple[int, int, int]] = {}
        if self._shown is not None:
            layer = self._shown[0]
            for row in self.rows:
                red, green, blue = (int(255 * c) for c in layer.get_color(row.object_id)[:3])
                colours[row.object_id] = (red, green, blue)
        self.plot.set_rows(self.frames, colours)
        self._on_step()

    def _on_step(self, event: Any = None) -> None:
        if self._shown is not None and self._shown[0] in self.viewer.layers and self.frames:
            self.plot.show_frame(shown_frame(self.viewer, *self._shown))

    def _list_layers(self, event: Any = None) -> None:
        from napari.layers import Image, Labels

        labels = [layer for layer in self.viewer.layers if isinstance(layer, Labels)]
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        _offer(self.reference_box, labels, labels[0] if labels else None)
        rest = [layer for layer in labels if layer is not self.reference_box.currentData()]
        _offer(self.labels_box, labels, rest[-1] if rest else None)
        _offer(self.image_box, images, images[0] if images else None)
        self._renew()

    def _renew(self) -> None:
        reference, labels = self.reference_box.currentData(), self.labels_box.currentData()
        why_not = NO_REFERENCE if reference is None else "Something is running." * self.busy
        same = "Choose two different layers to compare." if labels in (None, reference) else ""
        none = "Open an image to run a model on." if self.image_box.currentData() is None else ""
        for button, reason, tip in (
            (self.compare_button, why_not or same, COMPARE),
            (self.run_button, why_not or none, RUN),
            (self.save_button, "" if self.rows else "There is nothing to save yet.", SAVE),
        ):
            button.setEnabled(not reason)
            button.setToolTip(reason or tip)
        if not self.rows and not self.busy and self.line.message.kind != "error":
            self.line.show_message(Message(NO_REFERENCE if reference is None else START))

    def _labels_of(
        self, layer: Labels, like: tuple[Labels, FrameGrid] | None = None
    ) -> tuple[LayerLabels, FrameGrid]:
        grid = layer_grid(self.viewer, layer) if like is None else like[1]
        if tuple(layer.data.shape) != grid.shape:
            other = "" if like is None else f" and {like[0].name} {grid.shape}"
            raise DataError(
                f"The layers {layer.name} {tuple(layer.data.shape)}{other} differ in shape: bring "
                "both to one grid first."
            )
        return LayerLabels(layer.name, layer.data, grid), grid

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the scores", "scores.csv", "CSV (*.csv)")
        if path:
            self.save(Path(path).with_suffix(".csv"))


def class_table(layer: Labels) -> ClassTable:
    """Return the classes that a Labels layer names: features ``index`` (or rows) and ``class``."""
    features = layer.features
    if "class" not in features:
        return ClassTable()
    numbers: Sequence[Any] = features["index"] if "index" in features else range(len(features))
    entries = {("", int(n)): str(name) for n, name in zip(numbers, features["class"], strict=True)}
    return ClassTable(MappingProxyType(entries))


def _frames_of(layer: Labels, grid: FrameGrid) -> FrameSource:
    """Return a Labels layer as frames: its spacing, and whether they follow in time."""
    left = [a for a in range(layer.ndim) if a not in grid.fixed]
    times = [a for a, name in enumerate(layer.axis_labels) if name.lower() in TIME_NAMES]
    return ArrayFrames(
        layer.data,
        axis=0 if grid.axis is None else left.index(grid.axis),
        at=grid.fixed,
        window=(0.0, 1.0),
        spacing=millimetres(layer, grid),
        time_axis=times[0] if times else None,
        name=f"layer {layer.name}",
    )


def _sentence(result: Any) -> str:
    """Say in words what a protocol found on the whole."""
    from napari_surgisam.evaluation.figures import TITLES

    whole: dict[str, float] = next(
        (r.figures for r in result.scores.rows if not r.object_id and not r.class_name), {}
    )
    parts = [f"{TITLES[n]} {v:.3f}" for n, v in whole.items() if n in TITLES and v == v]
    found = f"{', '.join(parts)}. " if parts else ""
    return f"{found}Segmented in {result.segmenting_seconds:.1f} s."


def _offer(box: QComboBox, layers: Sequence[Any], usual: Any) -> None:
    chosen = box.currentData()
    chosen = chosen if chosen in layers else usual
    with QSignalBlocker(box):
        box.clear()
        for layer in layers:
            box.addItem(layer.name, layer)
        box.setCurrentIndex(list(layers).index(chosen) if chosen in layers else -1)


def _end(thread: JobThread, disconnect: list[Callable[[], object]], *_: object) -> None:
    for undo in disconnect:
        undo()
    disconnect.clear()
    thread.close()
