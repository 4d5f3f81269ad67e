"""Public datasets, from their own layouts to the VOS layout, each a job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import CLASS_TABLE, ClassTable, Entry, write_class_table
from napari_surgisam.formats.echonet import read_echonet
from napari_surgisam.formats.folders import picture_files, read_picture, write_palette_png
from napari_surgisam.formats.vos_clips import VosClip, VosFrame
from napari_surgisam.jobs import Event, Job

JPEG_QUALITY = 95

ENDOVIS17_TYPES = (
    "Bipolar Forceps",
    "Prograsp Forceps",
    "Large Needle Driver",
    "Vessel Sealer",
    "Grasping Retractor",
    "Monopolar Curved Scissors",
    "Other",
)
"""The challenge's types in its order, so that a type's number is its place, from 1."""

CHOLECSEG8K_CLASSES: Mapping[int, str] = MappingProxyType(
    {
        0x11: "abdominal wall",
        0x21: "liver",
        0x13: "gastrointestinal tract",
        0x12: "fat",
        0x31: "grasper",
        0x23: "connective tissue",
        0x24: "blood",
        0x25: "cystic duct",
        0x32: "L-hook electrocautery",
        0x22: "gallbladder",
        0x33: "hepatic vein",
        0x05: "liver ligament",
    }
)
"""Grey values of the watershed masks, in the order of the dataset's class numbers, from 1."""

_TYPE_MASKS = "TypeSegmentation"
_TASK_MASKS = (_TYPE_MASKS, "BinarySegmentation", "PartsSegmentation")


def convert(dataset: str, source: Path, target: Path) -> Job:
    """Write a dataset in the VOS layout, with its table of classes.

    Parameters
    ----------
    dataset : {"endovis17", "endovis18", "cholecseg8k", "echonet"}
    source : Path
        The folder that the dataset was unpacked to.
    target : Path
        A folder that does not exist, or is empty.

    Yields
    ------
    Event
        After each frame.

    Raises
    ------
    DataError
        If there is no such dataset, the source is not laid out like it, or the target cannot
        be written.
    """
    if dataset not in CONVERSIONS:
        raise DataError(
            f"The dataset {dataset!r} is unknown: choose one of {', '.join(CONVERSIONS)}."
        )
    if not source.is_dir():
        raise DataError(f"The folder {source} does not exist.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} exists already and was left alone: choose another folder.")
    clips, names = CONVERSIONS[dataset](source)
    total, done = sum(len(clip) for clip in clips), 0
    try:
        for clip in clips:
            images, labels = (target / kind / clip.name for kind in ("JPEGImages", "Annotations"))
            images.mkdir(parents=True, exist_ok=True)
            labels.mkdir(parents=True, exist_ok=True)
            for number, frame in enumerate(clip.frames()):
                picture = Image.fromarray(frame.image).convert("RGB")
                picture.save(images / f"{number:05d}.jpg", quality=JPEG_QUALITY, subsampling=0)
                if frame.labels is not None:
                    write_palette_png(labels / f"{number:05d}.png", frame.labels)
                done += 1
                yield Event(done=done, total=total)
        write_class_table(target / CLASS_TABLE, ClassTable(MappingProxyType(names)))
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error}.") from error


def read_endovis17(source: Path) -> tuple[list[VosClip], dict[Entry, str]]:
    """Read the 2017 Robotic Instrument Segmentation Challenge.

    ``instrument_dataset_N/left_frames/frame000.png`` with
    ``ground_truth/<side>_<instrument>_labels/frame000.png``, a folder per instrument: each
    becomes an object. Where there is only ``TypeSegmentation``, as in the truth of the test
    set, the types are the objects.

    References
    ----------
    Allan et al., arXiv:1902.06426.
    """
    clips: list[VosClip] = []
    names: dict[Entry, str] = {}
    for frames in _folders_named(source, "left_frames", "instrument_dataset_1/left_frames"):
        name, truth = frames.parent.name, frames.parent / "ground_truth"
        if not truth.is_dir():
            raise DataError(f"{frames.parent} has no folder ground_truth.")
        instruments = sorted(
            folder
            for folder in truth.iterdir()
            if folder.is_dir() and folder.name not in _TASK_MASKS
        )
        types = truth / _TYPE_MASKS
        if instruments:
            for label, folder in enumerate(instruments, start=1):
                names[name, label] = _instrument_type(folder.name)
            read = _endovis17_reader(instruments)
        elif types.is_dir():
            for label, type_ in enumerate(ENDOVIS17_TYPES, start=1):
                names[name, label] = type_

            def read(file: Path, types: Path = types) -> NDArray[np.uint8]:
                return _grey(types / file.name)
        else:
            raise DataError(f"{truth} holds neither folders of instruments nor {_TYPE_MASKS}.")
        clips.append(_clip(name, picture_files(frames), read))
    return clips, names


def read_endovis18(source: Path) -> tuple[list[VosClip], dict[Entry, str]]:
    """Read the 2018 Robotic Scene Segmentation Challenge.

    ``seq_N/left_frames/frame000.png`` with ``seq_N/labels/frame000.png`` in colours that
    ``labels.json`` (beside them, or further up) names: class 0 becomes the background.

    References
    ----------
    Allan et al., arXiv:2001.11190.
    """
    clips: list[VosClip] = []
    names: dict[Entry, str] = {}
    for frames in _folders_named(source, "left_frames", "seq_1/left_frames"):
        folder = frames.parent
        colours = _colours(folder, source)
        names |= {("", label): name for label, name in colours.values() if label}

        def read(
            file: Path,
            folder: Path = folder,
            colours: Mapping[tuple[int, ...], tuple[int, str]] = colours,
        ) -> NDArray[np.uint8]:
            return _by_colour(folder / "labels" / file.name, colours)

        clips.append(_clip(folder.name, picture_files(frames), read))
    return clips, names


