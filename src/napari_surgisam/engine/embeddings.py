"""Embeddings by content: source, frame and image encoder, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

import torch

from napari_surgisam.data.regions import Region
from napari_surgisam.engine.bounded import BoundedStore
from napari_surgisam.engine.budgets import memory_budget
from napari_surgisam.engine.embedding_files import EmbeddingFiles
from napari_surgisam.engine.network import FrameEmbedding

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """What an embedding depends on: the pixels of a frame or a part of it, and the encoder.

    Parameters
    ----------
    source, encoder : str
        Fingerprints.
    frame : int
    region : Region, optional
        None is the whole frame.
    """

    source: str
    frame: int
    encoder: str
    region: Region | None = None


class EmbeddingCache:
    """The embeddings used last, in memory, then on disk; several threads may use it at once.

    A frame that one thread is computing is waited for by the others, not computed again.

    Parameters
    ----------
    budget : int, optional
        Bytes of memory that the kept embeddings may take together; chosen from the memory
        that is free by default.
    files : EmbeddingFiles, optional
        Where they are kept on disk, too. Of the embedded model's, reading one takes a tenth
        of the time of computing it, of SAM 2's a hundredth.
    """

    def __init__(self, budget: int | None = None, files: EmbeddingFiles | None = None) -> None:
        self._store: BoundedStore[EmbeddingKey, FrameEmbedding] = BoundedStore(
            memory_budget() if budget is None else budget
        )
        self.files = files
        self._computing: dict[EmbeddingKey, Future[FrameEmbedding]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, key: EmbeddingKey) -> bool:
        return key in self._store or (self.files is not None and key in self.files)

    @property
    def nbytes(self) -> int:
        """Memory that the kept embeddings take, in bytes."""
        return self._store.nbytes

    def get(
        self,
        key: EmbeddingKey,
        compute: Callable[[], FrameEmbedding],
        device: torch.device = _CPU,
    ) -> FrameEmbedding:
        """Return an embedding, computing it where it is not kept.

        Parameters
        ----------
        key : EmbeddingKey
        compute : callable
            Called without arguments, in this thread; what it raises is raised here, and in
            the threads that waited for it.
        device : torch.device
            Where one goes that is read from disk.
        """
        with self._lock:
            kept = self._store.get(key)
            if kept is not None:
                return kept
            pending = self._computing.get(key)
            if pending is None:
                ours: Future[FrameEmbedding] = Future()
                self._computing[key] = ours
        if pending is not None:
            return pending.result()
        try:
            embedding = self._read_or_compute(key, compute, device)
        except BaseException as error:
            with self._lock:
                del self._computing[key]
            ours.set_exception(error)
            raise
        with self._lock:
            del self._computing[key]
            self._store.keep(key, embedding, embedding.nbytes)
        ours.set_result(embedding)
        return embedding

    def clear(self) -> None:
        """Forget everything that is kept in memory; what is on disk stays."""
        self._store.clear()

    def close(self) -> None:
        """Finish what is being written to disk."""
        if self.files is not None:
            self.files.close()

    def _read_or_compute(
        self, key: EmbeddingKey, compute: Callable[[], FrameEmbedding], device: torch.device
    ) -> FrameEmbedding:
        if self.files is None:
            return compute()
        known = self.files.read(key, device)
        if known is not None:
            return known
        embedding = compute()
        self.files.keep(key, embedding)
        return embedding
