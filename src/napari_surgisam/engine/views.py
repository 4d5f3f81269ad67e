"""A frame as the network sees it: whole, or the regions of it that its objects need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_surgisam.data.frames import FrameSource
from napari_surgisam.data.regions import Region
from napari_surgisam.engine.embeddings import EmbeddingCache, EmbeddingKey
from napari_surgisam.engine.focus import within
from napari_surgisam.engine.memory import Memory
from napari_surgisam.engine.network import FrameEmbedding, Network, Prediction, Query
from napari_surgisam.engine.resizing import resize_images
from napari_surgisam.errors import MemoryShortError

if TYPE_CHECKING:
    from concurrent.futures import Future

REGIONS_AT_ONCE = 8
"""Parts of a frame that are embedded as one batch."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameView:
    """One frame of a source before a network; what it sees is kept while the view is.

    Every method enters its own gradient-free scope.

    Parameters
    ----------
    network : Network
    cache : EmbeddingCache
        Asked first, and told.
    source : FrameSource
    frame : int
    image : Future, optional
        The frame's (H, W, 3) pixels, where they are being read already.
    """

    network: Network
    cache: EmbeddingCache
    source: FrameSource
    frame: int
    image: Future[NDArray[np.uint8]] | None = None
    _seen: dict[Region | None, FrameEmbedding] = field(default_factory=dict, init=False)
    _pixels: list[NDArray[np.uint8]] = field(default_factory=list, init=False)

    def key(self, region: Region | None) -> EmbeddingKey:
        """Return the name of a region's embedding in the cache."""
        encoder = self.network.encoder_fingerprint
        return EmbeddingKey(self.source.fingerprint, self.frame, encoder, region)

    def embed(self, regions: Sequence[Region | None]) -> list[FrameEmbedding]:
        """Return the embedding of each region; None is the whole frame.

        Raises
        ------
        DataError
            If the frame cannot be read.
        MemoryShortError
            If the device runs out of memory.
        """
        new = [r for r in dict.fromkeys(regions) if r not in self._seen]
        unknown = [r for r in new if r is not None and self.key(r) not in self.cache]
        batch: dict[Region | None, FrameEmbedding] = {}

        def compute(region: Region | None) -> FrameEmbedding:
            image = self._read()
            with self._computing():
                if region is None:
                    return self.network.embed(_as_batch(image))[0]
                if region not in batch:
                    wanted = [r for r in dict.fromkeys((*unknown, region)) if r not in batch]
                    batch.update(zip(wanted, self._embed_crops(image, wanted), strict=True))
                return batch[region]

        for region in new:
            ask = partial(compute, region)
            self._seen[region] = self.cache.get(self.key(region), ask, self.network.device)
        return [self._seen[region] for region in regions]

    def segment(
        self, queries: Sequence[Query], regions: Sequence[Region | None]
    ) -> list[Prediction]:
        """Answer queries in frame pixels, each from what its region shows, in their order."""
        embeddings = _shared(self.embed(regions))
        pairs = zip(queries, regions, strict=True)
        asked = [within(query, region, self.source.shape) for query, region in pairs]
        with self._computing():
            answers = self.network.segment(embeddings, asked)
        return [
            (answer if region is None else replace(answer, region=region)).of_size(query.mask_size)
            for answer, region, query in zip(answers, regions, queries, strict=True)
        ]

    def remember(self, predictions: Sequence[Prediction]) -> list[Memory]:
        """Encode masks into memories, each with what its region shows, in their order."""
        embeddings = _shared(self.embed([p.region for p in predictions]))
        with self._computing():
            return self.network.remember(embeddings, predictions, self.frame)

    def _read(self) -> NDArray[np.uint8]:
        if not self._pixels:
            image = self.source.read(self.frame) if self.image is None else self.image.result()
            self._pixels.append(image)
        return self._pixels[0]

    def _embed_crops(
        self, image: NDArray[np.uint8], regions: Sequence[Region]
    ) -> Iterator[FrameEmbedding]:
        """Embed parts of an (H, W, 3) image; they are resized first, to fit into one batch."""
        side = self.network.image_size
        for start in range(0, len(regions), REGIONS_AT_ONCE):
            chunk = regions[start : start + REGIONS_AT_ONCE]
            crops = [resize_images(_as_batch(region.crop(image)), side) for region in chunk]
            for region, made in zip(chunk, self.network.embed(torch.cat(crops)), strict=True):
                yield replace(made, size=(region.height, region.width))

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Switch gradients off, and say where the device's memory ran out."""
        try:
            with torch.no_grad():
                yield
        except torch.OutOfMemoryError as error:
            raise MemoryShortError(
                f"The device ran out of memory on frame {self.frame}. What was done is kept. "
                "Choose a smaller image size or model, or the CPU."
            ) from error


def _shared(embeddings: Sequence[FrameEmbedding]) -> FrameEmbedding | Sequence[FrameEmbedding]:
    """Return the one embedding that all share, where they do: it is not copied then."""
    first = embeddings[0]
    return first if all(e is first for e in embeddings) else embeddings


def _as_batch(image: NDArray[np.uint8]) -> Tensor:
    """Return an (H, W, 3) image as a (1, 3, H, W) tensor."""
    return torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
