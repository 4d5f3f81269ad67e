"""The dock widget *Fine-tune*: a better model from the labels that are open."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSignalBlocker
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_surgisam.engine.registry import cache_folder
from napari_surgisam.errors import DataError, SurgisamError
from napari_surgisam.jobs import Event
from napari_surgisam.plugin.docks import share_place
from napari_surgisam.plugin.evaluate_jobs import LayerLabels
from napari_surgisam.plugin.evaluate_widget import class_table
from napari_surgisam.plugin.finetune_data import LabelledPair, write_pairs
from napari_surgisam.plugin.finetune_form import BEGIN, CHECK, FinetuneForm
from napari_surgisam.plugin.finetune_process import TuningProcess
from napari_surgisam.plugin.layer_reading import layer_frames, layer_grid
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.model_chooser import ModelChooser
from napari_surgisam.plugin.preferences import remember, remembered
from napari_surgisam.plugin.runner import JobThread

if TYPE_CHECKING:
    import napari

START = "Add pairs of image and labels, or a folder of them, then press Check or Start."


class FinetuneWidget(FinetuneForm):
    """Train a model on labels, in a process of its own.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        share_place(self)
        self.viewer = napari_viewer
        self.process = TuningProcess()
        self.thread = JobThread()
        self.data: list[Path | tuple[Any, Any]] = []  # folders, and pairs of layers
        self.tuned = ""
        self._folders: list[Path] = []  # of written layers, until the process has ended
        self._disconnect: list[Callable[[], object]] = []
        self._parts = (self.process, self.thread, self._disconnect, self._folders)
        self.destroyed.connect(partial(_end, *self._parts))
        self._connect()
        self._remember()
        self._list_layers()

    def _connect(self) -> None:
        layers = self.viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.renamed):
            event.connect(self._list_layers)
            self._disconnect.append(partial(event.disconnect, self._list_layers))
        self.add_button.clicked.connect(lambda _=False: self.add_pair())
        self.folder_button.clicked.connect(lambda _=False: self._ask_folder())
        self.remove_button.clicked.connect(lambda _=False: self.remove())
        self.check_button.clicked.connect(lambda _=False: self.run(check=True))
        self.start_button.clicked.connect(lambda _=False: self.run())
        self.progress.cancelled.connect(self.cancel)
        self.process.told.connect(self._on_event)
        self.process.ended.connect(self._on_end)
        self.models.failed.connect(self._fail)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.process.close)

    def event(self, event: QEvent) -> bool:
        """End the training where the dock was closed: napari only takes its widget out."""
        if event.type() == QEvent.Type.ParentChange and self.parentWidget() is None:
            _end(*self._parts)
        return bool(super().event(event))

    def _remember(self) -> None:
        """Show what was chosen last, and note what a person chooses."""
        for name, box in (("recipe", self.recipe_box), ("samples", self.samples_box)):
            box.setCurrentText(str(remembered(name, box.currentText())))  # unknown: as it is
            box.textActivated.connect(partial(remember, name))
        self.epochs_box.setValue(int(remembered("epochs", self.epochs_box.value())))
        self.epochs_box.editingFinished.connect(lambda: remember("epochs", self.epochs_box.value()))

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        return self.process.running or self.thread.busy

    # -- what to learn from

    def add_pair(self) -> None:
        """Add the chosen image with the chosen labels."""
        image, labels = self.image_box.currentData(), self.labels_box.currentData()
        if image is None or labels is None:
            self._fail(DataError("Open an image and its labels first."))
            return
        try:
            self._pair(image, labels)
        except SurgisamError as error:
            self._fail(error)
            return
        self._add((image, labels), f"{image.name} with {labels.name}")

    def add_folder(self, folder: Path) -> None:
        """Add a folder of images with labels."""
        self._add(folder, str(folder))

    def remove(self) -> None:
        """Take the selected line out of the list."""
        row = self.data_list.currentRow()
        if row >= 0:
            self.data_list.takeItem(row)
            del self.data[row]
            self._renew()

    # -- training

    def run(self, *, check: bool = False) -> None:
        """Train, or only say what would be trained."""
        name = self.name_edit.text().strip() or "my-model"
        out = cache_folder() / "tuned" / f"{name}.safetensors"
        try:
            if out.exists() and not check:
                self._offer_name(name, out.parent)
                return
            out.parent.mkdir(parents=True, exist_ok=True)
            pairs = [self._pair(*item) for item in self.data if not isinstance(item, Path)]
        except OSError as error:
            self._fail(DataError(f"Cannot write {out.parent}: {error.strerror}."))
            return
        except SurgisamError as error:
            self._fail(error)
            return
        folders = [item for item in self.data if isinstance(item, Path)]
        self._folders.append(Path(tempfile.mkdtemp(prefix="surgisam-")))
        place = self._folders[-1] / "layers"

        def write() -> Generator[Event, None, None]:
            if pairs:
                write_pairs(pairs, place)
            yield Event(done=1, total=1)

        def started() -> None:
            if failed:
                self._on_end("")
                return
            data = [str(path) for path in ([place] if pairs else []) + folders]
            self.process.start([*data, *self._options(name, out, check=check)])
            self._renew()

        failed: list[SurgisamError] = []

        def fail(error: SurgisamError) -> None:
            failed.append(error)
            self._fail(error)

        self.tuned = ""
        self.plot.clear()
        self.pictures.hide()
        self.line.show_message(Message(""))
        self.progress.begin("Checking …" if check else "Starting …")
        self.thread.run(write(), on_error=fail, on_end=started)
        self._renew()

    def cancel(self) -> None:
        """Stop training; the best weights until then are kept."""
        self.progress.stopping()
        self.process.cancel()

    def _options(self, name: str, out: Path, *, check: bool) -> list[str]:
        values = {
            "--out": out,
            "--as": name,
            "--base": self.models.value(),
            "--recipe": self.recipe_box.currentText(),
            "--samples-per-class": self.samples_box.currentText(),
            "--epochs": self.epochs_box.value(),
            "--val-fraction": round(self.fraction_box.value(), 3),
        }
        flags = ["--merge-labels"] * self.merge_box.isChecked() + ["--check"] * check
        return [text for pair in values.items() for text in map(str, pair)] + flags

    def _on_event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind in ("planned", "checked"):
            self.plan_label.setText(plan_text(event["facts"]))
            self.plan_label.show()
        elif kind == "step":
            validation = event.get("validation") or {}
            self.plot.add(event["done"], event["loss"], validation.get("dsc"))
            done, total = event["done"], event["total"]
            self.progress.advance(f"step {done:,} of {total:,}", done, total)
        elif kind == "finished":
            self.tuned = event["name"]
            before, after = event["before"].get("dsc"), event["after"].get("dsc")
            gain, path = "", Path(event["path"])
            self.pictures.show_files(
                path.with_suffix(".before.jpg"), path.with_suffix(".after.jpg")
            )
            if before is not None and after is not None:
                gain = f" Validation DSC: {before:.3f} before, {after:.3f} now."
            self.line.show_message(Message(f"{self.tuned} is ready: choose it in Segment.{gain}"))

    def _on_end(self, failure: str) -> None:
        self.progress.end()
        _remove(self._folders)
        for widget in QApplication.allWidgets():
            if isinstance(widget, ModelChooser):
                widget.refresh()
        if failure:
            kept = " The best weights until then are in the list of models." * bool(
                self.plot.scores[1:]
            )
            self._fail(DataError(failure + kept))
        elif self.process.cancelled and not self.tuned:
            self.line.show_message(Message("Stopped. What was best until then is kept."))
        self._renew()

    def _fail(self, error: SurgisamError) -> None:
        self.line.show_message(Message(str(error), "error"))

    def _offer_name(self, name: str, folder: Path) -> None:
        """Say that a name is taken, and offer one that is not."""
        numbered = (f"{name}-{n}" for n in count(2))
        free = next(n for n in numbered if not (folder / f"{n}.safetensors").exists())

        def start() -> None:
            self.name_edit.setText(free)
            self.run()

        text = f"There is a tuned model “{name}” already: give another name."
        self.line.show_message(Message(text, "error", ((f"Start as “{free}”", start),)))

    # -- showing

    def _pair(self, image: Any, labels: Any) -> LabelledPair:
        grid = layer_grid(self.viewer, image)
        if tuple(labels.data.shape) != grid.shape:
            raise DataError(
                f"The labels {labels.name} have the shape {tuple(labels.data.shape)}, the image "
                f"{image.name} {grid.shape}: labels must lie on the image's own grid."
            )
        read = LayerLabels(labels.name, labels.data, grid)
        return LabelledPair(image.name, layer_frames(image, grid), read, class_table(labels))

    def _add(self, item: Path | tuple[Any, Any], text: str) -> None:
        if item not in self.data:
            self.data.append(item)
            self.data_list.addItem(text)
        self.line.show_message(Message(""))
        self._renew()

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "A folder of images with labels")
        if folder:
            self.add_folder(Path(folder))

    def _list_layers(self, event: Any = None) -> None:
        from napari.layers import Image, Labels

        for box, kind in ((self.image_box, Image), (self.labels_box, Labels)):
            chosen = box.currentData()
            layers = [layer for layer in self.viewer.layers if isinstance(layer, kind)]
            with QSignalBlocker(box):
                box.clear()
                for layer in layers:
                    box.addItem(layer.name, layer)
                if chosen in layers:
                    box.setCurrentIndex(layers.index(chosen))
        open_ones = list(self.viewer.layers)
        for row in reversed(range(len(self.data))):
            item = self.data[row]
            if not isinstance(item, Path) and not all(layer in open_ones for layer in item):
                del self.data[row]
                self.data_list.takeItem(row)
        self._renew()

    def _renew(self) -> None:
        reason = "Something is running." if self.busy else "" if self.data else START
        for button, tip in ((self.check_button, CHECK), (self.start_button, BEGIN)):
            button.setEnabled(not reason)
            button.setToolTip(reason or tip)
        if not self.data and not self.line.message.text:
            self.line.show_message(Message(START))


def plan_text(facts: dict[str, Any]) -> str:
    """Say in a few lines what will be trained, and what it takes."""
    split, classes = facts["split"], facts["classes"]
    many = ", ".join(f"{name}: {count}" for name, count in classes.items())
    lines = [
        f"{sum(classes.values())} samples of {len(classes)} classes ({many}) from "
        f"{len(split['training'])} images; {len(split['validation'])} examine.",
        f"{facts['trained_parameters'] / 1e6:.1f} of {facts['parameters'] / 1e6:.1f} million "
        "parameters are trained.",
    ]
    if "seconds_per_epoch" in facts:
        lines.append(
            f"About {facts['seconds_per_epoch']:.0f} s an epoch, without validation, and "
            f"{facts['bytes'] / 1e9:.1f} GB of memory."
        )
    return "\n".join(lines)


def _end(
    process: TuningProcess,
    thread: JobThread,
    disconnect: list[Callable[[], object]],
    folders: list[Path],
    *_: object,
) -> None:
    for undo in disconnect:
        undo()
    disconnect.clear()
    process.close()
    thread.close()
    _remove(folders)


def _remove(folders: list[Path]) -> None:
    while folders:
        shutil.rmtree(folders.pop(), ignore_errors=True)
