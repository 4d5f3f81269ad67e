"""Wait for something slow in the window's own thread, and let the window live meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def wait_for(work: Callable[[], T]) -> T:
    """Do some work in a thread of its own while the window goes on, and return its result.

    For what napari calls in the window's thread and wants an answer from at once, as it does
    from a reader. The window is drawn and other jobs report; clicks and keys wait, so that
    nobody can start what the answer would meet half done. Without a window, or in another
    thread, the work is just done.

    Parameters
    ----------
    work : callable
        It touches neither the window nor its layers; its errors are raised here.

    Returns
    -------
    Whatever `work` returns.
    """
    if "qtpy.QtCore" not in sys.modules:
        return work()
    from qtpy.QtCore import QEventLoop, QObject, Qt, QThread, Signal
    from qtpy.QtGui import QGuiApplication

    application = QGuiApplication.instance()
    if (
        not isinstance(application, QGuiApplication)
        or QThread.currentThread() != application.thread()
    ):
        return work()

    class Bell(QObject):
        rung = Signal()

    bell, loop = Bell(), QEventLoop()
    bell.rung.connect(loop.quit, Qt.ConnectionType.QueuedConnection)
    with ThreadPoolExecutor(1, thread_name_prefix="surgisam-waiting") as executor:
        future = executor.submit(work)
        future.add_done_callback(lambda _: bell.rung.emit())  # may ring before the loop runs
        application.setOverrideCursor(Qt.CursorShape.BusyCursor)
        try:
            loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
        finally:
            application.restoreOverrideCursor()
        return future.result()
