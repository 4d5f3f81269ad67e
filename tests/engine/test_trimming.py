"""Freed memory goes back to the system."""

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_surgisam.engine.trimming import EVERY, give_back_memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc keeps it")
def test_holes_are_returned_now_and_then():
    kept = [np.ones(8000, np.uint8) for _ in range(20_000)]  # 160 MB in small pieces
    full = resident()
    kept = kept[::100]
    give_back_memory(EVERY - 1)
    give_back_memory(EVERY)
    assert resident() < full - 100 * 10**6
    assert len(kept) == 200
