"""How large objects are and where, as a table with units in its columns' names."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.formats.labelled import Export, Labelled

WHOLE = "all"
"""What the column `frame` says in the row of an object's whole volume."""

COLUMNS = (
    *("frame", "object_id", "name", "class_id", "class"),
    *("area_px", "area_mm2", "volume_voxels", "volume_mm3"),
    *("volume_ml", "centroid_z_px", "centroid_y_px", "centroid_x_px"),
    *("centroid_z_mm", "centroid_y_mm", "centroid_x_mm", "bbox_z0_px", "bbox_y0_px"),
    *("bbox_x0_px", "bbox_z1_px", "bbox_y1_px", "bbox_x1_px"),
)


@dataclass(slots=True)
class _Body:
    """What has been seen of one object of a volume."""

    voxels: int = 0
    moment: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    low: NDArray[np.int64] = field(default_factory=lambda: np.full(3, np.iinfo(np.int64).max))
    high: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, np.int64))

    def add(self, frame: int, area: int, centroid: Sequence[float], box: Sequence[int]) -> None:
        self.voxels += area
        self.moment += area * np.array([frame, *centroid])
        self.low = np.minimum(self.low, [frame, *box[:2]])
        self.high = np.maximum(self.high, [frame + 1, *box[2:]])


def write_measurements(path: Path, labelled: Labelled) -> None:
    """Write a row per frame and object, and for volumes one per object with its volume.

    Parameters
    ----------
    path : Path
    labelled : Labelled

    Notes
    -----
    Pixels count from the centre of the first, and z is the frame; millimetres are pixels times
    their size. Boxes end before y1, x1 and z1, as Python's slices. Where the size of a pixel
    is unknown, cells in mm stay empty. What an object covers on a frame is one region, in
    however many pieces. Cells of the class stay empty where an object has none.
    """
    spacing = labelled.frames.spacing
    volume = labelled.frames.ndim == 3 and not labelled.frames.temporal
    bodies: dict[int, _Body] = {}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        for frame, labels in labelled:
            for region in regionprops(labels.astype(np.int32, copy=False)):
                object_id, area = int(region.label), int(region.area)
                centroid = [float(c) for c in region.centroid]
                box = [int(edge) for edge in region.bbox]
                row: dict[str, Any] = {
                    "frame": frame,
                    "object_id": object_id,
                    **_who(labelled, object_id),
                    "area_px": area,
                    **_places("yx", centroid, box[:2], box[2:], spacing),
                }
                if spacing:
                    row["area_mm2"] = _number(area * spacing[1] * spacing[2])
                table.writerow(row)
                bodies.setdefault(object_id, _Body()).add(frame, area, centroid, box)
        for object_id, body in sorted(bodies.items()) if volume else ():
            row = {
                "frame": WHOLE,
                "object_id": object_id,
                **_who(labelled, object_id),
                "volume_voxels": body.voxels,
                **_places(
                    "zyx",
                    (body.moment / body.voxels).tolist(),
                    body.low.tolist(),
                    body.high.tolist(),
                    spacing,
                ),
            }
            if spacing:
                size = body.voxels * float(np.prod(spacing))
                row |= {"volume_mm3": _number(size), "volume_ml": _number(size / 1000)}
            table.writerow(row)


def _who(labelled: Labelled, object_id: int) -> dict[str, Any]:
    row: dict[str, Any] = {"name": labelled.name(object_id)}
    known = labelled.classes.get(object_id)
    return row if known is None else {**row, "class_id": known.label, "class": known.name}


def _places(
    axes: str,
    centroid: Sequence[float],
    low: Sequence[int],
    high: Sequence[int],
    spacing: tuple[float, float, float] | None,
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for axis, middle, first, last in zip(axes, centroid, low, high, strict=True):
        row[f"centroid_{axis}_px"] = _number(middle)
        row[f"bbox_{axis}0_px"], row[f"bbox_{axis}1_px"] = first, last
        if spacing:
            row[f"centroid_{axis}_mm"] = _number(middle * spacing["zyx".index(axis)])
    return row


def _number(value: float) -> str:
    return f"{value:.6g}"


def _check(path: Path, frames: FrameSource) -> None:
    """Nothing can be in the way."""


MEASUREMENTS = Export(_check, write_measurements)
