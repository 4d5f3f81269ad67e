"""Find a saved session's source again, and make sure that it is the same."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

import numpy as np

from napari_surgisam.data.frames import ArrayFrames, FrameSource
from napari_surgisam.data.windows import Window
from napari_surgisam.errors import DataError, SourceChangedError, SourceMovedError
from napari_surgisam.formats.session_state import SourceRecord
from napari_surgisam.formats.sources import open_source

SAMPLED = 16
"""Frames that are looked at to tell that two sources are the same."""


def describe_source(
    frames: FrameSource,
    path: str | Path | None,
    *,
    window: Window = "auto",
    channel: int | None = None,
    at: Mapping[int, int] | None = None,
) -> SourceRecord:
    """Return what a source is known by; frames of an array are sampled for it.

    Parameters
    ----------
    frames : FrameSource
    path : path or None
        Where it was read from; None for an image that is in memory only.
    window, channel, at
        As for `open_source`.

    Raises
    ------
    DataError
        If a frame cannot be read.
    """
    if isinstance(frames, ArrayFrames):
        window = frames.window or "auto"
    return SourceRecord(
        path="" if path is None else str(Path(path).absolute()),
        fingerprint=frames.fingerprint,
        pixels=_sampled_pixels(frames),
        length=len(frames),
        shape=(int(frames.shape[0]), int(frames.shape[1])),
        axis=frames.axis,
        window=window,
        channel=channel,
        at=MappingProxyType(dict(at or {})),
    )


def is_source(frames: FrameSource, record: SourceRecord) -> bool:
    """Whether frames are those that a session was made on."""
    if (len(frames), *frames.shape) != (record.length, *record.shape):
        return False
    if frames.fingerprint == record.fingerprint:
        return True
    return bool(record.pixels) and _sampled_pixels(frames) == record.pixels


def find_source(
    record: SourceRecord, folder: Path, source: str | Path | None = None
) -> tuple[FrameSource, Path]:
    """Open the source of a saved session, where it is now.

    Parameters
    ----------
    record : SourceRecord
    folder : Path
        The session's: a source that moved together with it is found.
    source : path, optional
        Where to look instead.

    Returns
    -------
    frames : FrameSource
    path : Path

    Raises
    ------
    SourceMovedError
        If it is not there any more.
    SourceChangedError
        If what is there is not what the masks were made on.
    DataError
        If it cannot be read.
    """
    name = Path(record.path).name
    if source is not None:
        places = [Path(source)]
    else:
        near = [folder.parent / record.relative, folder.parent / name] if record.relative else []
        places = list(dict.fromkeys(p.resolve() for p in (*near, Path(record.path)) if record.path))
    found = [place for place in places if place.exists()]
    if not found:
        raise SourceMovedError(_moved(record, folder, source), name)
    refused: DataError | None = None
    for place in found:
        try:
            frames = open_recorded(record, place)
        except DataError as error:  # of another kind, or without the axes that were chosen
            refused = error
            continue
        if is_source(frames, record):
            return frames, place
    why = f": {refused}" if refused is not None and len(found) == 1 else "."
    raise SourceChangedError(
        f"{found[0]} is not what {folder.name} was made on, {record.length} frames of "
        f"{record.shape[0]} x {record.shape[1]} pixels with other content{why} Its masks would not "
        "fit. Give the original (--source), or open the prompts alone on this one "
        "(--prompts-only).",
        str(found[0]),
    ) from refused


def open_recorded(record: SourceRecord, path: Path) -> FrameSource:
    """Open a file in the way that a session was made with; it need not be the same.

    Raises
    ------
    DataError
        As `open_source`.
    """
    return open_source(
        path, axis=record.axis, window=record.window, channel=record.channel, at=record.at
    )


def _moved(record: SourceRecord, folder: Path, source: str | Path | None) -> str:
    if source is not None:
        return f"{source} does not exist. Check the spelling and the folder."
    if not record.path:
        return (
            f"The image of {folder.name} was in memory and came from no file: open it in napari "
            "before the session, or give a file with the same frames (--source)."
        )
    return (
        f"The source of {folder.name}, {record.path}, is not there any more, nor "
        f"{Path(record.path).name} beside the session. Say where it is now (--source)."
    )


def _sampled_pixels(frames: FrameSource) -> str:
    """Return a digest of frames as they are read; empty where the fingerprint says as much."""
    if not isinstance(frames, ArrayFrames):
        return ""
    count = min(len(frames), SAMPLED)
    digest = blake2b(digest_size=16)
    for frame in sorted({round(f) for f in np.linspace(0, len(frames) - 1, count)}):
        digest.update(np.ascontiguousarray(frames.read(frame)).data)
    return digest.hexdigest()
