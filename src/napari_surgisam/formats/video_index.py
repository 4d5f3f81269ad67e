"""Which packet of a movie holds which frame, and where decoding may start."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class PacketEntry:
    """What the container says about one packet; times are in its own unit."""

    pts: int | None
    dts: int | None
    size: int
    position: int | None
    duration: int
    keyframe: bool
    shown: bool


@dataclass(frozen=True)
class VideoIndex:
    """Packets in decoding order, and the frames that they hold in display order.

    Attributes
    ----------
    packets : sequence of PacketEntry
    order : sequence of int
        For each frame its packet.
    truncated : bool
        Whether the file ends before its container says it should.
    digest : str
        Hash of the compressed pictures.
    """

    packets: Sequence[PacketEntry]
    order: Sequence[int]
    truncated: bool
    digest: str

    @cached_property
    def frame_of(self) -> dict[int, int]:
        """The frame that each packet holds; hidden packets are missing."""
        return {packet: frame for frame, packet in enumerate(self.order)}

    @cached_property
    def keyframes(self) -> list[int]:
        """Packets of shown keyframes, ascending."""
        return [p for p, entry in enumerate(self.packets) if entry.keyframe and p in self.frame_of]

    def starts(self, frame: int) -> list[int]:
        """Packets from which decoding reaches `frame` exactly, nearest first; 0 is the last.

        A frame that is decoded after a keyframe but shown before it leans on the pictures
        before that keyframe (an open group of pictures), so it needs an earlier one.
        """
        packet = self.order[frame]
        before = self.keyframes[: bisect_right(self.keyframes, packet)]
        nearest = [key for key in reversed(before) if self.frame_of[key] <= frame]
        return [*nearest, 0] if 0 not in nearest[-1:] else nearest

    @cached_property
    def _by_position(self) -> dict[Any, int]:
        return _unique(lambda p: p.position, self.packets)

    @cached_property
    def _by_time(self) -> dict[Any, int]:
        return _unique(lambda p: None if p.pts is None else (p.pts, p.size), self.packets)

    def find(self, packet: Packet[Any]) -> int | None:
        """Return which packet of the index this is, or None if that cannot be told.

        Decoding times are no help: some containers do not store them, and what is made up
        after a seek differs.
        """
        found = self._by_position.get(packet.pos) if packet.pos is not None else None
        if found is not None and self.packets[found].size == packet.size:
            return found
        return self._by_time.get((packet.pts, packet.size))


def build_index(
    container: InputContainer, stream: VideoStream, learn: Callable[[], list[int]], path: Path
) -> VideoIndex:
    """Read every packet once, decoding nothing unless the container's times are no use.

    Parameters
    ----------
    container, stream
        Just opened.
    learn : callable
        Decodes the movie and returns, for each frame in turn, its packet. Called where
        display times are missing, repeated or, as AVI's, a guess.
    path : Path
    """
    entries: list[PacketEntry] = []
    digest = blake2b(digest_size=16)
    hides = stream.codec_context.name == "vp8"
    broken = corrupt = False
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # the end, or AVI's "show the last picture again"
                continue
            data = memoryview(packet)
            digest.update(data)
            hidden = packet.is_discard or (hides and not data[0] & 0x10)
            corrupt = packet.is_corrupt
            entries.append(
                PacketEntry(
                    packet.pts,
                    packet.dts,
                    packet.size,
                    packet.pos,
                    packet.duration or 0,
                    packet.is_keyframe,
                    not hidden,
                )
            )
    except av.FFmpegError:
        broken = True
    if corrupt:  # the last packet is there in part
        entries.pop()
    truncated = broken or corrupt or ends_early(path)
    shown = [p for p, entry in enumerate(entries) if entry.shown]
    times = [entries[p].pts for p in shown]
    guessed = container.format.name == "avi" and stream.codec_context.has_b_frames
    if guessed or None in times or len(set(times)) < len(times):
        order = [packet for packet in learn() if packet < len(entries)]
        if truncated:
            order = order[: len(entries) - _reordering(order)]
    else:
        order = sorted(shown, key=lambda p: entries[p].pts or 0)
        if truncated:
            order = order[: _gapless(entries, order)]
    return VideoIndex(entries, order, truncated, digest.hexdigest())


def ends_early(path: Path) -> bool:
    """Return whether an mp4, Matroska or AVI file is shorter than it says itself."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(256)
        if head[:4] == b"RIFF":
            return size < 8 + int.from_bytes(head[4:8], "little")
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return size < _matroska_end(head)
        if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
            return False
        end = 0
        while 0 <= end <= size - 8:  # from box to box
            file.seek(end)
            box = file.read(16)
            length = int.from_bytes(box[:4])
            if length == 1:  # a large one
                length = int.from_bytes(box[8:])
            if length < 8:  # up to the end of the file, or no box at all
                return False
            end += length
        return end > size


def _matroska_end(head: bytes) -> int:
    """Return where the segment of a Matroska file ends, or 0 if it does not say."""
    start = head.find(b"\x18\x53\x80\x67") + 4
    if start < 4 or start + 8 > len(head):
        return 0
    width = 9 - head[start].bit_length()  # leading zeros count the bytes that follow
    mask = (1 << 7 * width) - 1
    length = int.from_bytes(head[start : start + width]) & mask
    return 0 if length == mask else start + width + length


def _gapless(entries: Sequence[PacketEntry], order: Sequence[int]) -> int:
    """Return how many frames come before the first that a cut may have left out.

    What is lost is shown no earlier than it would have been decoded, so all up to the last
    decoding time is complete; beyond, frames count while they follow without a gap.
    """
    decoded = [e.dts + e.duration for e in entries if e.dts is not None]
    complete = max(decoded, default=0)
    for frame in range(1, len(order)):
        last, this = entries[order[frame - 1]], entries[order[frame]]
        end = (last.pts or 0) + last.duration
        if (this.pts or 0) > max(complete, end):
            return frame
    return len(order)


def _reordering(order: Sequence[int]) -> int:
    """Return by how many places a frame is shown earlier than decoded, at most.

    So far before a cut the pictures are complete.
    """
    return max((packet - frame for frame, packet in enumerate(order)), default=0)


def _unique(key: Callable[[PacketEntry], Any], packets: Sequence[PacketEntry]) -> dict[Any, int]:
    keys = [key(packet) for packet in packets]
    counts = Counter(keys)
    return {k: p for p, k in enumerate(keys) if k is not None and counts[k] == 1}
