"""What to attend to: small strategies over the memory bank, one family a module."""

from napari_surgisam.engine.policies.catalogue import (
    POLICIES,
    PolicySpec,
    choose_policy,
    parse_policy,
    settings_of,
)
from napari_surgisam.engine.policies.confident import ConfidentFrames
from napari_surgisam.engine.policies.distractors import DistractorAware
from napari_surgisam.engine.policies.diverse import DiverseMemory
from napari_surgisam.engine.policies.motion import MotionAware
from napari_surgisam.engine.policies.occlusion import OcclusionResilient
from napari_surgisam.engine.policies.pruning import EfficientFramePruning, SplitPruning
from napari_surgisam.engine.policies.recent import RecentFrames

__all__ = [
    "POLICIES",
    "ConfidentFrames",
    "DistractorAware",
    "DiverseMemory",
    "EfficientFramePruning",
    "MotionAware",
    "OcclusionResilient",
    "PolicySpec",
    "RecentFrames",
    "SplitPruning",
    "choose_policy",
    "parse_policy",
    "settings_of",
]
