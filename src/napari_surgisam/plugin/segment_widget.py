"""The dock widget *Segment*: click on an object, press Propagate, get its masks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSignalBlocker, Qt, QTimer

from napari_surgisam.errors import SurgisamError
from napari_surgisam.plugin.advanced_panel import Settings
from napari_surgisam.plugin.advice import why_not
from napari_surgisam.plugin.backstage import Backstage
from napari_surgisam.plugin.class_labelling import label_classes
from napari_surgisam.plugin.docks import open_dock
from napari_surgisam.plugin.grid import describe_frames
from napari_surgisam.plugin.guide import Guide
from napari_surgisam.plugin.keys import CanvasKeys
from napari_surgisam.plugin.layer_reading import labels_on, level_count, own_viewer, slider_axes
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.model_downloads import ModelDownloads
from napari_surgisam.plugin.object_desk import ObjectDesk
from napari_surgisam.plugin.opening import NO_IMAGE, Opener
from napari_surgisam.plugin.plan_widget import plan_for
from napari_surgisam.plugin.prompt_desk import PromptDesk
from napari_surgisam.plugin.remedies import remedies_for
from napari_surgisam.plugin.runner import JobThread
from napari_surgisam.plugin.segment_form import SegmentForm, offer
from napari_surgisam.plugin.session_desk import SessionDesk
from napari_surgisam.plugin.session_jobs import FramePainted, preview_propagation
from napari_surgisam.plugin.workbench import Workbench

if TYPE_CHECKING:
    import napari
    from napari.layers import Image
    from qtpy.QtGui import QShowEvent


class SegmentWidget(SegmentForm):
    """Segment objects in a video, a scan or a picture with a few clicks.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer = own_viewer(napari_viewer)
        self.bench: Workbench | None = None
        self._image: Image | None = None
        self._stage = Backstage()
        self.destroyed.connect(self._stage.close)
        self.opener = Opener(viewer, self)
        self.downloads = ModelDownloads(self._stage.download_thread)
        self.sessions = SessionDesk(self)
        self.prompt_desk = PromptDesk(self)
        self.guide = Guide(self)
        self.desk = ObjectDesk(self)
        self._keys: CanvasKeys | None = None
        self._soon = QTimer(self, singleShot=True)
        self._soon.timeout.connect(self._choose)
        self._connect()
        self._list_layers()
        self._soon.stop()
        self._choose()

    def _connect(self) -> None:
        layers = self.viewer.layers.events
        for event in (layers.inserted, layers.removed):
            event.connect(self._list_layers)
            self._stage.disconnect.append(partial(event.disconnect, self._list_layers))
        self.image_box.currentIndexChanged.connect(lambda _: self._choose())
        self.open_button.clicked.connect(lambda _=False: self.opener.browse())
        self.opener.failed.connect(self._fail)
        self.masks_box.currentIndexChanged.connect(lambda _: self._on_masks())
        self.models.value_changed.connect(lambda _: self._load())
        self.models.fetch_requested.connect(self.downloads.fetch)
        self.models.import_requested.connect(self.downloads.import_file)
        self.downloads.show_on(self.progress)
        self.downloads.arrived.connect(self._on_model)
        self.downloads.failed.connect(self._fail)
        self.models.failed.connect(self._fail)
        self.advanced.value_changed.connect(self._on_settings)
        self.advanced.here_requested.connect(self._reopen)
        self.table.selected.connect(lambda i: self._bench(Workbench.select, i))
        self.table.added.connect(lambda: self._bench(Workbench.add_object))
        self.table.renamed.connect(lambda i, name: self._bench(Workbench.rename, i, name))
        self.table.jumped.connect(lambda i: self._bench(Workbench.jump, i))
        self.plan.value_changed.connect(lambda _: self._renew())
        self.propagate_button.clicked.connect(lambda _=False: self.propagate())
        self.selected_button.clicked.connect(lambda _=False: self.propagate(only_selected=True))
        self.classes_button.clicked.connect(
            lambda _=False: self._bench(label_classes, self.plan.value().span)
        )
        self.progress.cancelled.connect(self.cancel)
        self.review_button.clicked.connect(lambda _=False: open_dock(self.viewer, "Review"))

    def showEvent(self, event: QShowEvent) -> None:
        """Take up the keys that napari does not know when the widget has found its window."""
        super().showEvent(event)
        if self._keys is None:
            keys = {
                Qt.Key.Key_Tab: lambda: self._bench(Workbench.next_object),
                Qt.Key.Key_Question: self.guide.toggle_help,
            }
            self._keys = CanvasKeys(self, keys, self._is_ours_active)

    def event(self, event: QEvent) -> bool:
        """End the work where the dock was closed: napari only takes its widget out."""
        if event.type() == QEvent.Type.ParentChange and self.parentWidget() is None:
            self.bench = None
            self._stage.close()
        return bool(super().event(event))

    @property
    def thread(self) -> JobThread:
        """The thread that computes."""
        return self._stage.thread

    @property
    def busy(self) -> bool:
        """Whether anything is being computed."""
        return self.thread.busy

    # -- image and masks

    def _list_layers(self, event: Any = None) -> None:
        """Offer the layers that there are; the image goes on, or the best other is chosen."""
        from napari.layers import Image

        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        for image in [i for i in self._stage.benches if i not in images]:
            self._drop(image)
        chosen = self.image_box.currentData()
        active = self.viewer.layers.selection.active
        if chosen not in images:
            chosen = active if active in images else images[-1] if images else None
        offer(self.image_box, [(image.name, image) for image in images], chosen)
        if chosen is not self._image:
            self._soon.start(0)  # not at once: a viewer that closes removes its layers one by one
        else:
            self._list_masks()

    def _list_masks(self) -> None:
        """Offer the Labels layers that fit the image."""
        bench, items = self.bench, []
        if bench is not None:
            fitting = labels_on(self.viewer, bench.grid)
            items = [*((layer.name, layer) for layer in fitting), ("new layer", None)]
        offer(self.masks_box, items, None if bench is None else bench.labels)

    def _choose(self) -> None:
        """Go on with the image that is chosen."""
        self._image = image = self.image_box.currentData()
        if self.bench is not None:
            self.bench.live.pause()
            self.bench = None
        self.progress.end()
        if image is None:
            self.axis_label.clear()
            self.plan.hide()
            self.sessions.show()
            self.line.show_message(self.sessions.hint(self.opener.hint()))
        elif image in self._stage.benches:
            self._take(self._stage.benches[image])
            self._stage.benches[image].resume()
        else:
            self.advanced.offer(slider_axes(self.viewer, image), level_count(image))
            self._open(image, None)
        self._list_masks()
        self._renew()

    def _open(self, image: Image, labels: Any, *, fresh: bool = False) -> None:
        """Set an image up: layers, objects, session."""
        try:
            self.sessions.prepare(image)
            value, thread, cache = self.advanced.value(), self._stage.thread, self._stage.cache
            bench = Workbench(self.viewer, image, labels, value, thread, cache, new_labels=fresh)
        except SurgisamError as error:
            self._fail(error)
            return
        self._stage.benches[image] = bench
        bench.message.connect(partial(self._on_message, bench))
        bench.rows_changed.connect(self._renew)
        bench.propagate_requested.connect(self.propagate)
        bench.here_requested.connect(self._reopen)
        bench.closed.connect(partial(self._on_closed, image))
        bench.live.opened.connect(partial(self._on_opened, bench))
        bench.live.failed.connect(self._fail)
        bench.live.progressed.connect(self._on_progress)
        bench.live.propagating.connect(self._on_propagating)
        bench.live.ready_changed.connect(self.show_ready)
        self._take(bench)
        self.sessions.attach(bench)
        self.prompt_desk.attach(bench)
        self._load()

    def _take(self, bench: Workbench) -> None:
        self.bench = bench
        self.models.show_device(bench.live.device)
        self.sessions.show()
        length = len(bench.grid)
        self.axis_label.setText(describe_frames(bench.image.axis_labels, bench.grid))
        self.plan.span.set_length(length)
        self.plan.setVisible(length > 1)
        bench.hint()

    def restart(self, image: Image) -> None:
        """Choose an image and set it up anew."""
        self._drop(image)
        with QSignalBlocker(self.image_box):
            self.image_box.setCurrentIndex(self.image_box.findData(image))
        self._choose()

    def _on_masks(self) -> None:
        labels = self.masks_box.currentData()
        self._reopen(labels, fresh=labels is None)

    def _reopen(self, labels: Any = None, *, fresh: bool = False) -> None:
        """Set the image up again: other masks, or other frames of it, are meant."""
        if self.bench is not None:
            image = self.bench.image
            self._drop(image)
            self._open(image, labels, fresh=fresh)
            self._list_masks()
            self._renew()

    def _on_closed(self, image: Image, why: str) -> None:
        """End the work on an image; nothing is added anew unless the person asks."""
        self._drop(image)
        if self.image_box.currentData() is image:
            self.line.show_message(Message(why, "note", (("Start again", self._choose),)))
        self._renew()

    def _drop(self, image: Image) -> None:
        bench = self._stage.benches.pop(image, None)
        if bench is not None:
            bench.close()
            if self.bench is bench:
                self.bench = None
                self.progress.end()

    # -- model

    def _load(self) -> None:
        if self.bench is not None:
            self.line.show_message(Message("Loading the model …"))
            self.models.show_device("")
            self.bench.live.open(self.models.value(), self.advanced.value())
            self._renew()

    def _on_opened(self, bench: Workbench) -> None:
        if bench is self.bench:
            self.models.show_device(bench.live.device)
        self._renew()

    def _on_settings(self, settings: Settings) -> None:
        bench = self.bench
        if bench is None:
            return
        frames = (bench.settings.axis, bench.settings.level)
        bench.settings = settings
        if frames != (settings.axis, settings.level):
            self._reopen()
        else:
            self._load()

    def _on_model(self, name: str) -> None:
        self.models.refresh()
        self.models.set_value(name)

    # -- propagating

    def propagate(self, *, only_selected: bool = False) -> None:
        """Carry the prompts through the frames of the plan."""
        why = self._why_not()
        if why:
            self.line.show_message(Message(why, "note"))
        elif self.bench is not None:
            plan = plan_for(self.plan.value(), self.bench.session)
            selected = self.bench.objects.selected if only_selected else None
            self.bench.propagate(plan, None if selected is None else [selected])

    def cancel(self) -> None:
        """Stop what runs; what it has done is kept."""
        if self.bench is not None and self.bench.live.is_propagating:
            self.progress.stopping()
            self.bench.live.cancel()
        else:
            self.downloads.cancel()

    def _on_propagating(self, running: bool) -> None:
        if running:
            self.progress.begin("Getting ready …")
        else:
            self.progress.end()
        self._renew()

    def _on_progress(self, event: FramePainted) -> None:
        what = f"{'frame' if self.bench is None else self.bench.unit} {event.frame:,}"
        self.progress.advance(what, event.done, event.total)

    def _why_not(self) -> str:
        """Say why Propagate is off; empty where it is on."""
        if self.bench is None:
            return NO_IMAGE if self._image is None else self.line.message.text
        return why_not(self.bench.session, propagating=self.bench.live.is_propagating)

    # -- showing

    def _renew(self) -> None:
        bench = self.bench
        session = None if bench is None else bench.session
        rows = [] if bench is None else bench.objects.rows(session)
        selected = None if bench is None else bench.objects.selected
        unit, plan = "" if bench is None else bench.unit, plan_for(self.plan.value(), session)
        self.show_objects(rows, selected, self._why_not(), preview_propagation(session, plan, unit))
        self.prompt_desk.show()
        classes = () if session is None else tuple(session.tracker.network.classes)
        self.classes_button.show_classes(classes, busy=bool(bench and bench.live.is_propagating))
        self.guide.look()

    def _on_message(self, bench: Workbench, message: Message) -> None:
        if bench is self.bench:
            self.line.show_message(message)

    def _fail(self, error: SurgisamError) -> None:
        helpful = remedies_for(error, self.models, self.advanced)
        self.line.show_message(Message(str(error), "error", helpful))

    def _is_ours_active(self) -> bool:
        active = self.viewer.layers.selection.active
        return self.bench is not None and active in self.bench.layers

    def _bench(self, action: Any, *arguments: Any) -> None:
        if self.bench is not None:
            action(self.bench, *arguments)
