"""What the table of objects asks for, done to the image that is worked on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog

from napari_surgisam.data.classes import ClassList
from napari_surgisam.errors import SurgisamError
from napari_surgisam.plugin.class_editor import ClassDialog
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.suggester import Suggester

if TYPE_CHECKING:
    from napari_surgisam.jobs import Event
    from napari_surgisam.plugin.object_editor import ObjectEditor
    from napari_surgisam.plugin.object_menu import Offer
    from napari_surgisam.plugin.segment_widget import SegmentWidget

LABEL_FILES = (
    "Labels (*.tif *.nii.gz *.nii *.nrrd *.mha *.zarr);;COCO masks (*.json);;"
    "Overlay movie (*.mp4);;Measurements (*.csv)"
)


class ObjectDesk(QObject):
    """Wires the menus of the table of objects.

    Parameters
    ----------
    widget : SegmentWidget
    """

    def __init__(self, widget: SegmentWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._known: WeakSet[ObjectEditor] = WeakSet()
        self.dialog: ClassDialog | None = None
        self.suggester = Suggester(widget)
        menu = widget.table.menu
        menu.offer = self._offer
        menu.classed.connect(lambda ids, name: self._edit(lambda e: e.set_class(ids, name)))
        menu.shown.connect(lambda ids, on: self._edit(lambda e: e.show(ids, on)))
        menu.locked.connect(lambda ids, on: self._edit(lambda e: e.lock(ids, on)))
        menu.merged.connect(lambda ids: self._edit(lambda e: e.merge(ids)))
        menu.split.connect(lambda object_id: self._edit(lambda e: e.split(object_id)))
        menu.split_here.connect(lambda object_id: self._edit(lambda e: e.split_here(object_id)))
        menu.deleted.connect(lambda ids: self._edit(lambda e: e.delete(ids)))
        menu.by_class_wanted.connect(lambda on: self._edit(lambda e: e.colour_by_class(on)))
        menu.classes_wanted.connect(self.edit_classes)
        menu.suggestions_wanted.connect(self.suggester.begin)
        menu.class_labels_wanted.connect(self._save_class_labels)
        widget.progress.cancelled.connect(lambda: self._edit(lambda e: e.cancel()))

    def edit_classes(self) -> None:
        """Open the list of classes."""
        if self._widget.bench is None:
            return
        classes, _ = self._offer()
        self.dialog = dialog = ClassDialog(classes, self._widget)
        dialog.finished_with.connect(
            lambda known, renamed: self._edit(lambda e: e.set_classes(known, renamed))
        )
        dialog.open()

    def save_class_labels(self, path: Path) -> None:
        """Write the masks layer with the labels of classes for values."""
        from napari_surgisam.plugin.exporting import export_layer

        bench = self._widget.bench
        if bench is None:
            return
        layer = bench.labels
        about = {
            "name": layer.name,
            "metadata": layer.metadata,
            "scale": layer.scale,
            "axis_labels": layer.axis_labels,
            "units": layer.units,
        }
        try:
            export_layer(str(path), layer.data, about, by_class=True)
        except SurgisamError as error:
            bench.message.emit(Message(str(error), "error"))
        else:
            bench.message.emit(Message(f"Labels by class are in {path}."))

    def _save_class_labels(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self._widget, "Save labels by class", "classes.tif", LABEL_FILES
        )
        if path:
            self.save_class_labels(Path(path))

    def _offer(self) -> Offer:
        bench = self._widget.bench
        if bench is None:
            return ClassList(), False
        return bench.objects.catalogue.classes, bench.objects.by_class

    def _edit(self, action: Callable[[ObjectEditor], Any]) -> None:
        bench = self._widget.bench
        if bench is None:
            return
        editor = bench.editor
        if editor not in self._known:
            self._known.add(editor)
            editor.working.connect(self._on_working)
            editor.progressed.connect(self._on_progress)
        action(editor)

    def _on_working(self, what: str) -> None:
        if what:
            self._widget.progress.begin(what)
        else:
            self._widget.progress.end()

    def _on_progress(self, event: Event) -> None:
        self._widget.progress.advance("frames", event.done, event.total)
