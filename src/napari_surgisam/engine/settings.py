"""Which engine computes: a value that any process can build its tracker from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_surgisam.engine.memory import MemoryPolicy
    from napari_surgisam.engine.tracker import Tracker

_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """All that decides a mask besides the prompts.

    Parameters
    ----------
    model : str
        Name or file.
    device, precision : str
        As for `load_network`.
    image_size : int, optional
    policy : str
        A memory policy as `choose_policy` reads it; the model's own by default.
    focus : {"default", "auto", "off"}
        Where the network looks; see `choose_focus`.
    threads : int, optional
        CPU threads of PyTorch. The last digits of a mask depend on it, so every process of an
        evaluation takes the same number: by default, what PyTorch takes in the first.
    """

    model: str = "embedded"
    device: str = "auto"
    precision: str = "auto"
    image_size: int | None = None
    policy: str = "auto"
    focus: str = "default"
    threads: int | None = None

    def tracker(self) -> Tracker:
        """Load the model and build the tracker.

        Raises
        ------
        ModelError
            If the model or a setting is unknown or impossible.
        """
        import torch

        from napari_surgisam.engine.focus import choose_focus
        from napari_surgisam.engine.models import load_network
        from napari_surgisam.engine.tracker import Tracker

        if self.threads is not None and torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        network = load_network(self.model, self.device, self.precision, self.image_size)
        view = choose_focus(self.focus, self.model)
        return Tracker(network, self.memory_policy(), focus=view)

    def memory_policy(self) -> MemoryPolicy:
        """Return the memory policy that is meant.

        Raises
        ------
        ModelError
            If there is none of that name, or a setting is impossible.
        """
        from napari_surgisam.engine.policies import choose_policy

        return choose_policy(self.policy, self.model)

    def with_threads(self) -> EngineSettings:
        """Return these settings with a number of threads, for every process the same."""
        import torch

        return replace(self, threads=self.threads or torch.get_num_threads())

    def of_worker(self) -> EngineSettings:
        """Return these settings with a GPU of its own for each worker of this machine."""
        import torch

        count = torch.cuda.device_count()
        if self.device not in ("auto", "cuda") or count < 2:
            return self
        from distributed import get_worker

        name = str(get_worker().name)
        return replace(self, device=f"cuda:{int(name) % count}") if name.isdigit() else self

    def check(self) -> None:
        """Raise what `tracker` would, without reading the weights."""
        from napari_surgisam.engine.focus import choose_focus
        from napari_surgisam.engine.models import check_settings

        check_settings(self.model, self.device, self.precision, self.image_size)
        choose_focus(self.focus, self.model)
        self.memory_policy()

    def model_sha256(self) -> str:
        """Return the hash of the model's file, which a report names it by."""
        from napari_surgisam.engine.models import find_weights

        digest = hashlib.sha256()
        with find_weights(self.model).open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()


@lru_cache(maxsize=1)
def loaded_tracker(settings: EngineSettings) -> Tracker:
    """Return the tracker of this process, loaded once."""
    return settings.tracker()
