"""Pictures in files: folders of frames, single images, and palette PNGs of labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.formats.volumes import Selection, identity

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
_SAME_ENDING = {".jpeg": ".jpg", ".tiff": ".tif"}
_GREY_MODES = {"1": np.bool_, "L": np.uint8, "I": np.int32, "F": np.float32}


class PictureFrames(ArrayFrames):
    """Frames that are picture files; see `open_folder` and `open_picture`.

    Attributes
    ----------
    names : tuple of str
        The files' names without ending, in the order of the frames.
    file_names : tuple of str
        Their names whole.
    """

    names: tuple[str, ...] = ()
    file_names: tuple[str, ...] = ()


def open_folder(path: Path, selection: Selection) -> PictureFrames:
    """Open a folder of frames in natural order (frame2 before frame10).

    Hidden files, folders and files that are no pictures are ignored.

    Parameters
    ----------
    path : Path
    selection : Selection
        Frames run along axis 0.

    Raises
    ------
    DataError
        If there are no pictures, pictures of several endings, or of several sizes.
    """
    files = picture_files(path)
    if not files:
        raise DataError(
            f"{path} has no pictures in it ({', '.join(IMAGE_ENDINGS)}): give the folder that "
            "holds the frames themselves."
        )
    if selection.axis != 0 or selection.at:
        raise DataError(
            f"{path} is a folder of frames, which run along axis 0: leave out --axis and --at, "
            "or store the pictures as one TIFF or zarr stack."
        )
    return _open(files, path, selection, planar=False)


def open_picture(path: Path, selection: Selection) -> PictureFrames:
    """Open a single picture as a clip of one frame."""
    return _open([path], path, selection, planar=True)


def holds_pictures(path: Path) -> bool:
    """Whether a folder has a picture in it."""
    return any(file.suffix.lower() in IMAGE_ENDINGS for file in path.iterdir())


def picture_files(path: Path) -> list[Path]:
    """Return the pictures of a folder in natural order; raise a `DataError` on mixed endings."""
    files = [
        file
        for file in path.iterdir()
        if file.suffix.lower() in IMAGE_ENDINGS and not file.name.startswith(".") and file.is_file()
    ]
    kinds = Counter(_SAME_ENDING.get(f.suffix.lower(), f.suffix.lower()) for f in files)
    if len(kinds) > 1:
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        raise DataError(
            f"{path} holds several kinds of pictures ({counts}): leave one kind in it, the frames."
        )
    return sorted(files, key=_natural)


def davis_palette() -> bytes:
    """Return the 256 colours of DAVIS and PASCAL VOC labels as RGB bytes.

    Bit k of a label goes to the high bits of red, green, blue in turn.
    """
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= (((labels >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    return colours.tobytes()


def write_palette_png(path: Path, labels: NDArray[Any], palette: bytes | None = None) -> None:
    """Write (H, W) labels up to 255 as a PNG with a palette, DAVIS's by default."""
    height, width = labels.shape
    image = Image.frombytes("P", (width, height), labels.astype(np.uint8).tobytes())
    image.putpalette(davis_palette() if palette is None else palette)
    image.save(path, format="PNG")


def read_labels_png(path: Path) -> NDArray[Any]:
    """Read the labels of one picture, palette or grey.

    Raises
    ------
    ValueError
        If it is a colour picture.
    """
    with Image.open(path) as image:
        if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
            raise ValueError(f"{path.name} is a colour picture ({image.mode}), not labels")
        labels: NDArray[Any] = np.asarray(image)
        return labels


class _Pictures:
    """Picture files as one lazy array; a single file may be a plane of its own."""

    def __init__(self, files: Sequence[Path], planar: bool) -> None:
        self._files, self._planar = files, planar
        first = read_picture(files[0])
        self.dtype = first.dtype
        self.shape = first.shape if planar else (len(files), *first.shape)
        for file in files[1:]:
            size = _size(file)
            if size != first.shape[:2]:
                raise DataError(
                    f"{file} is {size[0]} x {size[1]} pixels, but {files[0].name} is "
                    f"{first.shape[0]} x {first.shape[1]}: all frames must have one size."
                )

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        if self._planar:
            plane: NDArray[Any] = read_picture(self._files[0])[index]
            return plane
        file, expected = self._files[index[0]], self.shape[1:]
        image = read_picture(file)
        if len(expected) == 3 and image.ndim == 2:  # a grey frame among colour ones
            image = np.repeat(image[..., np.newaxis], expected[2], axis=2)
        if image.shape != expected or image.dtype != self.dtype:
            raise DataError(
                f"{file} holds {image.shape} {image.dtype}, but the first frame "
                f"{expected} {self.dtype}: all frames must be of one kind."
            )
        pixels: NDArray[Any] = image[index[1:]]
        return pixels


def read_picture(path: Path) -> NDArray[Any]:
    """Read one picture as (H, W) or (H, W, 3 or 4), in the type it is stored in.

    Palettes and CMYK are turned into RGB; the orientation that a camera noted is ignored,
    as SAM 2's own loader and napari do.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            image = tifffile.imread(path)
            if image.ndim > 3 or (image.ndim == 3 and image.shape[-1] not in (3, 4)):
                raise DataError(
                    f"{path} holds {image.shape} values: as one frame of a folder it must be "
                    "a single page. Open it by itself, as a stack."
                )
            return np.asarray(image)
        with Image.open(path) as picture:
            if picture.mode.startswith("I;16"):
                return np.asarray(picture).astype(np.uint16)
            if picture.mode in _GREY_MODES:
                return np.asarray(picture).astype(_GREY_MODES[picture.mode])
            return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}.") from error


def _size(path: Path) -> tuple[int, ...]:
    if path.suffix.lower() in (".tif", ".tiff"):
        return tuple(read_picture(path).shape[:2])
    try:
        with Image.open(path) as picture:
            return (picture.height, picture.width)
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}.") from error


def _open(
    files: Sequence[Path], path: Path, selection: Selection, *, planar: bool
) -> PictureFrames:
    pictures = _Pictures(files, planar)
    source = PictureFrames(
        pictures,
        axis=selection.axis,
        at=selection.at,
        rgb=len(pictures.shape) == (3 if planar else 4),
        channel=selection.channel,
        window=selection.window,
        time_axis=None if planar else 0,
        identity=identity(*files),
        name=str(path),
    )
    source.names = tuple(file.stem for file in files)
    source.file_names = tuple(file.name for file in files)
    return source


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.stem)
    return [(0, int(p), p) if p.isdigit() else (1, 0, p.lower()) for p in parts if p]
