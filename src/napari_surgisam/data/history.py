"""Undo and redo over values."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

DEPTH = 100


class History(Generic[T]):
    """A value with its past and, after an undo, its future.

    Parameters
    ----------
    value : T
        The first value; it must not change under our hands.
    depth : int
        Steps that can be undone.
    """

    def __init__(self, value: T, depth: int = DEPTH) -> None:
        self.value = value
        self._past: deque[T] = deque(maxlen=depth)
        self._future: list[T] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to take again."""
        return bool(self._future)

    def edit(self, value: T) -> None:
        """Make a new value current, as a step of its own."""
        self._past.append(self.value)
        self._future.clear()
        self.value = value

    def amend(self, value: T) -> None:
        """Make a new value current, as part of the last step."""
        self.value = value

    def undo(self) -> bool:
        """Go back one step; False where there is none."""
        if not self._past:
            return False
        self._future.append(self.value)
        self.value = self._past.pop()
        return True

    def redo(self) -> bool:
        """Take back the last undo; False where there is none."""
        if not self._future:
            return False
        self._past.append(self.value)
        self.value = self._future.pop()
        return True
