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

    Each object is a category of its own, under its id and name; `track_id` is the id too, so
    that a person may merge categories and still know who is who. Image ids are frame numbers.

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
        seen: set[int] = set()
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
                    "category_id": object_id,
                    "track_id": object_id,
                    "segmentation": {"size": [height, width], "counts": runs["counts"].decode()},
                    "area": int(mask.sum(dtype=np.int64)),
                    "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
                    "iscrowd": 0,
                }
                file.write(f"{_comma(count)}{json.dumps(annotation)}")
                seen.add(object_id)
                count += 1
        categories = [{"id": k, "name": labelled.name(k)} for k in sorted(seen)]
        file.write(f'],\n"categories": {json.dumps(categories, ensure_ascii=False)}}}\n')


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
