"""Movies made on the spot, with PyAV, in the kinds that cameras and editors write."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 48, 64


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A textured scene that pans, with a square that moves: no two pictures are alike."""
    y, x = np.mgrid[:height, :width]
    waves = 127 + 80 * np.sin((x + 2 * number) / 5) * np.cos((y - number) / 7)
    image = np.stack([waves, np.roll(waves, 9, 1), np.full_like(waves, 4 * number % 256)], -1)
    left = 3 * number % (width - 12)
    image[10:22, left : left + 12] = (255 - number, 2 * number % 256, 30)
    return image.clip(0, 255).astype(np.uint8)


@dataclass
class Recipe:
    """How to encode a movie."""

    ending: str
    codec: str
    options: dict[str, str] = field(default_factory=dict)
    frames: int = 40
    b_frames: int = 0
    gop: int = 10
    times: Callable[[int], int] = lambda number: number
    faststart: bool = False
    size: tuple[int, int] = (HEIGHT, WIDTH)

    def write(self, path: Path) -> Path:
        options = {"movflags": "faststart"} if self.faststart else {}
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(self.codec, rate=25, options=self.options)
            stream.height, stream.width = self.size
            stream.pix_fmt = "yuvj420p" if self.codec == "mjpeg" else "yuv420p"
            stream.codec_context.max_b_frames = self.b_frames
            stream.codec_context.gop_size = self.gop
            for number in range(self.frames):
                frame = av.VideoFrame.from_ndarray(picture(number, *self.size), format="rgb24")
                frame.pts = self.times(number)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path


def decode_all(path: Path) -> list[NDArray[np.uint8]]:
    """What decoding from the start gives, up to where the file breaks off."""
    images = []
    with av.open(str(path)) as container:
        with suppress(av.FFmpegError):
            images.extend(f.to_ndarray(format="rgb24") for f in container.decode(video=0))
    return images


X264_OPEN = "open-gop=1:keyint=10:min-keyint=5:bframes=3:b-adapt=0:scenecut=0"
RECIPES = {
    "h264-b-frames": Recipe(".mp4", "libx264", b_frames=3),
    "h264-pyramid-mov": Recipe(
        ".mov", "libx264", {"x264-params": "bframes=5:b-pyramid=normal:ref=4:b-adapt=0"}
    ),
    "h264-open-gop": Recipe(".mp4", "libx264", {"x264-params": X264_OPEN}),
    "h264-open-gop-mkv": Recipe(".mkv", "libx264", {"x264-params": X264_OPEN}),
    "h264-intra-refresh": Recipe(
        ".mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=10:bframes=0"}
    ),
    "h264-one-keyframe": Recipe(".mp4", "libx264", b_frames=2, gop=500),
    "h264-vfr": Recipe(".mp4", "libx264", b_frames=3, times=lambda n: n * n // 3 + n),
    "h264-vfr-mkv": Recipe(".mkv", "libx264", b_frames=3, times=lambda n: n * n // 3 + n),
    "h264-avi": Recipe(".avi", "libx264", b_frames=3),
    "h264-ts": Recipe(".ts", "libx264", b_frames=3),
    "hevc-open-gop": Recipe(
        ".mp4",
        "libx265",
        {"x265-params": "open-gop=1:keyint=10:min-keyint=5:bframes=3:scenecut=0:log-level=none"},
    ),
    "mpeg4": Recipe(".mp4", "mpeg4"),
    "mpeg4-b-frames": Recipe(".mp4", "mpeg4", b_frames=2),
    "mpeg4-avi": Recipe(".avi", "mpeg4"),
    "mpeg4-b-frames-avi": Recipe(".avi", "mpeg4", b_frames=2),
    "mpeg4-vfr": Recipe(".mkv", "mpeg4", b_frames=2, times=lambda n: n * n // 3 + n),
    "mpeg2": Recipe(".mpg", "mpeg2video", b_frames=2),
    "mjpeg-avi": Recipe(".avi", "mjpeg"),
    "vp8": Recipe(
        ".webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good"}
    ),
    "vp9": Recipe(".webm", "libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
}
