"""The keys that work while one of our layers is active; napari's own stay elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QMainWindow, QOpenGLWidget, QWidget

KEYS: tuple[tuple[str, str, str], ...] = (
    ("Tab", "next_object", "next object"),
    ("A", "add_object", "add an object"),
    ("T", "toggle_polarity", "switch “this” and “not this” (or hold Alt)"),
    ("B", "draw_box", "draw a box around the object"),
    ("L", "scribble", "draw a line along the object: it becomes clicks"),
    ("O", "lasso", "draw around the object freely: it becomes a mask, or clicks"),
    ("U", "use_drawing", "use what is drawn on the frame: lines as clicks, areas as a mask"),
    ("C", "copy_prompt", "copy the object's prompt from the nearest prompted frame to this one"),
    ("F", "find_again", "find the object again: search the frames that follow for its look"),
    ("Y", "confirm", "confirm the place that the search proposes: it becomes a click"),
    ("S", "next_mask_size", "another size of mask for a single click: auto, small, medium, large"),
    ("P", "propagate", "propagate"),
    ("Escape", "escape", "stop, keeping what is done; end drawing boxes"),
    ("N", "next_doubtful", "next doubtful frame, the worst first"),
    ("Control-Z", "undo", "undo the last click, stroke or propagation"),
    ("Control-Shift-Z", "redo", "redo"),
    ("?", "help", "show or hide this help"),
)
"""Key, action, and what the action does in words."""

UNNAMED = ("?",)
"""Keys that napari has no name for; `CanvasKeys` takes them."""

Action = Callable[[], object]


def bind_keys(layers: Iterable[Any], actions: Mapping[str, Action]) -> None:
    """Bind the actions to their keys on some layers, in place of what they meant there."""
    for layer in layers:
        for key, name, _ in KEYS:
            if key not in UNNAMED:
                layer.bind_key(key, _ignoring_layer(actions[name]), overwrite=True)


def unbind_keys(layers: Iterable[Any]) -> None:
    """Give the keys of some layers back."""
    for layer in layers:
        for key, _, _ in KEYS:
            if key not in UNNAMED:
                layer.bind_key(key, None, overwrite=True)


class CanvasKeys(QObject):
    """Gives keys on the canvas to us that napari never sees, or has no name for.

    With Tab, Qt would move the focus before napari saw it.

    Parameters
    ----------
    widget : QWidget
        A dock widget of the window whose canvas is meant.
    actions : mapping of Qt.Key to callable
    wanted : callable
        Whether the keys are ours at the moment.
    """

    def __init__(
        self, widget: QWidget, actions: Mapping[Qt.Key, Action], wanted: Callable[[], bool]
    ) -> None:
        super().__init__(widget)
        self._actions, self._wanted = dict(actions), wanted
        window = widget.parentWidget()
        while window is not None and not isinstance(window, QMainWindow):
            window = window.parentWidget()
        central = None if window is None else window.centralWidget()
        for canvas in [] if central is None else central.findChildren(QOpenGLWidget):
            canvas.installEventFilter(self)

    def eventFilter(self, canvas: QObject, event: QEvent) -> bool:
        """Take a key of ours, or let it pass."""
        if event.type() != QEvent.Type.KeyPress:
            return False
        action = self._actions.get(event.key())
        if action is None or not self._wanted():
            return False
        action()
        return True


def written(key: str) -> str:
    """Return a key as it is written on a keyboard: napari's "Control-Z" is "Ctrl+Z"."""
    return key.replace("Control", "Ctrl").replace("Escape", "Esc").replace("-", "+")


def help_text() -> str:
    """Return the keys and what they do, as HTML."""
    rows = "".join(
        f"<tr><td><b>{written(key)}</b></td><td>&nbsp;{what}</td></tr>" for key, _, what in KEYS
    )
    return f"While a layer of clicks, boxes or masks is active:<table>{rows}</table>"


def _ignoring_layer(action: Action) -> Callable[[Any], None]:
    def pressed(_layer: Any) -> None:
        action()

    return pressed
