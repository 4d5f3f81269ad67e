"""What must not happen while a window is used: errors that nobody caught, and what stays behind."""

import gc
import logging
import sys
import threading
import traceback
from collections import Counter

from napari.utils.notifications import NotificationSeverity, notification_manager
from qtpy.QtCore import QtMsgType, qInstallMessageHandler

from napari_surgisam.plugin.message_line import MessageLine

HARMLESS = (
    "propagateSizeHints",  # Xvfb has no window manager
    "XDG_RUNTIME_DIR",
)
LIBRARIES = ("asyncio", "zarr_io")
"""Threads that zarr, which napari reads with, starts once and keeps."""

REFUSALS = (
    "has negative points only",
    "there is nothing to split",
    "changed while it was being",  # merged or split, and undone meanwhile
)
"""Errors that a person may well meet who does things at random."""

OURS = ("Session", "Workbench", "LiveSession", "SessionKeeper", "SegmentWidget", "JobThread")


class Watch(logging.Handler):
    """Collects every error that is told to anybody while it is entered.

    Attributes
    ----------
    errors : list of str
        What was said and by whom: uncaught exceptions, Qt, napari, the log, and the widget.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.errors: list[str] = []

    def __enter__(self) -> "Watch":
        self._hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        sys.excepthook = lambda *about: self._on_exception("uncaught", *about)
        threading.excepthook = lambda about: self._on_exception("in a thread", *about[:3])
        sys.unraisablehook = lambda about: self._on_exception("unraisable", *about[:3])
        self._handler = qInstallMessageHandler(self._on_qt)
        notification_manager.notification_ready.connect(self._on_notification)
        logging.getLogger().addHandler(self)
        self._show = show = MessageLine.show_message

        def show_message(line: MessageLine, message: object) -> None:
            if message.kind == "error" and not any(word in message.text for word in REFUSALS):
                self.errors.append(f"widget: {message.text}")
            show(line, message)

        MessageLine.show_message = show_message
        return self

    def __exit__(self, *_: object) -> None:
        MessageLine.show_message = self._show
        logging.getLogger().removeHandler(self)
        notification_manager.notification_ready.disconnect(self._on_notification)
        qInstallMessageHandler(self._handler)
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._hooks

    def emit(self, record: logging.LogRecord) -> None:
        """Take up what is logged: warnings of ours, errors of everybody."""
        if record.levelno >= logging.ERROR or record.name.startswith("napari_surgisam"):
            self.errors.append(f"log: {record.name}: {self.format(record)}")

    def _on_exception(self, how, kind, value, trace) -> None:
        lines = traceback.format_exception(kind, value, trace)
        self.errors.append(f"{how}: {''.join(lines)}")

    def _on_qt(self, kind, context, text) -> None:
        grave = (QtMsgType.QtWarningMsg, QtMsgType.QtCriticalMsg, QtMsgType.QtFatalMsg)
        if kind in grave and not any(word in text for word in HARMLESS):
            self.errors.append(f"Qt: {text}")

    def _on_notification(self, notification) -> None:
        if notification.severity >= NotificationSeverity.ERROR:
            self.errors.append(f"napari: {notification.message}")


def alive(names: tuple[str, ...] = (*OURS, "Viewer", "QtViewer")) -> Counter[str]:
    """Count the objects of some classes that something still holds."""
    gc.collect()
    wanted = ("napari.", "napari_surgisam.")
    return Counter(
        kind.__name__
        for kind in map(type, gc.get_objects())
        if kind.__name__ in names and kind.__module__.startswith(wanted)
    )


def thread_names() -> Counter[str]:
    """Count Python's threads by name, without the numbers at the end of their names."""
    return Counter(thread.name.rstrip("0123456789_-") for thread in threading.enumerate())
