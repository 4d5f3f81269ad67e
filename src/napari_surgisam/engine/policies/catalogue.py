"""Every memory policy by name, with its source, and how a person writes one down."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from napari_surgisam.engine.memory import MemoryPolicy
from napari_surgisam.engine.models import describe_model
from napari_surgisam.engine.policies.confident import ConfidentFrames
from napari_surgisam.engine.policies.distractors import DistractorAware
from napari_surgisam.engine.policies.diverse import DiverseMemory
from napari_surgisam.engine.policies.motion import MotionAware
from napari_surgisam.engine.policies.occlusion import OcclusionResilient
from napari_surgisam.engine.policies.pruning import EfficientFramePruning, SplitPruning
from napari_surgisam.engine.policies.recent import RecentFrames
from napari_surgisam.engine.policy_names import POLICY_SUMMARIES
from napari_surgisam.errors import ModelError

_SWITCH = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A memory policy that can be used by name.

    Parameters
    ----------
    make : type
        A frozen dataclass; its fields are the policy's settings.
    source : str
        Whose idea it is.
    citation : str
    summary : str
        What it does, in a line.
    """

    make: type[MemoryPolicy]
    source: str
    citation: str
    summary: str


_SOURCES: Mapping[str, tuple[type[MemoryPolicy], str, str]] = MappingProxyType(
    {
        "sam2": (RecentFrames, "SAM 2", "Ravi et al., arXiv:2408.00714"),
        "efficient-pruning": (EfficientFramePruning, "SurgSAM-2", "Liu et al., arXiv:2408.07931"),
        "split-pruning": (SplitPruning, "TSMS-SAM2", "Xu et al., arXiv:2508.05829"),
        "diverse": (DiverseMemory, "SAM2S", "Liu et al., arXiv:2511.16618"),
        "confident": (ConfidentFrames, "SAM 3", "Carion et al., arXiv:2511.16719"),
        "occlusion-resilient": (OcclusionResilient, "MA-SAM2", "Yin et al., arXiv:2507.09577"),
        "distractor-aware": (DistractorAware, "DAM4SAM", "Videnovic et al., arXiv:2411.17576"),
        "motion-aware": (MotionAware, "SAMURAI", "Yang et al., arXiv:2411.11922"),
    }
)

POLICIES: Mapping[str, PolicySpec] = MappingProxyType(
    {name: PolicySpec(*_SOURCES[name], summary) for name, summary in POLICY_SUMMARIES.items()}
)
"""The memory policies by name, SAM 2's own first."""


def settings_of(name: str) -> dict[str, Any]:
    """Return the settings of a policy and their defaults.

    Raises
    ------
    ModelError
        If there is no such policy.
    """
    # a policy is a dataclass, which its protocol cannot say
    made: Any = _spec(name).make
    return {field.name: field.default for field in fields(made)}


def parse_policy(text: str) -> MemoryPolicy:
    """Read a policy written as ``NAME`` or ``NAME:setting=value,...``.

    Parameters
    ----------
    text : str
        For example ``efficient-pruning:version=1,prune=2``. What is not set has its default.

    Raises
    ------
    ModelError
        If there is no such policy or setting, or a value is impossible.
    """
    name, _, rest = text.strip().partition(":")
    spec = _spec(name)
    known = settings_of(name)
    hints = get_type_hints(spec.make)
    chosen: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in rest.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in known:
            has = ", ".join(known) or "none"
            raise ModelError(
                f"The memory policy {name} has no setting {key!r}; its settings are: {has}."
            )
        if not equals:
            raise ModelError(
                f"Cannot read {part!r} in the memory policy {text!r}: write {key}=VALUE, for "
                f"example {key}={_written(known[key])}."
            )
        if key in chosen:
            raise ModelError(f"The memory policy {text!r} sets {key} twice: keep one.")
        chosen[key] = _value(name, key, value, hints[key])
    return spec.make(**chosen)


def choose_policy(choice: str, model: str | Path) -> MemoryPolicy:
    """Return the policy that a choice means for a model.

    Parameters
    ----------
    choice : str
        ``auto``, the policy that the model's weights were made with, or as for `parse_policy`.
    model : str or Path
        As for `load_network`.

    Raises
    ------
    ModelError
        If there is no such policy, setting or model.
    """
    if choice.strip() != "auto":
        return parse_policy(choice)
    spec = describe_model(model)
    return RecentFrames() if spec is None else parse_policy(spec.policy)


def _spec(name: str) -> PolicySpec:
    if name not in POLICIES:
        close = difflib.get_close_matches(name, POLICIES, n=2, cutoff=0.5)
        proposal = f"Did you mean {' or '.join(close)}?" if close else ""
        raise ModelError(
            f"There is no memory policy {name!r}. {proposal or 'Known: ' + ', '.join(POLICIES)}"
            f"{'' if proposal else '.'}"
        )
    return POLICIES[name]


def _value(policy: str, key: str, text: str, kind: object) -> Any:
    kinds: dict[object, str] = {int: "a whole number", float: "a number", bool: "yes or no"}
    try:
        if kind is bool:
            return _SWITCH[text.lower()]
        return kind(text) if kind in (int, float) and callable(kind) else text
    except (ValueError, KeyError):
        raise ModelError(
            f"The memory policy {policy} cannot read {key}={text}: it must be {kinds[kind]}."
        ) from None


def _written(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
