"""Somebody at napari's window with two films, for tests that last.

Everything goes through the widgets, the layers and the canvas, as a person's hands do.
"""

import random
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import tifffile
from fakes import MovingDiscs
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest

from napari_surgisam.plugin import session_desk
from napari_surgisam.plugin.docks import find_dock
from napari_surgisam.plugin.review_widget import ReviewWidget
from napari_surgisam.plugin.timeline import Selection

LENGTH, SHAPE = 24, (48, 64)
LEVELS = {"one": (230, 140), "two": (200, 90)}  # grey levels of the discs of each film
MOST_OBJECTS = 6
PATIENCE = 60_000  # milliseconds
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
NAME_COLUMN = 1


def wait(milliseconds: int = 0) -> None:
    """Let the window live for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Let the window live until something holds."""
    for _ in range(PATIENCE // 5):
        if condition():
            return
        wait(5)
    raise AssertionError(f"In {PATIENCE // 1000} s it never came that {what}")


class Person:
    """Somebody with two films of moving discs.

    Parameters
    ----------
    folder : Path
        For the films and the saved sessions.
    new_viewer : callable
        Opens a window of napari.
    """

    def __init__(self, folder: Path, new_viewer: Callable[..., object]) -> None:
        self.folder, self._new_viewer = folder, new_viewer
        self.films = {}
        for name, levels in LEVELS.items():
            self.films[name] = film = MovingDiscs(LENGTH, levels, SHAPE)
            frames = np.stack([film.read(f)[..., 0] for f in range(LENGTH)])
            tifffile.imwrite(folder / f"{name}.tif", frames, imagej=True, metadata={"axes": "TYX"})
        self.viewer = self.widget = None
        self.open_window()

    # -- the window

    def open_window(self, session: Path | None = None) -> None:
        """Open a window with both films, or with a session and the other film."""
        self.viewer = self._new_viewer(show=True)
        self.viewer.window.resize(800, 600)
        if session is None:
            self._open_film("one")
            _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-surgisam", "Segment")
        else:
            self.viewer.open(str(session), plugin="napari-surgisam")
            wait_until(self._find_widget, "the session opened the widget")
        self.settle()
        self._open_film(next(n for n in self.films if n not in self.viewer.layers))
        self.settle()

    def close_window(self) -> None:
        """Close the window, and wait for what runs."""
        thread = self.widget.thread
        self.viewer.close()
        self.viewer = self.widget = None
        wait_until(lambda: not thread.busy, "the closed window's thread ended")
        wait(50)

    def settle(self) -> None:
        """Wait until the window has done all that it was asked."""
        wait(20)  # what layers announce is read when the event loop comes round
        wait_until(self.is_settled, "the window had nothing to do")
        wait()

    def is_settled(self) -> bool:
        """Whether the window has done all that it was asked."""
        widget = self.widget
        benches = widget._stage.benches.values()
        waiting = any(b.prompts._settle.isActive() or b.painted._settle.isActive() for b in benches)
        bench = widget.bench
        return not (waiting or widget.busy or bench is None or bench.session is None)

    def _find_widget(self) -> bool:
        docks = self.viewer.window._wrapped_dock_widgets.items()
        self.widget = next((d.inner_widget() for title, d in docks if "Segment" in title), None)
        return self.widget is not None

    def _open_film(self, name: str) -> None:
        path = self.folder / f"{name}.tif"
        self.viewer.open(str(path), plugin="napari", axis_labels=("time", "y", "x"), name=name)

    # -- what there is

    @property
    def bench(self):
        """The film that is worked on."""
        return self.widget.bench

    @property
    def keeper(self):
        """Who saves it."""
        return self.widget.sessions._keepers[self.bench]

    @property
    def running(self) -> bool:
        """Whether a propagation runs."""
        return self.bench is not None and self.bench.live.is_propagating

    def _place(self, y: float, x: float) -> QPoint:
        camera, canvas = self.viewer.scene.camera, self._canvas
        scale = camera.zoom / canvas.devicePixelRatioF()
        return QPoint(
            round(canvas.width() / 2 + (x - camera.center[-1]) * scale),
            round(canvas.height() / 2 + (y - camera.center[-2]) * scale),
        )

    @property
    def _canvas(self):
        return self.viewer.window._qt_viewer.canvas.native

    def _press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
        self._canvas.setFocus()
        QTest.keyClick(self._canvas, key, modifier)

    def _choose_object(self, dice: random.Random) -> int:
        """Click on a row of the table; return its object."""
        number, table = dice.randrange(99), self.widget.table
        number %= len(table.rows)
        item = table.table.item(number, NAME_COLUMN)
        table.table.scrollToItem(item)
        QTest.mouseClick(
            table.table.viewport(), LEFT, NONE, table.table.visualItemRect(item).center()
        )
        return table.rows[number].object_id

    def _go(self, dice: random.Random, object_id: int) -> tuple[int, float, float]:
        """Move the slider; return frame, y and x of an object's disc there."""
        frame, levels = dice.randrange(LENGTH), LEVELS[self.bench.image.name]
        self.viewer.dims.set_current_step(0, frame)
        film = self.films[self.bench.image.name]
        return (frame, *film.centre(levels[object_id % len(levels)], frame))

    # -- what a person does

    def click(self, dice: random.Random) -> None:
        """Click on or, with Alt, beside a disc."""
        _, y, x = self._go(dice, self._choose_object(dice))
        self.viewer.layers.selection.active = self.bench.prompts.points
        self.viewer.reset_view()
        wait()
        modifier = Qt.KeyboardModifier.AltModifier if dice.random() < 0.2 else NONE
        where = self._place(y + dice.uniform(-4, 4), x + dice.uniform(-4, 4))
        QTest.mouseMove(self._canvas, where)
        QTest.mouseClick(self._canvas, LEFT, modifier, where)

    def draw_box(self, dice: random.Random) -> None:
        """Draw a rectangle around a disc."""
        frame, y, x = self._go(dice, self._choose_object(dice))
        self.widget.table.menu.box_wanted.emit()
        wait()
        high, wide = dice.uniform(6, 10), dice.uniform(6, 8)
        corners = [(y - high, x - wide), (y - high, x + wide), (y + high, x + wide)]
        corners.append((y + high, x - wide))
        self.bench.prompts.shapes.add_rectangles(np.array([(frame, *at) for at in corners]))
        wait()
        self._press(Qt.Key.Key_Escape)

    def paint(self, dice: random.Random) -> None:
        """Paint with the brush of an object."""
        frame, y, x = self._go(dice, self._choose_object(dice))
        wait()
        labels = self.bench.labels
        self.viewer.layers.selection.active = labels
        labels.brush_size = dice.randrange(3, 12)
        labels.paint((frame, y + dice.uniform(-9, 9), x), labels.selected_label)

    def propagate(self, dice: random.Random) -> None:
        """Press Propagate, or the button for one object."""
        chosen = dice.random() < 0.2
        if chosen:
            self._choose_object(dice)
        button = self.widget.selected_button if chosen else self.widget.propagate_button
        QTest.mouseClick(button, LEFT)

    def cancel(self, dice: random.Random) -> None:
        """Press Cancel, or Escape on a layer of ours."""
        if dice.random() < 0.5:
            QTest.mouseClick(self.widget.progress._cancel, LEFT)
        else:
            self._press(Qt.Key.Key_Escape)

    def undo(self, dice: random.Random) -> None:
        """Press Ctrl+Z once, or a few times."""
        for _ in range(dice.choice((1, 1, 1, 2, 5))):
            self._press(Qt.Key.Key_Z, CONTROL)

    def redo(self, dice: random.Random) -> None:
        """Press Ctrl+Shift+Z once, or a few times."""
        for _ in range(dice.choice((1, 1, 2, 5))):
            self._press(Qt.Key.Key_Z, CONTROL | SHIFT)

    def switch_layer(self, dice: random.Random) -> None:
        """Go on with the other film, or make any layer the active one."""
        if dice.random() < 0.5:
            box = self.widget.image_box
            box.setCurrentIndex((box.currentIndex() + 1) % box.count())
        else:
            layers = self.viewer.layers
            layers.selection.active = layers[dice.randrange(99) % len(layers)]

    def add_object(self, dice: random.Random) -> None:
        """Press + above the table, while there are few."""
        if len(self.widget.table.rows) < MOST_OBJECTS:
            QTest.mouseClick(self.widget.table.add_button, LEFT)

    def delete_object(self, dice: random.Random) -> None:
        """Press − above the table."""
        self._choose_object(dice)
        QTest.mouseClick(self.widget.table.delete_button, LEFT)

    def rename(self, dice: random.Random) -> None:
        """Write another name into the table."""
        number = dice.randrange(99) % len(self.widget.table.rows)
        self.widget.table.table.item(number, NAME_COLUMN).setText(f"disc {dice.randrange(99)}")

    def hide(self, dice: random.Random) -> None:
        """Tick or untick an object."""
        number = dice.randrange(99) % len(self.widget.table.rows)
        item = self.widget.table.table.item(number, 0)
        on = item.checkState() == Qt.CheckState.Checked
        item.setCheckState(Qt.CheckState.Unchecked if on else Qt.CheckState.Checked)

    def move_click(self, dice: random.Random) -> None:
        """Move a click with napari's own tool, or delete it."""
        points, number = self.bench.prompts.points, dice.randrange(99)
        move, by = dice.random() < 0.5, dice.uniform(-2, 2)
        if not len(points.data):
            return
        number %= len(points.data)
        self.viewer.layers.selection.active = points
        if move:
            data = points.data.copy()
            data[number, 1:] += by
            points.data = data
        else:
            points.selected_data = {number}
            points.remove_selected()

    def review(self, dice: random.Random) -> None:
        """Select a span of an object in Review, and press one of the buttons."""
        QTest.mouseClick(self.widget.review_button, LEFT)
        review, number, start = (
            find_dock(self.viewer, ReviewWidget),
            dice.randrange(99),
            dice.randrange(LENGTH),
        )
        frames = range(start, min(start + dice.randrange(1, 9), LENGTH))
        review.look()
        if not (known := review.timeline.object_ids):
            return
        review.timeline.select(Selection((known[number % len(known)],), frames))
        buttons = review.accept_button, review.reopen_button, review.clear_button
        QTest.mouseClick(dice.choice((*buttons, review.again_button)), LEFT)

    def merge_or_split(self, dice: random.Random) -> None:
        """Merge two objects, or split one, by the table's menu, where they have masks."""
        split, here, object_id = dice.random() < 0.6, dice.random() < 0.5, self._choose_object(dice)
        menu, known = self.widget.table.menu, self.bench.session.masklets
        ids = [object_id, *(i for i in known if i != object_id)][:2]
        if split and object_id in known and len(self.widget.table.rows) < MOST_OBJECTS:
            (menu.split_here if here else menu.split).emit(object_id)
        elif not split and len(ids) == 2 and object_id in known:
            menu.merged.emit(tuple(ids))

    def save(self, dice: random.Random) -> None:
        """Save, now and then under another name."""
        path = self.folder / f"{self.bench.image.name}-{dice.randrange(2)}.surgisam"
        row = self.widget.session_row
        with patch.object(session_desk, "ask_for_name", lambda *_: path):
            if dice.random() < 0.3:
                row.save_as.trigger()
            else:
                QTest.mouseClick(row.save_button, LEFT)

    def reopen(self) -> None:
        """Let the saved film go and open its session again."""
        path = self.keeper.path
        self._take_layers_away()
        with patch.object(session_desk, "ask_for_session", lambda *_: path):
            self.widget.session_row.open_wanted.emit()
        wait_until(lambda: self.bench and self.keeper.path == path, "the session was opened")

    def reopen_in_new_window(self) -> None:
        """Close the window, and open the saved session in another."""
        path = self.keeper.path
        self.close_window()
        self.open_window(path)

    def _take_layers_away(self) -> None:
        image, layers = self.bench.image, self.bench.layers
        box = self.widget.image_box  # Mesa 22.3 crashes where an image alone is left to be drawn
        box.setCurrentIndex((box.currentIndex() + 1) % box.count())
        self.settle()
        for layer in (*layers, image):
            self.viewer.layers.remove(layer)
        wait_until(lambda: image not in self.widget._stage.benches, "the film was let go")
        self.settle()
