"""Attend only to what the network itself trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from napari_surgisam.engine.memory import Memory, MemoryBank, MemorySelection
from napari_surgisam.engine.network import Prediction
from napari_surgisam.engine.plan import Direction
from napari_surgisam.engine.policies.recent import RECENT, latest
from napari_surgisam.engine.policies.settings import check_range


@dataclass(frozen=True, slots=True)
class ConfidentFrames:
    """The latest frames whose mask the network trusted, and always the one just passed.

    Trust is predicted IoU times `2 sigmoid(presence) - 1`, nought where the object is judged
    absent. Doubtful frames take no slot, older ones move up: after an occlusion the network
    still sees the object.

    Parameters
    ----------
    min_trust : float
        Frames of less or equal trust are left out, -1 to 1; -1 is `RecentFrames`.

    References
    ----------
    The memory selection of SAM 3: Carion et al., SAM 3: Segment Anything with Concepts,
    arXiv:2511.16719.
    """

    min_trust: float = 0.01

    def __post_init__(self) -> None:
        check_range("confident", "min_trust", self.min_trust, -1, 1)

    def select(self, bank: MemoryBank, frame: int, direction: Direction) -> MemorySelection:
        """Choose the conditioning frames, and the latest trusted ones by rank."""
        return replace(
            RECENT.select(bank, frame, direction),
            recent=latest(bank, frame, direction, bank.slots, self._trusts),
            pointers=latest(bank, frame, direction, bank.pointer_slots, self._trusts),
        )

    def retain(self, bank: MemoryBank, frame: int) -> frozenset[int]:
        """Keep as many trusted frames as may be attended to."""
        return frozenset(_trusted(bank))

    def observe(self, bank: MemoryBank, frame: int, prediction: Prediction) -> object:
        """Count the frame among the trusted ones, or not."""
        trusted = (*_trusted(bank), frame) if self._trusts(bank[frame]) else _trusted(bank)
        return trusted[-max(bank.slots, bank.pointer_slots) :]

    def _trusts(self, memory: Memory) -> bool:
        return trust(memory) > self.min_trust


def _trusted(bank: MemoryBank) -> tuple[int, ...]:
    """Return the frames that were trusted last, in the pass's order."""
    return bank.state if isinstance(bank.state, tuple) else ()


def trust(memory: Memory) -> float:
    """Return SAM 3's effective IoU of a mask, in [0, 1]: 0 where the object is judged absent."""
    return max(0.0, 2 * sigmoid(memory.presence) - 1) * memory.iou


def sigmoid(logit: float) -> float:
    """Return the probability of a logit, however large it is."""
    return 1 / (1 + exp(-logit)) if logit >= 0 else 1 - 1 / (1 + exp(logit))
