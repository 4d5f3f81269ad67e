"""Saving, opening and resuming of sessions, as the dock widget *Segment* offers them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_surgisam.errors import SurgisamError
from napari_surgisam.formats.open_sessions import OpenSessions, sessions_folder
from napari_surgisam.formats.session_folder import ENDING
from napari_surgisam.plugin.message_line import Message
from napari_surgisam.plugin.session_dialogs import ask_for_name, ask_for_session
from napari_surgisam.plugin.session_keeping import SessionKeeper
from napari_surgisam.plugin.session_opening import SESSION, OpenedSession
from napari_surgisam.plugin.session_restoring import restored_plan

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_surgisam.plugin.segment_widget import SegmentWidget
    from napari_surgisam.plugin.workbench import Workbench

PLUGIN = "napari-surgisam"


class SessionDesk(QObject):
    """What the row *Session* of the widget does.

    Parameters
    ----------
    widget : SegmentWidget
    """

    def __init__(self, widget: SegmentWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        self._keepers: dict[Workbench, SessionKeeper] = {}
        self._notes = OpenSessions(sessions_folder().absolute())
        self._row = row = widget.session_row
        row.save_wanted.connect(self.save)
        row.save_as_wanted.connect(self.save_as)
        row.open_wanted.connect(self.browse)
        row.resume_wanted.connect(self.resume_last)
        widget.plan.value_changed.connect(lambda _: self._keep_plan())
        self._interrupted = self._notes.interrupted()
        row.offer_resuming(bool(self._interrupted))
        prefer_our_reader()

    # -- what the widget tells

    def prepare(self, image: Image) -> None:
        """Choose what an opened session was made with, before its image is set up."""
        opened = image.metadata.get(SESSION)
        if not isinstance(opened, OpenedSession):
            return
        model, widget = opened.state.model, self._widget
        widget.models.blockSignals(True)
        widget.models.set_value(model.name)
        widget.models.blockSignals(False)
        settings = replace(
            widget.advanced.value(),
            axis=opened.state.view.get("axis"),
            level=opened.state.view.get("level", 0),
            window="shown",
            image_size=model.image_size,
            focus=model.focus,
            policy=model.policy,
            max_conditioning=model.max_conditioning or widget.advanced.value().max_conditioning,
        )
        widget.advanced.blockSignals(True)
        widget.advanced.set_value(settings)
        widget.advanced.blockSignals(False)

    def attach(self, bench: Workbench) -> None:
        """Keep the work on an image."""
        opened = bench.live.restored
        plan = None if opened is None else restored_plan(opened)
        if plan is not None:
            self._widget.plan.set_value(plan)
        keeper = SessionKeeper(bench, self._notes, self._widget.plan.value(), opened)
        self._keepers[bench] = keeper
        bench.closing.connect(keeper.close)
        bench.closing.connect(lambda: self._keepers.pop(bench, None))
        bench.live.opened.connect(self.show)
        keeper.saved.connect(self.show)
        keeper.failed.connect(self._on_failed)
        if opened is not None:
            self._show_opened(bench, opened)
        self.show()

    def show(self) -> None:
        """Show the name of the session that is worked on."""
        keeper = self._keeper()
        if keeper is None:
            self._row.show_name("", "", possible=False)
        else:
            self._row.show_name(keeper.name, "" if keeper.path is None else str(keeper.path))

    def hint(self, message: Message) -> Message:
        """Add to a message that there is something to resume."""
        if not self._interrupted:
            return message
        text = f"“{_word(self._interrupted[0])}” was not closed properly. {message.text}"
        remedy = ("Resume last session", self.resume_last)
        return Message(text, "note", (remedy, *message.remedies))

    def take(self, image: Image) -> None:
        """Go on with the session that an image has in its metadata."""
        self._widget.restart(image)

    # -- what the person asks

    def save(self) -> None:
        """Save under the name that there is, else ask for one."""
        keeper = self._keeper()
        if keeper is None:
            return
        if keeper.path is None:
            self.save_as()
            return
        try:
            keeper.save()
        except SurgisamError as error:
            self._on_failed(error)
        else:
            self._say(f"Saved as {keeper.name}.")

    def save_as(self) -> None:
        """Ask for a name and save."""
        keeper, bench = self._keeper(), self._widget.bench
        if keeper is None or bench is None or bench.session is None:
            self._say("There is nothing to save yet.")
            return
        path = ask_for_name(self._widget, keeper.name or bench.image.name)
        if path is None:
            return
        try:
            keeper.save_as(path)
        except SurgisamError as error:
            self._on_failed(error)
        else:
            self._say(f"Saved as {keeper.name}. From now on it saves itself there.")

    def browse(self) -> None:
        """Ask for a session and open it."""
        path = ask_for_session(self._widget)
        if path is not None:
            self.open(path)

    def resume_last(self) -> None:
        """Open the latest session that was not closed properly."""
        self._interrupted = self._notes.interrupted()
        self._row.offer_resuming(bool(self._interrupted))
        if self._interrupted:
            self.open(self._interrupted[0])

    def open(self, path: Path) -> None:
        """Open a session, as a drop on the window does."""
        from napari.errors import ReaderPluginError

        try:
            self._widget.viewer.open(str(path), plugin=PLUGIN)
        except SurgisamError as error:
            self._on_failed(error)
        except (ReaderPluginError, OSError, ValueError) as error:
            original = getattr(error, "original_error", None) or error
            self._widget.line.show_message(Message(str(original), "error"))

    # -- steps

    def _keeper(self) -> SessionKeeper | None:
        bench = self._widget.bench
        return None if bench is None else self._keepers.get(bench)

    def _show_opened(self, bench: Workbench, opened: OpenedSession) -> None:
        path, model = opened.folder.path, opened.state.model.name
        if path in self._interrupted:
            self._interrupted.remove(path)
            self._row.offer_resuming(bool(self._interrupted))

        def say() -> None:
            bench.live.opened.disconnect(say)
            made_by = opened.state.model.sha256
            if made_by and bench.live.sha256 != made_by:
                self._note(
                    f"{path.name} was made with another file of the model {model}, or that is not "
                    "here. Its masks are shown and out of date; the session stays as it is."
                )
            elif not opened.whole:
                self._note(
                    f"The prompts of {path.name} are a new session; it stays as it is. Press "
                    "Propagate."
                )
            elif not opened.folder.writable:
                self._note(f"{path.name} is read-only: save what you do under another name.")

        bench.live.opened.connect(say)

    def _note(self, text: str) -> None:
        self._widget.line.show_message(Message(text, "note"))

    def _keep_plan(self) -> None:
        keeper = self._keeper()
        if keeper is not None:
            keeper.set_plan(self._widget.plan.value())

    def _on_failed(self, error: SurgisamError) -> None:
        self._widget.line.show_message(
            Message(str(error), "error", (("Save session as…", self.save_as),))
        )

    def _say(self, text: str) -> None:
        self._widget.line.show_message(Message(text))


def prefer_our_reader() -> None:
    """Let napari open sessions without asking by which reader, unless the person chose one."""
    from napari.settings import get_settings

    plugins = get_settings().plugins
    pattern = f"*{ENDING}/"
    if pattern not in plugins.extension2reader:
        plugins.extension2reader = {**plugins.extension2reader, pattern: PLUGIN}


def _word(path: Path) -> str:
    """Return what a person calls a session: without the token of one that has no name."""
    stem, dash, token = path.stem.rpartition("-")
    return stem if dash and len(token) == 8 and path.parent == sessions_folder() else path.stem
