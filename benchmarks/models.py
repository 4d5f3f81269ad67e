"""The model under test, behind the same three verbs as the baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.engine.focus import choose_focus
from napari_surgisam.engine.models import load_network
from napari_surgisam.engine.plan import Plan
from napari_surgisam.engine.propagation import Propagation
from napari_surgisam.engine.session import Session
from napari_surgisam.engine.tracker import Tracker

Mask = NDArray[np.bool_]
OBJECT = ObjectId(1)


class EmbeddedModel:
    """A model of the package, driven through the session that the widget and shell use."""

    version = ""  # never cached: code and weights change

    def __init__(self, model: str, device: str = "auto", focus: str = "default") -> None:
        self.name = Path(model).stem + ("" if focus == "default" else f", focus {focus}")
        self.tracker = Tracker(load_network(model, device), focus=choose_focus(focus, model))

    def segment(self, frames: FrameSource, frame: int, points: tuple[Point, ...]) -> Mask:
        """Return the (H, W) mask of points that enter together."""
        session = Session(frames, self.tracker)
        session.set_prompt(Prompt(OBJECT, frame, points))
        session.segment(frame)
        return np.equal(session.labels(frame), OBJECT)

    def interact(self, frames: FrameSource, frame: int) -> Callable[[Point], Mask]:
        """Return a function that adds a click, which refines the mask that is shown."""
        session = Session(frames, self.tracker)

        def answer(point: Point) -> Mask:
            session.add_point(OBJECT, frame, point)
            session.segment(frame)
            return np.equal(session.labels(frame), OBJECT)

        return answer

    def track(self, frames: FrameSource, frame: int, points: tuple[Point, ...]) -> Mask:
        """Return the (T, H, W) masks, by the package's default plan for such a source."""
        session = Session(frames, self.tracker)
        for _ in self.propagate(session, frame, points):
            pass
        return self.masks(session)

    def session(self, frames: FrameSource) -> Session:
        """Return a session without prompts."""
        return Session(frames, self.tracker)

    def propagate(self, session: Session, frame: int, points: tuple[Point, ...]) -> Propagation:
        """Carry points that enter together through a source, by the package's default plan."""
        session.set_prompt(Prompt(OBJECT, frame, points))
        return session.propagate(Plan("first-n" if session.frames.temporal else "outward"))

    def masks(self, session: Session) -> Mask:
        """Return the (T, H, W) masks of a session."""
        frames = session.frames
        return np.stack([np.equal(session.labels(f), OBJECT) for f in range(len(frames))])
