"""Policies by name, and how a person writes them down."""

import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from napari_surgisam.engine.policies import (
    POLICIES,
    ConfidentFrames,
    DistractorAware,
    EfficientFramePruning,
    MotionAware,
    RecentFrames,
    SplitPruning,
    choose_policy,
    parse_policy,
    settings_of,
)
from napari_surgisam.errors import ModelError

DOCS = Path(__file__).parents[3] / "docs" / "policies.md"


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_a_frozen_value_with_a_source_that_is_made_by_its_name(name):
    spec = POLICIES[name]
    policy = parse_policy(name)
    assert type(policy) is spec.make
    assert policy == spec.make()
    assert re.search(r"arXiv:\d{4}\.\d{5}$", spec.citation)
    assert spec.source and spec.summary and len(spec.summary) < 70
    for field in fields(policy):
        with pytest.raises(FrozenInstanceError):
            setattr(policy, field.name, field.default)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sam2", RecentFrames()),
        ("sam2:", RecentFrames()),
        (" efficient-pruning:version=1, prune=3 ", EfficientFramePruning(version=1, prune=3)),
        ("efficient-pruning:protect_prompted=yes", EfficientFramePruning(protect_prompted=True)),
        ("split-pruning:mode=published", SplitPruning(mode="published")),
        ("confident:min_trust=0.5", ConfidentFrames(0.5)),
        ("distractor-aware:visible_only=off", DistractorAware(visible_only=False)),
        ("motion-aware:min_presence=-inf,weight=.15", MotionAware(0.15, min_presence=-1e999)),
    ],
)
def test_settings_are_read(text, expected):
    assert parse_policy(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eficient-pruning", r"no memory policy 'eficient-pruning'. Did you mean efficient-pr"),
        ("", r"no memory policy ''. Known: sam2, efficient-pruning, .*\.$"),
        ("auto", "no memory policy 'auto'"),
        ("sam2:k=3", "sam2 has no setting 'k'; its settings are: none"),
        ("diverse:k=3", "its settings are: min_iou, run, frames, compare"),
        ("diverse:frames", r"Cannot read 'frames' .* write frames=VALUE, for example frames=4"),
        ("diverse:frames=many", "cannot read frames=many: it must be a whole number"),
        ("diverse:frames=2.5", "cannot read frames=2.5: it must be a whole number"),
        ("diverse:min_iou=high", "it must be a number"),
        ("diverse:min_iou=nan", "cannot use min_iou=nan"),
        ("diverse:compare=tokens", "knows no compare=tokens: choose image or memory"),
        ("diverse:frames=2,frames=3", "sets frames twice"),
        ("distractor-aware:visible_only=maybe", "it must be yes or no"),
        ("confident:min_trust=2", "cannot use min_trust=2: it must be from -1 to 1"),
        ("motion-aware:steady=0", "cannot use steady=0: it must be 1 or more"),
    ],
)
def test_what_cannot_be_is_refused_with_what_could(text, message):
    with pytest.raises(ModelError, match=message):
        parse_policy(text)


def test_auto_is_what_the_models_weights_were_made_with():
    assert choose_policy("auto", "sam2.1_hiera_tiny") == RecentFrames()
    assert choose_policy("auto", "embedded") == RecentFrames()
    assert choose_policy("auto", "surgsam2_2.1") == EfficientFramePruning()
    assert choose_policy("sam2", "surgsam2_2.1") == RecentFrames()
    with pytest.raises(ModelError, match="no model 'sam9'"):
        choose_policy("auto", "sam9")


def test_auto_knows_a_file_by_its_name_and_keys(tmp_path):
    path = tmp_path / "a model of my own.pt"
    path.touch()
    assert choose_policy("auto", path) == RecentFrames()


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_and_setting_is_documented(name):
    chapters = re.split(r"^## ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (chapter,) = [c for c in chapters if c.startswith(f"`{name}`")]
    for setting in settings_of(name):
        assert f"`{setting}`" in chapter
    assert POLICIES[name].citation.split("arXiv:")[1] in chapter
