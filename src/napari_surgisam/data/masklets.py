"""One object's masks over time, small enough to keep, painted to labels on demand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.mask_chunks import NO_MASKS, MaskChunk
from napari_surgisam.data.prompts import ObjectId
from napari_surgisam.data.stored_masks import StoredMask

CHUNK = 64  # frames that are copied together when one of them changes


@dataclass(frozen=True, slots=True, eq=False)
class Masklet:
    """The masks of one object by frame; a value.

    An edited copy shares all frames with the original, except the `CHUNK` around the edit,
    so that keeping old versions for undo costs little. A chunk may be on disk, see `MaskShelf`.
    """

    object_id: ObjectId
    chunks: MappingProxyType[int, MaskChunk] = field(default_factory=lambda: MappingProxyType({}))

    def __len__(self) -> int:
        """Count the frames that have a mask, empty ones included."""
        return sum(map(len, self.chunks.values()))

    def __contains__(self, frame: int) -> bool:
        return frame in self.chunk(frame)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the frames that have a mask, ascending."""
        for number in sorted(self.chunks):
            yield from self.chunks[number]

    def __getitem__(self, frame: int) -> StoredMask:
        """Return the mask of a frame.

        Raises
        ------
        KeyError
            If the frame has none.
        """
        return self.chunk(frame)[frame]

    def get(self, frame: int) -> StoredMask | None:
        """Return the mask of a frame, or None."""
        return self.chunk(frame).get(frame)

    def spans(self) -> Iterator[range]:
        """Iterate over the frames that have a mask, in pieces of consecutive ones, ascending."""
        start = stop = 0
        for number in sorted(self.chunks):
            chunk = self.chunks[number]
            first = number * CHUNK
            whole = (range(first, first + CHUNK),) if len(chunk) == CHUNK else ()
            for piece in whole or (range(f, f + 1) for f in chunk):
                if piece.start != stop:
                    if start < stop:
                        yield range(start, stop)
                    start = piece.start
                stop = piece.stop
        if start < stop:
            yield range(start, stop)

    def chunk(self, frame: int) -> MaskChunk:
        """Return the chunk that a frame lies in; empty where it has none."""
        return self.chunks.get(frame // CHUNK, NO_MASKS)

    def with_mask(self, frame: int, mask: StoredMask) -> Masklet:
        """Return a copy in which `mask` replaces what the frame had."""
        number = frame // CHUNK
        chunks = self.chunks.copy()  # of a proxy, a hundred times faster than {**self.chunks}
        chunks[number] = chunks.get(number, NO_MASKS).with_mask(frame, mask)
        return Masklet(self.object_id, MappingProxyType(chunks))

    def without(self, frames: Iterable[int]) -> Masklet:
        """Return a copy that has no masks on some frames."""
        chunks = self.chunks.copy()
        for frame in frames:
            number = frame // CHUNK
            if frame in chunks.get(number, NO_MASKS):
                chunks[number] = chunks[number].without(frame)
        kept = {number: chunk for number, chunk in chunks.items() if len(chunk)}
        return Masklet(self.object_id, MappingProxyType(kept))

    def without_pointers(self) -> Masklet:
        """Return a copy whose masks have no pointers, so that no network builds on them."""
        chunks = {number: chunk.without_pointers() for number, chunk in self.chunks.items()}
        return Masklet(self.object_id, MappingProxyType(chunks))

    @property
    def nbytes(self) -> int:
        """Size of all masks and pointers, in bytes, wherever they are."""
        return sum(chunk.nbytes for chunk in self.chunks.values())


def paint_labels(
    masklets: Iterable[Masklet], frame: int, shape: tuple[int, int]
) -> NDArray[np.uint16]:
    """Paint the objects of one frame; where they overlap, the higher logit wins.

    Parameters
    ----------
    masklets : iterable of Masklet
    frame : int
    shape : tuple of int
        Height and width of the frame, in pixels.

    Returns
    -------
    (H, W) uint16 array
        Object ids; 0 where no object is, or where the frame has no mask. Of equal logits the
        first masklet's wins.
    """
    labels = np.zeros(shape, np.uint16)
    highest = np.zeros(shape, np.float32)
    for masklet in masklets:
        mask = masklet.get(frame)
        if mask is None or mask.empty:
            continue
        rows, columns, logits = mask.upsample(shape)
        wins = logits > highest[rows, columns]
        labels[rows, columns][wins] = masklet.object_id
        np.maximum(highest[rows, columns], logits, out=highest[rows, columns])
    return labels