def read_cholecseg8k(source: Path) -> tuple[list[VosClip], dict[Entry, str]]:
    """Read CholecSeg8k.

    ``video01/video01_00080/frame_80_endo.png`` with ``frame_80_endo_watershed_mask.png``,
    whose grey values are classes; anything else is background.

    References
    ----------
    Hong et al., arXiv:2012.12453.
    """
    numbers = np.zeros(256, np.uint8)
    numbers[list(CHOLECSEG8K_CLASSES)] = range(1, len(CHOLECSEG8K_CLASSES) + 1)

    def read(file: Path) -> NDArray[np.uint8]:
        return numbers[_grey(file.with_name(f"{file.stem}_watershed_mask.png"))]

    folders: dict[Path, list[Path]] = {}
    for file in source.rglob("frame_*_endo.png"):
        folders.setdefault(file.parent, []).append(file)
    if not folders:
        raise DataError(
            f"{source} is not laid out like CholecSeg8k: no file like "
            "video01/video01_00080/frame_80_endo.png was found."
        )
    clips = [
        _clip(folder.name, sorted(files, key=_number), read)
        for folder, files in sorted(folders.items())
    ]
    classes: dict[Entry, str] = {
        ("", k): name for k, name in enumerate(CHOLECSEG8K_CLASSES.values(), start=1)
    }
    return clips, classes


CONVERSIONS: Mapping[str, Callable[[Path], tuple[list[VosClip], dict[Entry, str]]]] = (
    MappingProxyType(
        {
            "endovis17": read_endovis17,
            "endovis18": read_endovis18,
            "cholecseg8k": read_cholecseg8k,
            "echonet": read_echonet,
        }
    )
)


def _clip(name: str, files: Sequence[Path], read: Callable[[Path], NDArray[np.uint8]]) -> VosClip:
    def frames() -> Iterator[VosFrame]:
        for file in files:
            image = read_picture(file)
            labels = read(file)
            if labels.shape != image.shape[:2]:
                raise DataError(
                    f"The labels of {file} are {labels.shape} pixels, the frame {image.shape[:2]}."
                )
            yield VosFrame(image, labels)

    return VosClip(name, len(files), frames)


def _folders_named(source: Path, name: str, example: str) -> list[Path]:
    found = sorted(
        (folder for folder in source.rglob(name) if folder.is_dir()),
        key=lambda folder: (_number(folder.parent), folder.parent.name),
    )
    if not found:
        raise DataError(f"{source} is not laid out like the dataset: no folder {example} in it.")
    return found


def _endovis17_reader(folders: Sequence[Path]) -> Callable[[Path], NDArray[np.uint8]]:
    """Return a reader of the instruments' masks; a later folder covers an earlier one."""

    def read(file: Path) -> NDArray[np.uint8]:
        masks = [_grey(folder / file.name) > 0 for folder in folders]
        labels = np.zeros(masks[0].shape, np.uint8)
        for label, mask in enumerate(masks, start=1):
            labels[mask] = label
        return labels

    return read


def _instrument_type(folder: str) -> str:
    words = re.sub(r"[^a-z]", "", folder.lower())
    for type_ in ENDOVIS17_TYPES[:-1]:
        if type_.replace(" ", "").lower() in words:
            return type_
    return ENDOVIS17_TYPES[-1]


def _colours(folder: Path, source: Path) -> dict[tuple[int, ...], tuple[int, str]]:
    for parent in (folder, *folder.parents):
        file = parent / "labels.json"
        if file.is_file():
            try:
                entries = json.loads(file.read_text(encoding="utf-8"))
                return {
                    tuple(entry["color"]): (int(entry["classid"]), str(entry["name"]))
                    for entry in entries
                }
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{file} cannot be read as the table of colours: {error}"
                ) from error
        if parent == source:
            break
    raise DataError(f"There is no labels.json in {folder} or above it, up to {source}.")


def _by_colour(path: Path, colours: Mapping[tuple[int, ...], tuple[int, str]]) -> NDArray[np.uint8]:
    picture = _existing(path)
    if picture.ndim != 3:
        raise DataError(f"{path} is no colour picture, but classes are told by colours.")
    codes = _codes(picture[..., :3])
    labels = np.zeros(codes.shape, np.uint8)
    known = np.zeros(codes.shape, np.bool_)
    for colour, (label, _) in colours.items():
        here = codes == _codes(np.array(colour, np.uint8))
        labels[here] = label
        known |= here
    if not known.all():
        strange = picture[~known][0][:3].tolist()
        raise DataError(f"{path} holds the colour {strange}, which labels.json does not name.")
    return labels


def _codes(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    codes: NDArray[np.int32] = (red << 16) | (green << 8) | blue
    return codes


def _grey(path: Path) -> NDArray[np.uint8]:
    picture = _existing(path)
    return np.asarray(picture if picture.ndim == 2 else picture[..., 0], dtype=np.uint8)


def _existing(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise DataError(f"{path} is missing: every frame of the dataset has its labels.")
    return read_picture(path)


def _number(path: Path) -> int:
    found = re.findall(r"\d+", path.stem)
    return int(found[-1]) if found else 0
