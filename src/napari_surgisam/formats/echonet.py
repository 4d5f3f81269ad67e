"""EchoNet-Dynamic: echocardiograms whose left ventricle is traced on two frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import Entry
from napari_surgisam.formats.sources import open_source
from napari_surgisam.formats.vos_clips import VosClip, VosFrame

LEFT_VENTRICLE = "left ventricle"
TRACINGS, VIDEOS = "VolumeTracings.csv", "Videos"
_COLUMNS = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")

Lines = NDArray[np.float64]


def read_echonet(source: Path) -> tuple[list[VosClip], dict[Entry, str]]:
    """Read EchoNet-Dynamic.

    ``Videos/*.avi`` with ``VolumeTracings.csv``: of each traced frame the long axis, then
    lines across the ventricle from (X1, Y1) to (X2, Y2). Their ends are its outline. Frames
    without a tracing get no labels.

    References
    ----------
    Ouyang et al., Video-based AI for beat-to-beat assessment of cardiac function, Nature 2020.
    """
    if not (source / VIDEOS).is_dir() or not (source / TRACINGS).is_file():
        raise DataError(
            f"{source} is not laid out like EchoNet-Dynamic: {VIDEOS}/ and {TRACINGS} are needed."
        )
    tracings = _read_tracings(source / TRACINGS)
    clips = []
    for name, by_frame in sorted(tracings.items()):
        path = source / VIDEOS / f"{name}.avi"
        if path.is_file():  # some tracings are of videos that were never published
            clips.append(_clip(path, by_frame))
    if not clips:
        raise DataError(f"None of the videos that {TRACINGS} names is in {source / VIDEOS}.")
    return clips, {("", 1): LEFT_VENTRICLE}


def outline_mask(lines: Lines, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill the outline that a tracing's lines describe.

    Parameters
    ----------
    lines : (N, 4) float array
        X1, Y1, X2, Y2; the first is the long axis, the others lie across it.
    shape : tuple of int

    Returns
    -------
    (H, W) bool array
    """
    across = lines[1:]
    x = np.concatenate([across[:, 0], across[::-1, 2]])
    y = np.concatenate([across[:, 1], across[::-1, 3]])
    mask = np.zeros(shape, np.bool_)
    mask[polygon(np.rint(y), np.rint(x), shape)] = True
    return mask


def _clip(path: Path, by_frame: dict[int, Lines]) -> VosClip:
    source = open_source(path)
    beyond = [frame for frame in by_frame if not 0 <= frame < len(source)]
    if beyond:
        raise DataError(f"{TRACINGS} traces frame {beyond[0]} of {path}, which has {len(source)}.")

    def frames() -> Iterator[VosFrame]:
        for frame in range(len(source)):
            lines = by_frame.get(frame)
            labels = None
            if lines is not None:
                labels = outline_mask(lines, source.shape).astype(np.uint8)
            yield VosFrame(source.read(frame), labels)

    return VosClip(path.stem, len(source), frames)


def _read_tracings(path: Path) -> dict[str, dict[int, Lines]]:
    rows: dict[str, dict[int, list[list[float]]]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            if not set(_COLUMNS) <= set(table.fieldnames or ()):
                raise DataError(f"{path} lacks one of the columns {', '.join(_COLUMNS)}.")
            for row in table:
                name = row["FileName"].removesuffix(".avi")
                line = [float(row[key]) for key in ("X1", "Y1", "X2", "Y2")]
                rows.setdefault(name, {}).setdefault(int(row["Frame"]), []).append(line)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return {
        name: {frame: np.array(lines) for frame, lines in frames.items()}
        for name, frames in rows.items()
    }
