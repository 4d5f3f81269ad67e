"""The labelled images that the quality benchmark scores, read from a folder of cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.errors import DataError
from napari_surgisam.formats.folders import picture_files, read_picture
from napari_surgisam.formats.sources import open_source

Mask = NDArray[np.bool_]

CLIPS = {
    "MR and CT volumes": ("vol_spine_t2_cord", "vol_tumour_brain1", "vol_ctlesion_0001_008_023"),
    "endoscopy": ("vid_polyp_cvc_seq01", "vid_polyp_cvc_seq12"),
    "natural video": ("vid_davis_dog", "vid_davis_blackswan"),
}
VOLUME_SET = ("MR and CT volumes", "vol_hippocampus_set")
PICTURES = {"single frames": ("im2d_nuclei_dsb2018", "im2d_surgical_tools_cholec")}
OBJECTS_PER_PICTURE = 4
SMALLEST_OBJECT = 32  # pixels; below, five clicks would cover much of it


@dataclass(frozen=True, slots=True)
class Clip:
    """A movie or a volume with one object.

    Parameters
    ----------
    row : str
        Under which row of the table its score is averaged.
    truth : (T or Z, H, W) bool array
    prompted : int
        The frame that is clicked: the first of a movie, the middle labelled slice of a volume.
    """

    group: str
    row: str
    name: str
    frames: FrameSource
    truth: Mask
    prompted: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A single frame and the (H, W) masks of some of its objects, by label."""

    group: str
    row: str
    name: str
    frames: FrameSource
    objects: dict[int, Mask]


def clips(data: Path, limit: int | None = None) -> Iterator[Clip]:
    """Read the movies and volumes; of the set of volumes, the first `limit`."""
    for group, names in CLIPS.items():
        for name in names:
            folder = data / name
            if (folder / "frames").is_dir():
                yield _movie(group, folder)
            else:
                yield _volume(group, name, name, folder / "image.nii.gz", folder / "label.nii.gz")
    group, name = VOLUME_SET
    images = sorted((data / name / "images").glob("*.nii.gz"))
    if not images:
        raise DataError(f"{data / name / 'images'} holds no NIfTI files: is --data the right one?")
    for image in images[:limit]:
        yield _volume(
            group,
            f"{name} (mean of {len(images[:limit])})",
            image.name,
            image,
            data / name / "labels" / image.name,
        )


def pictures(data: Path, limit: int | None = None) -> Iterator[Picture]:
    """Read the single frames, each with at most `OBJECTS_PER_PICTURE` objects.

    Of more, those at even steps through the order of area, so that large and small ones count.
    """
    for group, names in PICTURES.items():
        for name in names:
            files = picture_files(data / name / "images")[:limit]
            for file in files:
                labels = read_picture(data / name / "labels" / file.name)
                ids, areas = np.unique(labels[labels > 0], return_counts=True)
                ids = ids[np.argsort(areas, kind="stable")][np.sort(areas) >= SMALLEST_OBJECT]
                count = min(len(ids), OBJECTS_PER_PICTURE)
                chosen = ids[np.linspace(0, len(ids) - 1, count).round().astype(int)]
                masks = {int(label): labels == label for label in chosen}
                yield Picture(group, name, file.name, open_source(file), masks)


def _movie(group: str, folder: Path) -> Clip:
    truth = np.stack([read_picture(file) > 0 for file in picture_files(folder / "labels")])
    frames = open_source(folder / "frames")
    return _checked(Clip(group, folder.name, folder.name, frames, truth, 0))


def _volume(group: str, row: str, name: str, image: Path, label: Path) -> Clip:
    truth = np.asarray(nibabel.nifti1.load(label).dataobj).T > 0
    labelled = np.flatnonzero(truth.any(axis=(1, 2)))
    middle = int(labelled[len(labelled) // 2])
    return _checked(Clip(group, row, name, open_source(image), truth, middle))


def _checked(clip: Clip) -> Clip:
    expected = (len(clip.frames), *clip.frames.shape)
    if clip.truth.shape != expected:
        raise DataError(
            f"{clip.name}: the labels have the shape {clip.truth.shape}, the image {expected}."
        )
    return clip
