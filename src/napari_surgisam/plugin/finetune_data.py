"""Pairs of open layers as files that another process can learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile

from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import CLASS_TABLE, ClassTable, write_class_table
from napari_surgisam.plugin.evaluate_jobs import LayerLabels

if TYPE_CHECKING:
    from napari_surgisam.data.frames import FrameSource


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPair:
    """An image layer with the Labels layer that belongs to it.

    Parameters
    ----------
    name : str
    frames : FrameSource
        As the image is shown: its contrast limits are black and white.
    labels : LayerLabels
    classes : ClassTable
    """

    name: str
    frames: FrameSource
    labels: LayerLabels
    classes: ClassTable


def write_pairs(pairs: list[LabelledPair], folder: Path) -> None:
    """Write pairs as TIFF, in the layout of pairs by name.

    Parameters
    ----------
    pairs : list of LabelledPair
    folder : Path
        An empty one.

    Raises
    ------
    DataError
        If two pairs have one name, labels are no whole numbers, or the disk is full.
    """
    names = [pair.name for pair in pairs]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise DataError(f"Two images are named {double[0]}: rename one of the layers.")
    entries: dict[tuple[str, int], str] = {}
    try:
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True)
        for number, pair in enumerate(pairs, start=1):
            stem = f"{number:03d}_{_plain(pair.name)}"
            labels = pair.labels.read()
            single = len(pair.frames) == 1
            axis = "T" if pair.frames.temporal else "Z"
            images = np.stack([pair.frames.read(frame) for frame in range(len(pair.frames))])
            tifffile.imwrite(
                folder / "images" / f"{stem}.tif",
                images[0] if single else images,
                photometric="rgb",
                metadata={"axes": "YXS" if single else f"{axis}YXS"},
            )
            tifffile.imwrite(
                folder / "labels" / f"{stem}.tif",
                (labels[0] if single else labels).astype(np.uint16),
                photometric="minisblack",
                metadata={"axes": "YX" if single else f"{axis}YX"},
            )
            entries |= {(stem, label): name for (_, label), name in pair.classes.entries.items()}
        if entries:
            write_class_table(folder / CLASS_TABLE, ClassTable(entries))
    except OSError as error:
        raise DataError(f"Cannot write the layers into {folder}: {error.strerror}.") from error


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
