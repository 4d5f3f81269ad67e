"""Folders of images with their labels: the VOS layout, nnU-Net's, and pairs by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import CLASS_TABLE, ClassTable, read_class_table
from napari_surgisam.formats.folders import IMAGE_ENDINGS
from napari_surgisam.formats.itk import ITK_ENDINGS
from napari_surgisam.formats.video import VIDEO_ENDINGS

_FILE_ENDINGS = (
    *(".nii.gz", ".nii", ".npy", ".zarr"),
    *(*ITK_ENDINGS, *VIDEO_ENDINGS, *IMAGE_ENDINGS),
)
_IMAGE_FOLDERS = ("images", "image", "imgs", "img")
_FRAME_FOLDERS = ("frames", "JPEGImages")
_IMAGE_STEMS = ("image", "img", "clip", "video", "volume")
_LABEL_FOLDERS = ("labels", "label", "masks", "mask", "annotations", "Annotations", "gt", "truth")
_LABEL_SUFFIXES = tuple(f"_{name}" for name in ("labels", "label", "masks", "mask", "seg", "gt"))
_VOS_SIZES = ("480p", "Full-Resolution")

LOOKED_FOR = """\
  JPEGImages/CASE/*.jpg with Annotations/CASE/*.png       (VOS)
  imagesTr/CASE_0000.* with labelsTr/CASE.*               (nnU-Net)
  CASE_0000.* beside CASE.*                               (nnU-Net, in one folder)
  images/NAME.* with labels/NAME.*                        (pairs by name)
  frames/*.jpg with labels/*.png                          (one clip)
  image.* with label.*, or NAME.* with NAME_labels.*      (pairs in one folder)
  folders of the last three kinds"""


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """One image, or movie, and its labels.

    Parameters
    ----------
    name : str
        Of the case within its dataset.
    image : Path
        Whatever `open_source` opens.
    labels : Path or None
        What `read_labels` reads, or a folder of pictures named like frames; None where the
        dataset has no truth for the image.
    """

    name: str
    image: Path
    labels: Path | None

    def state(self) -> str:
        """Return what changes when a file is replaced or edited: of sizes and times, a hash."""
        known = hashlib.sha256()
        for path in filter(None, (self.image, self.labels)):
            inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            for file in inside:
                facts = file.stat()
                text = f"{file.relative_to(path.parent)} {facts.st_size} {facts.st_mtime_ns}\n"
                known.update(text.encode(errors="surrogateescape"))
        return known.hexdigest()


@dataclass(frozen=True, slots=True)
class Dataset:
    """What was found in a folder.

    Parameters
    ----------
    layout : str
        In a few words.
    cases : tuple of CaseFiles
        By name.
    classes : ClassTable
    """

    layout: str
    cases: tuple[CaseFiles, ...]
    classes: ClassTable = field(default_factory=ClassTable)


def find_cases(data: Path, *, labels: Path | None = None, classes: Path | None = None) -> Dataset:
    """Find images with their labels.

    Parameters
    ----------
    data : Path
        A folder in one of the layouts of `LOOKED_FOR`, or one image with `labels` given.
    labels : Path, optional
        The labels of the image `data`.
    classes : Path, optional
        Table of classes; by default ``classes.csv`` in the folder, or nnU-Net's
        ``dataset.json``.

    Raises
    ------
    DataError
        If the folder matches no layout, which says what was looked for and what was found.
    """
    if not data.exists():
        raise DataError(f"{data} does not exist. Check the spelling and the folder.")
    if labels is not None:
        if not labels.exists():
            raise DataError(f"The labels {labels} do not exist. Check the spelling.")
        table = ClassTable() if classes is None else read_class_table(classes)
        return Dataset("one image", (CaseFiles(_stem(data), data, labels),), table)
    if not data.is_dir():
        raise DataError(
            f"{data} is one file, so its labels must be given too (--labels FILE); or give a "
            f"folder in one of these layouts:\n{LOOKED_FOR}"
        )
    for layout, find in _LAYOUTS:
        cases = find(data)
        if cases:
            ordered = tuple(sorted(cases, key=lambda case: case.name))
            return Dataset(layout, ordered, _classes_of(data, classes))
    entries = sorted(path.name + "/" * path.is_dir() for path in data.iterdir())
    shown = ", ".join(entries[:8]) + (f" and {len(entries) - 8} more" if len(entries) > 8 else "")
    raise DataError(
        f"{data} matches no layout of images with labels. Looked for were:\n{LOOKED_FOR}\n"
        f"Found was: {shown or 'an empty folder'}."
    )


def _vos(data: Path) -> list[CaseFiles]:
    images, labels = data / "JPEGImages", data / "Annotations"
    if not images.is_dir() or not labels.is_dir():
        return []
    for size in _VOS_SIZES:  # DAVIS keeps its resolutions apart
        if (images / size).is_dir():
            images, labels = images / size, labels / size
            break
    return [
        CaseFiles(folder.name, folder, found if (found := labels / folder.name).is_dir() else None)
        for folder in images.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    ]


def _nnunet(data: Path) -> list[CaseFiles]:
    images, labels = data / "imagesTr", data / "labelsTr"
    if not images.is_dir() or not labels.is_dir():
        return []
    truths = {_stem(path): path for path in _data_files(labels)}
    cases = []
    for path in _data_files(images):
        name, _, channel = _stem(path).rpartition("_")
        if channel == "0000":
            cases.append(CaseFiles(name, path, truths.get(name)))
    return cases


def _nnunet_beside(data: Path) -> list[CaseFiles]:
    """Find nnU-Net's first channels whose labels lie beside them."""
    files = {_stem(path): path for path in _data_files(data)}
    return [
        CaseFiles(name, path, files[name])
        for stem, path in files.items()
        for name, _, channel in [stem.rpartition("_")]
        if channel == "0000" and name in files
    ]


def _pairs(data: Path) -> list[CaseFiles]:
    """Find pairs in two folders, or a clip whose frames and labels are two folders."""
    labels = _first(data, _LABEL_FOLDERS)
    if labels is None:
        return []
    frames = _first(data, _FRAME_FOLDERS)
    if frames is not None:
        return [CaseFiles(data.name, frames, labels)]
    images = _first(data, _IMAGE_FOLDERS)
    if images is None:
        movies = [path for path in _data_files(data) if _stem(path).lower() in _IMAGE_STEMS]
        return [CaseFiles(data.name, movies[0], labels)] if len(movies) == 1 else []
    truths = {_plain(path): path for path in _data_files(labels)}
    return [CaseFiles(_stem(p), p, truths.get(_stem(p))) for p in _data_files(images)]


def _beside(data: Path) -> list[CaseFiles]:
    """Find images whose labels lie in the same folder."""
    files = _data_files(data)
    stems = {_stem(path).lower(): path for path in files}
    image = next((stems[name] for name in _IMAGE_STEMS if name in stems), None)
    label = next((stems[name] for name in _LABEL_FOLDERS if name in stems), None)
    if image is not None and label is not None:
        return [CaseFiles(data.name, image, label)]
    truths = {_plain(path): path for path in files if _plain(path) != _stem(path)}
    return [
        CaseFiles(_stem(path), path, truths[_stem(path)])
        for path in files
        if _stem(path) in truths and truths[_stem(path)] != path
    ]


def _folders(data: Path) -> list[CaseFiles]:
    """Find folders that each hold a case or pairs; one without labels is a case without truth."""
    cases: list[CaseFiles] = []
    for folder in (path for path in data.iterdir() if path.is_dir()):
        found = _pairs(folder) or _beside(folder)
        single = len(found) == 1 and found[0].name == folder.name
        cases += [
            case if single else CaseFiles(f"{folder.name}/{case.name}", case.image, case.labels)
            for case in found
        ]
        if not found:
            images = _data_files(folder)
            if len(images) == 1:
                cases.append(CaseFiles(folder.name, images[0], None))
    return cases if any(case.labels is not None for case in cases) else []


_LAYOUTS: tuple[tuple[str, Callable[[Path], list[CaseFiles]]], ...] = (
    ("VOS", _vos),
    ("nnU-Net", _nnunet),
    ("nnU-Net, in one folder", _nnunet_beside),
    ("pairs by name", _pairs),
    ("pairs in one folder", _beside),
    ("folders of cases", _folders),
)


def _classes_of(data: Path, given: Path | None) -> ClassTable:
    if given is not None:
        return read_class_table(given)
    for path in (data / CLASS_TABLE, data / "dataset.json"):
        if path.exists() and (path.suffix == ".csv" or "labels" in _keys(path)):
            return read_class_table(path)
    return ClassTable()


def _keys(path: Path) -> set[str]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(facts) if isinstance(facts, dict) else set()


def _first(data: Path, names: tuple[str, ...]) -> Path | None:
    return next((data / name for name in names if (data / name).is_dir()), None)


def _data_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(_FILE_ENDINGS) and not path.name.startswith(".")
    )


def _stem(path: Path) -> str:
    """Return a file's name without its ending, also where that is .nii.gz."""
    for ending in _FILE_ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _plain(path: Path) -> str:
    """Return a labels file's stem without what marks it as labels."""
    stem = _stem(path)
    for suffix in _LABEL_SUFFIXES:
        if stem.lower().endswith(suffix):
            return stem[: -len(suffix)]
    return stem
