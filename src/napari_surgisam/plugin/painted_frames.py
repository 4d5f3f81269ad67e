"""What a person paints into the Labels layer: kept, and offered as prompts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_surgisam.plugin.live_session import LiveSession
from napari_surgisam.plugin.message_line import Message


class PaintedFrames(QObject):
    """Notices strokes of the brush, says so, and does what the person then chooses.

    Parameters
    ----------
    live : LiveSession
    unit : {"frame", "slice"}
    """

    stroked = Signal()
    adopted = Signal(object)  # ids of the objects whose labels are about to become prompts
    middle_wanted = Signal(int, object)  # frame and ids: clicks along the middle of the labels
    released = Signal()  # the model may write again where a person painted
    message = Signal(object)  # Message

    def __init__(self, live: LiveSession, unit: str) -> None:
        super().__init__()
        self._live, self._unit = live, unit
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self._on_stroke)
        live.blocked.connect(self._offer)
        live.writer.layer.events.paint.connect(self._on_paint)

    def use_shown(self) -> None:
        """Make the labels on the frame that is shown prompts of their objects."""
        frame = self._live.frame
        ids = [] if frame is None else np.unique(self._live.writer.read(frame)).tolist()
        ids = [i for i in ids if i]
        if frame is None or not ids:
            text = f"No labels on this {self._unit}: paint some, or go to one that has."
            self.message.emit(Message(text))
            return
        self._use(frame, ids)

    def close(self) -> None:
        """Stop listening."""
        self._settle.stop()
        self._live.writer.layer.events.paint.disconnect(self._on_paint)

    def _on_paint(self, event: Any = None) -> None:
        self._settle.start(0)  # napari may announce a stroke before it is in the data

    def _on_stroke(self) -> None:
        touched = self._live.writer.notice_stroke()
        if touched is not None:
            self.stroked.emit()
            self._offer(*touched)

    def _offer(self, frame: int, ids: Iterable[int]) -> None:
        ids = sorted(ids)
        text = (
            f"{self._unit.capitalize()} {frame} is painted by hand (object "
            f"{', '.join(map(str, ids))}) and stays as it is."
        )
        remedies = (
            ("Use as prompt", lambda: self._use(frame, ids)),
            ("Clicks along its middle", lambda: self.middle_wanted.emit(frame, ids)),
            ("Show the model's mask", lambda: self._release(frame)),
        )
        self.message.emit(Message(text, "note", remedies))

    def _use(self, frame: int, ids: list[int]) -> None:
        self.adopted.emit(ids)
        self._live.use_painted(frame, ids)
        text = f"The labels of {self._unit} {frame} are a prompt now: propagate carries them on."
        self.message.emit(Message(text))

    def _release(self, frame: int) -> None:
        self._live.overwrite_painted(frame)
        self.released.emit()
