"""Labels as COCO's JSON: an image per frame, an annotation per frame and object."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.errors import DataError
from napari_surgisam.formats.folders import PictureFrames
from napari_surgisam.formats.labelled import Export, Labelled


def write_coco(path: Path, labelled: Labelled) -> None:
    """Write masks as compressed run lengths, with area and box.

    Categories are the classes of objects, under their labels. An object without a class is a
    category of its own, under its name and its id: above the highest label of a class, where any
    object has one. `track_id` is the object's id in any case. Image ids are frame numbers.

    Parameters
    ----------
    path : Path
    labelled : Labelled
    """
    from pycocotools.mask import encode

    frames = labelled.frames
    height, width = frames.shape
    with path.open("w", encoding="utf-8") as file:
        file.write('{"images": [')
        for frame in range(len(frames)):
            image = {
                "id": frame,
                "file_name": _file_name(frames, frame),
                "width": width,
                "height": height,
                "frame_index": frame,
            }
            file.write(f"{_comma(frame)}{json.dumps(image)}")
        file.write('],\n"annotations": [')
        categories: dict[int, str] = {}
        count = 0
        for frame, labels in labelled:
            for object_id in _present(labels):
                mask = np.asfortranarray(labels == object_id, np.uint8)
                runs: Any = encode(mask)
                rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                top, left = int(rows[0]), int(columns[0])
                annotation = {
                    "id": count + 1,
                    "image_id": frame,
                    "category_id": _category(labelled, object_id, categories),
                    "track_id": object_id,
                    "segmentation": {"size": [height, width], "counts": runs["counts"].decode()},
                    "area": int(mask.sum(dtype=np.int64)),
                    "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
                    "iscrowd": 0,
                }
                file.write(f"{_comma(count)}{json.dumps(annotation)}")
                count += 1
        listed = [{"id": k, "name": name} for k, name in sorted(categories.items())]
        file.write(f'],\n"categories": {json.dumps(listed, ensure_ascii=False)}}}\n')


def _category(labelled: Labelled, object_id: int, categories: dict[int, str]) -> int:
    """Return the category of an object, having entered it."""
    known = labelled.classes.get(object_id)
    if known is not None:
        number, name = known.label, known.name
    else:
        highest = max((c.label for c in labelled.classes.values()), default=0)
        number, name = highest + object_id, labelled.name(object_id)
    categories[number] = name
    return number


def _check(path: Path, frames: FrameSource) -> None:
    if find_spec("pycocotools") is None:
        raise DataError(
            f"{path} needs pycocotools, which is not installed: "
            "pip install 'napari-surgisam[coco]'."
        )


def _comma(count: int) -> str:
    return ",\n" if count else "\n"


def _present(labels: Any) -> list[int]:
    return [int(i) for i in np.unique(labels) if i]


def _file_name(frames: FrameSource, frame: int) -> str:
    """Return the picture's own name, or as the VOS layout names frames."""
    if isinstance(frames, PictureFrames):
        return frames.file_names[frame]
    return f"{frame:05d}.jpg"


COCO = Export(_check, write_coco)
