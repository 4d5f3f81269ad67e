"""Memory that was freed and that the process still holds."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

EVERY = 32
"""Steps from one return of memory to the next."""


def give_back_memory(step: int) -> None:
    """Return freed memory to the system where the C library keeps it (Linux, glibc).

    Frames are decoded in one thread and freed in another, which leaves holes: without this a
    long video takes 100 MB more than a short one. It takes a few milliseconds.

    Parameters
    ----------
    step : int
        Only every 32nd does it.
    """
    trim = _trim() if step % EVERY == 0 else None
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], Any] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
    return trim
