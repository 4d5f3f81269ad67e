"""Movies, read frame by frame with PyAV and an index of our own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from napari_surgisam.data.frames import check_frame
from napari_surgisam.data.windows import Window, apply_window, as_rgb, check_window
from napari_surgisam.errors import DataError
from napari_surgisam.formats.video_index import build_index
from napari_surgisam.formats.volumes import Selection

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEO_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts")

CACHED_BYTES = 2**28
"""Memory for decoded frames; reading backwards decodes a long group of pictures in
stretches of as many frames as fit in here."""
CACHED_FRAMES = 512
_FORWARD = 8  # frames that are kept while frame follows frame


def open_video(path: Path, selection: Selection) -> VideoFrames:
    """Open a movie; see `VideoFrames`.

    Raises
    ------
    DataError
        If `selection` asks for anything but frames along axis 0, or the movie cannot be read.
    """
    if selection.axis != 0 or selection.at:
        raise DataError(
            f"{path} is a movie, whose frames run along axis 0: leave out --axis and --at."
        )
    return VideoFrames(path, window=selection.window, channel=selection.channel)


class VideoFrames:
    """Frames of a movie by number, exactly as decoding from the start would give them.

    Opening reads every packet once without decoding (a few seconds per gigabyte). Reading on
    decodes on; only a jump seeks.

    Parameters
    ----------
    path : Path
    window : "auto" or (low, high)
        Applied to the 8-bit RGB values; `"auto"` leaves them.
    channel : int, optional
        0, 1 or 2 shows red, green or blue in grey.

    Attributes
    ----------
    damage : str
        What is wrong with a file that is cut off, naming its last readable frame; empty if
        nothing is. The source ends with that frame.

    Raises
    ------
    DataError
        If the file is no movie, has no frames, or its codec is unknown.
    """

    spacing: tuple[float, float, float] | None = None
    affine: NDArray[np.float64] | None = None
    temporal: bool = True
    axis: int = 0
    ndim: int = 3

    def __init__(self, path: Path, *, window: Window = "auto", channel: int | None = None) -> None:
        self._path, self._channel = path, channel
        if channel is not None and channel not in (0, 1, 2):
            raise DataError(f"{path} has no channel {channel}: choose 0 red, 1 green or 2 blue.")
        window = check_window(window)
        self._window = None if window == "auto" else window
        self._lock = Lock()
        self._converter = VideoReformatter()
        self._cache: OrderedDict[int, VideoFrame] = OrderedDict()
        self._open()
        self._index = build_index(self._container, self._stream, self._learn_order, path)
        if not self._index.order:
            self._container.close()
            raise DataError(f"{path} has no frames: the movie is empty{self._cut_off()}.")
        self._open()
        self._capacity = 1
        first = self._frame(0)
        frame_bytes = sum(plane.buffer_size for plane in first.planes)
        self._capacity = min(max(8, CACHED_BYTES // frame_bytes), CACHED_FRAMES)
        height, width = self._pixels(first).shape[:2]
        self.shape: tuple[int, int] = (height, width)
        rate = self._stream.average_rate
        self.frame_seconds: float | None = float(1 / rate) if rate else None
        what = (self._index.digest, len(self), self._window, channel)
        self.fingerprint: str = blake2b(repr(what).encode(), digest_size=16).hexdigest()
        self.damage = ""
        if self._index.truncated:
            self.damage = (
                f"{path} is cut off: its last readable frame is {len(self) - 1}. All frames up "
                "to it can be used; copy or export the movie again for the rest."
            )

    def __len__(self) -> int:
        return len(self._index.order)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """Return one frame, turned upright where the camera says how.

        Parameters
        ----------
        frame : int

        Returns
        -------
        (H, W, 3) uint8 array

        Raises
        ------
        DataError
            If there is no such frame or it is damaged.
        """
        if self.damage and frame >= len(self):
            raise DataError(f"Frame {frame} cannot be read: {self.damage}")
        check_frame(frame, len(self), str(self._path))
        with self._lock:
            pixels = self._pixels(self._frame(int(frame)))
        if pixels.shape[:2] != self.shape:
            raise DataError(
                f"Frame {frame} of {self._path} is {pixels.shape[0]} x {pixels.shape[1]} pixels, "
                f"the first {self.shape[0]} x {self.shape[1]}: all frames must have one size. "
                "Export the movie again at one size."
            )
        if self._channel is not None:
            pixels = pixels[..., self._channel]
        return as_rgb(apply_window(pixels, self._window))

    def close(self) -> None:
        """Close the file; frames cannot be read any more."""
        with self._lock:
            self._cache.clear()
            self._container.close()

    def _open(self) -> None:
        self._container: InputContainer
        self._stream: VideoStream
        if hasattr(self, "_container"):
            self._container.close()
        self._container, self._stream = _open_stream(self._path)
        self._packets: Iterator[Packet[Any]] = iter(self._container.demux(self._stream))
        self._next = 0  # packet that the demuxer gives next
        self._start = 0  # packet that the decoder started from
        self._passed = -1  # last frame that came out of the decoder
        self._ended = False

    def _frame(self, frame: int) -> VideoFrame:
        cached = self._cache.get(frame)
        if cached is not None:
            self._cache.move_to_end(frame)
            return cached
        starts = self._index.starts(frame)
        if self._comes_next(frame, starts[0]):
            found = self._decode_to(frame)
            if found is not None:
                return found
        # A start that fails once more is followed by the beginning: never by every keyframe.
        for start in dict.fromkeys((*starts[:2], starts[-1])):
            self._start_at(start)
            found = self._decode_to(frame)
            if found is not None:
                return found
        raise DataError(
            f"Frame {frame} of {self._path} cannot be decoded: the movie is damaged there"
            f"{f', and frame {frame - 1} is the last good one before it' if frame else ''}. "
            "Export the movie again, or leave that part out."
        )

    def _comes_next(self, frame: int, start: int) -> bool:
        """Return whether decoding on reaches `frame`, and sooner than a seek would."""
        begun = self._index.frame_of.get(self._start, 0)
        return not self._ended and begun <= frame and self._passed < frame and start <= self._next

    def _decode_to(self, frame: int) -> VideoFrame | None:
        """Decode on until `frame` comes out, keeping what passes; None if it does not come."""
        begun = self._index.frame_of.get(self._start, 0)
        found, count = None, 0
        while found is None and self._passed < frame and not self._ended:
            for decoded in self._decode_packet():
                if decoded.pts is None or decoded.pts < begun:
                    continue  # hidden, or leaning on pictures that were not decoded
                self._passed = max(self._passed, decoded.pts)
                count += 1
                self._cache[decoded.pts] = decoded
                self._cache.move_to_end(decoded.pts)
                if decoded.pts == frame:
                    found = decoded
        # What is read forward is not read again soon; what was decoded on the way to a frame is.
        capacity = self._capacity if count > _FORWARD else min(self._capacity, _FORWARD)
        while len(self._cache) > capacity:
            self._cache.popitem(last=False)
        return found

    def _decode_packet(self) -> list[VideoFrame]:
        """Send the next packet to the decoder and return the frames that come out.

        Each packet carries its frame's number in place of a time, so that every decoded
        picture says which frame it is whatever the container's times are like.
        """
        context = self._stream.codec_context
        packet = self._packet()
        try:
            if packet is None or self._next >= len(self._index.packets):
                self._ended = True
                return list(context.decode(None))
            if packet.size == 0:
                return []
            packet.pts = self._index.frame_of.get(self._next)
            packet.dts = None
            self._next += 1
            return list(context.decode(packet))
        except av.FFmpegError:
            return []  # its frame is missing, which the caller sees

    def _start_at(self, start: int) -> None:
        """Bring demuxer and decoder to packet `start`, by seeking or else from the beginning."""
        entry = self._index.packets[start]
        stored = (entry.dts, entry.pts)  # mp4 and AVI seek by decoding time, others by display
        by_display = not any(k in self._container.format.name for k in ("mp4", "avi"))
        times = (stored[::-1] if by_display else stored) if start else ()
        for time in times:
            if time is not None and self._seek(time, start):
                return
        self._open()
        self._skip(start)

    def _seek(self, time: int, start: int) -> bool:
        try:
            self._container.seek(time, stream=self._stream, backward=True)
        except av.FFmpegError:
            return False
        self._packets = iter(self._container.demux(self._stream))
        self._ended, self._passed, self._start = False, -1, start
        while (packet := self._packet()) is not None:
            here = self._index.find(packet) if packet.size else None
            if here is None:
                continue
            if here > start:
                return False
            self._next = here
            if here == start:
                self._packets = chain((packet,), self._packets)
                return True
            self._next = here + 1
            return self._skip(start)
        return False

    def _packet(self) -> Packet[Any] | None:
        """Return the next packet, or None where the file ends or breaks off."""
        try:
            return next(self._packets, None)
        except av.FFmpegError:
            return None

    def _skip(self, start: int) -> bool:
        """Pass over packets up to `start` without decoding them."""
        self._start = start
        while self._next < start:
            packet = self._packet()
            if packet is None:
                return False
            self._next += packet.size > 0
        return True

    def _learn_order(self) -> list[int]:
        """Decode the whole movie and return the packet of each frame, in display order."""
        container, stream = _open_stream(self._path)
        order: list[int] = []
        number = 0
        with container:
            try:
                for packet in container.demux(stream):
                    ending = packet.size == 0 and packet.dts is None
                    if packet.size == 0 and not ending:
                        continue
                    if not ending:
                        packet.pts, packet.dts = number, None
                        number += 1
                    try:
                        frames = stream.codec_context.decode(None if ending else packet)
                    except av.FFmpegError:
                        continue
                    order.extend(f.pts for f in frames if f.pts is not None)
            except av.FFmpegError:
                pass  # the index has noted that the file breaks off
        return order

    def _pixels(self, frame: VideoFrame) -> NDArray[Any]:
        # One converter for all: each keeps megabytes, and frames keep theirs while cached.
        pixels = self._converter.reformat(frame, format="rgb24").to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.rot90(pixels, turns) if turns else pixels

    def _cut_off(self) -> str:
        return " or cut off before its first frame" if self._index.truncated else ""


def _open_stream(path: Path) -> tuple[InputContainer, VideoStream]:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be opened as a movie: {_why(path, error)}.") from error
    movies = [s for s in container.streams.video if "attached_pic" not in str(s.disposition)]
    if not movies:
        container.close()
        raise DataError(f"{path} holds no moving picture: it is empty, or sound alone.")
    stream = movies[0]
    if stream.codec_context is None:
        container.close()
        raise DataError(
            f"{path} uses a codec that this FFmpeg does not know: convert it to H.264, for "
            "example with ffmpeg -i IN -c:v libx264 OUT.mp4."
        )
    stream.thread_type = "AUTO"
    return container, stream


def _why(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return (
            "its index (the moov box) is missing, so the file was cut off before the recording "
            "or copy was complete; record or copy it again, or repair it with the camera's tool"
        )
    return f"it is no movie, or damaged ({error})"
