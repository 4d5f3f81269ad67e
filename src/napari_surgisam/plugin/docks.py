"""Our dock widgets beside each other in one window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from qtpy.QtCore import Qt
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


def _parent(widget: QWidget, kind: type[W]) -> W | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, kind):
        parent = parent.parentWidget()
    return parent
