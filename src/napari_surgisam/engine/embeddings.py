"""Embeddings by content: source, frame and image encoder, within a byte budget."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

from napari_surgisam.data.regions import Region
from napari_surgisam.engine.bounded import BoundedStore
from napari_surgisam.engine.network import FrameEmbedding

DEFAULT_BUDGET = 1 << 30


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
    """The embeddings used last, in memory; several threads may use it at once.

    A frame that one thread is computing is waited for by the others, not computed again.

    Parameters
    ----------
    budget : int
        Bytes that the kept embeddings may take together.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self._store: BoundedStore[EmbeddingKey, FrameEmbedding] = BoundedStore(budget)
        self._computing: dict[EmbeddingKey, Future[FrameEmbedding]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._store)

    def __contains__(self, key: EmbeddingKey) -> bool:
        return key in self._store

    @property
    def nbytes(self) -> int:
        """Memory that the kept embeddings take, in bytes."""
        return self._store.nbytes

    def get(self, key: EmbeddingKey, compute: Callable[[], FrameEmbedding]) -> FrameEmbedding:
        """Return an embedding, computing it where it is not kept.

        Parameters
        ----------
        key : EmbeddingKey
        compute : callable
            Called without arguments, in this thread; what it raises is raised here, and in
            the threads that waited for it.
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
            embedding = compute()
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
        """Forget everything that is kept."""
        self._store.clear()
