"""What a dock widget keeps running, and must end with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_surgisam.plugin.preferences import cache_budget
from napari_surgisam.plugin.runner import JobThread
from napari_surgisam.plugin.workbench import Workbench

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_surgisam.engine.embeddings import EmbeddingCache


class Backstage:
    """What must end when the window closes, even where Qt deletes the widget first."""

    def __init__(self) -> None:
        self.thread = JobThread()
        self.download_thread = JobThread()
        self.benches: dict[Image, Workbench] = {}
        self.disconnect: list[Callable[[], object]] = []
        self._cache: EmbeddingCache | None = None

    def cache(self) -> EmbeddingCache:
        """Return the embeddings of all images, within the budgets of napari's preferences.

        Raises
        ------
        DataError
            If these cannot be read.
        """
        if self._cache is None:
            self._cache = cache_budget().open()
        return self._cache

    def close(self, *_: object) -> None:
        """End what runs and stop listening to the viewer."""
        for disconnect in self.disconnect:
            disconnect()
        self.disconnect.clear()
        self.thread.close()
        self.download_thread.close()
        for bench in self.benches.values():
            bench.close()
        self.benches.clear()
        if self._cache is not None:
            self._cache.close()
