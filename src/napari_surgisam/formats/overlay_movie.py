"""A movie of the labels over their frames, for talks and for a quick check."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.overlays import overlay
from napari_surgisam.errors import DataError
from napari_surgisam.formats.labelled import Export, Labelled

MOVIE_RATE, VOLUME_RATE = 25, 10
"""Frames a second where the source does not say."""

_ENCODERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"crf": "18"}),
    ("libopenh264", {}),
    ("mpeg4", {"qscale": "3"}),
)


def write_overlay_movie(path: Path, labelled: Labelled) -> None:
    """Write an MP4: H.264 where this PyAV can encode it, else MPEG-4.

    Frames come as fast as the source's, and objects in the colours of their classes. A last row or
    column is repeated where a side is odd, which these codecs cannot store.

    Parameters
    ----------
    path : Path
    labelled : Labelled
    """
    frames = labelled.frames
    height, width = frames.shape
    colours = {k: known.colour for k, known in labelled.classes.items()}
    name, options = _encoder()
    try:
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as file:
            stream: Any = file.add_stream(name, rate=_rate(frames), options=options)
            stream.height, stream.width = height + height % 2, width + width % 2
            stream.pix_fmt = "yuv420p"
            for frame, labels in labelled:
                picture = overlay(frames.read(frame), labels, colours)
                picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
    except av.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _rate(frames: FrameSource) -> Fraction:
    seconds = getattr(frames, "frame_seconds", None)
    if seconds:
        return Fraction(1 / seconds).limit_denominator(1001)
    return Fraction(MOVIE_RATE if frames.temporal else VOLUME_RATE)


def _encoder() -> tuple[str, dict[str, str]]:
    for name, options in _ENCODERS:
        if name in av.codecs_available:
            return name, dict(options)
    raise DataError(
        "This PyAV can encode neither H.264 nor MPEG-4: install PyAV from PyPI (pip install av)."
    )


def _check(path: Path, frames: FrameSource) -> None:
    _encoder()


OVERLAY_MOVIE = Export(_check, write_overlay_movie)
