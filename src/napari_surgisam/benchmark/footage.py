"""What is measured on: the sample clip at any size and length, as a movie and as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.prompts import ObjectId, Point, Prompt
from napari_surgisam.formats.sources import open_source
from napari_surgisam.resources import sample_data


@dataclass(frozen=True, slots=True)
class Footage:
    """Frames in a folder: ``film.mp4`` (h264), and in ``pictures`` the same as JPEG files.

    Parameters
    ----------
    folder : Path
    length : int
    shape : tuple of int
        Height and width, in pixels.
    """

    folder: Path
    length: int
    shape: tuple[int, int]

    @property
    def pictures(self) -> Path:
        """The numbered JPEG files that sam2 reads."""
        return self.folder / "pictures"

    def open(self) -> FrameSource:
        """Open the movie."""
        return open_source(self.folder / "film.mp4")

    def clicks(self, count: int, frame: int = 0) -> list[Prompt]:
        """Return a click for each of `count` objects, spread over the frame."""
        height, width = self.shape
        return [
            Prompt(
                ObjectId(k + 1),
                frame,
                (Point(height * (0.3 + 0.4 * (k % 2)), width * (k + 0.5) / count),),
            )
            for k in range(count)
        ]


def make_footage(
    folder: Path, length: int, shape: tuple[int, int] = (480, 854), *, pictures: bool = True
) -> Footage:
    """Write footage: the sample clip, resized, forward and backward until it is long enough."""
    footage = Footage(folder, length, shape)
    footage.pictures.mkdir(parents=True)
    images = _clip(shape)
    order = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    with av.open(str(folder / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        stream.height, stream.width = shape
        stream.pix_fmt = "yuv420p"
        for number in range(length):
            image = images[order[number % len(order)]]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if pictures:
                Image.fromarray(image).save(footage.pictures / f"{number:06d}.jpg", quality=95)
        container.mux(stream.encode(None))
    return footage


@cache
def _clip(shape: tuple[int, int]) -> list[NDArray[np.uint8]]:
    clip = open_source(sample_data() / "clip.mp4")
    size = shape[::-1]
    return [np.asarray(Image.fromarray(clip.read(f)).resize(size)) for f in range(len(clip))]
