"""In which order frames are visited: decided before anything runs."""

from __future__ import annotations

from enum import IntEnum


class Direction(IntEnum):
    """Which way a pass runs along the frames."""

    FORWARD = 1
    BACKWARD = -1
