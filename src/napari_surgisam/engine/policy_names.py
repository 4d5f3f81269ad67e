"""The memory policies' names, in a line each, for those who only offer them: no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

POLICY_SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "sam2": "prompted frames and the six just passed",
        "efficient-pruning": "sam2 less the memories most like the latest: faster",
        "split-pruning": "sam2 less the most redundant memory of each half: faster",
        "diverse": "sam2 and up to four unlike views from long ago: slower",
        "confident": "the latest frames that the network trusted",
        "occlusion-resilient": "sure frames, and some from before an occlusion",
        "distractor-aware": "frames where something like the object was told apart",
        "motion-aware": "the mask that fits the object's motion, and frames that did",
    }
)
"""What each policy of `engine.policies.POLICIES` attends to, by name, SAM 2's own first."""
