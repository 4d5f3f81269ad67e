"""Our dock widgets beside each other in one window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

W = TypeVar("W", bound=QWidget)

PLUGIN = "napari-surgisam"


def open_dock(viewer: ViewerModel, name: str) -> QWidget:
    """Open a dock widget of ours by its name in the menu, or bring it to the front."""
    window: Any = viewer.window
    dock, widget = window.add_plugin_dock_widget(PLUGIN, name)
    dock.show()
    dock.raise_()
    inner: QWidget = widget
    return inner


def find_dock(viewer: ViewerModel, kind: type[W]) -> W | None:
    """Return the dock widget of a kind in the viewer's window, or None."""
    window: Any = getattr(viewer, "window", None)
    docked = () if window is None else window.dock_widgets.values()
    return next((widget for widget in docked if isinstance(widget, kind)), None)


def move_below(widget: QWidget) -> None:
    """Move the dock that a widget is in under the canvas, where it can be wide."""
    dock = _parent(widget, QDockWidget)
    window = None if dock is None else _parent(dock, QMainWindow)
    if window is not None:
        window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)


def share_place(widget: QWidget) -> None:
    """Let the dock of a widget be a tab beside another of ours, when it is first shown.

    One above the other, two of them are higher than most screens.
    """
    widget.installEventFilter(_FirstShow(widget))


class _FirstShow(QObject):
    """Waits until a widget is shown, and moves its dock then."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._join)

    def eventFilter(self, widget: QObject, event: QEvent) -> bool:
        """Take the dock to its place when Qt has shown it; pass everything on."""
        if event.type() == QEvent.Type.Show:
            widget.removeEventFilter(self)
            self._soon.start(0)  # not while Qt is showing it
        return False

    def _join(self) -> None:
        widget = self.parent()
        dock = _parent(widget, QDockWidget) if isinstance(widget, QWidget) else None
        window = None if dock is None else _parent(dock, QMainWindow)
        if dock is None or window is None or dock.isFloating():
            return
        for other in window.findChildren(QDockWidget):
            beside = window.dockWidgetArea(other) == window.dockWidgetArea(dock)
            if other is not dock and beside and other.isVisible() and PLUGIN in other.objectName():
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return


def _parent(widget: QWidget, kind: type[W]) -> W | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, kind):
        parent = parent.parentWidget()
    return parent
