"""A mapping that forgets what was unused longest, to stay within a byte budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedStore(Generic[K, V]):
    """Values by key, within a byte budget; several threads may use it at once.

    Parameters
    ----------
    budget : int
        Bytes that the kept values may take together; a value larger than that is not kept.
    least : int
        Values that are kept whatever they take, the latest ones.
    """

    def __init__(self, budget: int, least: int = 0) -> None:
        self.budget, self.least = budget, least
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    @property
    def nbytes(self) -> int:
        """Memory that the kept values take, in bytes."""
        return self._nbytes

    def get(self, key: K) -> V | None:
        """Return a value and count it as used, or None."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def keep(self, key: K, value: V, nbytes: int) -> None:
        """Take up a value, replacing the key's, and forget others as the budget demands."""
        with self._lock:
            if key in self._kept:
                self._nbytes -= self._kept.pop(key)[1]
            if nbytes > self.budget and not self.least:
                return
            self._kept[key] = (value, nbytes)
            self._nbytes += nbytes
            while self._nbytes > self.budget and len(self._kept) > self.least:
                self._nbytes -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()
            self._nbytes = 0
