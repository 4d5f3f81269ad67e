"""Embeddings by content: source, frame and image encoder, within a byte budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

from napari_surgisam.engine.network import FrameEmbedding

DEFAULT_BUDGET = 1 << 30


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """What an embedding depends on: the pixels of a frame, and the encoder."""

    source: str
    frame: int
    encoder: str


class EmbeddingCache:
    """The embeddings used last, in memory; several threads may use it at once.

    A frame that one thread is computing is waited for by the others, not computed again.

    Parameters
    ----------
    budget : int
        Bytes that the kept embeddings may take together.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self.budget = budget
        self._kept: OrderedDict[EmbeddingKey, FrameEmbedding] = OrderedDict()
        self._computing: dict[EmbeddingKey, Future[FrameEmbedding]] = {}
        self._nbytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: EmbeddingKey) -> bool:
        return key in self._kept

    @property
    def nbytes(self) -> int:
        """Memory that the kept embeddings take, in bytes."""
        return self._nbytes

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
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
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
            self._keep(key, embedding)
        ours.set_result(embedding)
        return embedding

    def clear(self) -> None:
        """Forget everything that is kept."""
        with self._lock:
            self._kept.clear()
            self._nbytes = 0

    def _keep(self, key: EmbeddingKey, embedding: FrameEmbedding) -> None:
        if embedding.nbytes > self.budget:
            return
        self._kept[key] = embedding
        self._nbytes += embedding.nbytes
        while self._nbytes > self.budget:
            _, dropped = self._kept.popitem(last=False)
            self._nbytes -= dropped.nbytes
