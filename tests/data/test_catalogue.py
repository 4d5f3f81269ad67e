"""Classes, and what is said of objects."""

import pytest

from napari_surgisam.data.catalogue import Catalogue, catalogue_by
from napari_surgisam.data.class_presets import PRESETS
from napari_surgisam.data.classes import ClassList, ObjectClass
from napari_surgisam.data.overlaps import Claim
from napari_surgisam.errors import DataError, PromptError
from napari_surgisam.formats.conversions import CHOLECSEG8K_CLASSES, ENDOVIS17_TYPES

TOOL = ObjectClass("tool", 5, (0, 0, 255), priority=2)
LIVER = ObjectClass("liver", 2, (200, 0, 0), "first")
CLASSES = ClassList((TOOL, LIVER))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"name": " "}, "no name"),
        ({"label": 0}, "from 1 to 65535"),
        ({"colour": (0, 0, 256)}, "0 to 255"),
        ({"overlap": "loudest"}, "surest or first"),
    ],
)
def test_what_no_class_can_be_is_refused(change, match):
    with pytest.raises(DataError, match=match):
        ObjectClass(**{"name": "a", "label": 1, "colour": (1, 2, 3), **change})


def test_two_classes_cannot_share_a_name_or_a_label():
    with pytest.raises(DataError, match="the name tool"):
        ClassList((TOOL, ObjectClass("tool", 6, (1, 1, 1))))
    with pytest.raises(DataError, match="the label 5"):
        CLASSES.with_class(ObjectClass("scope", 5, (1, 1, 1)))


def test_new_classes_get_labels_and_colours_of_their_own():
    known = ClassList().including(["a", "b", "a"])
    assert [(c.name, c.label) for c in known] == [("a", 1), ("b", 2)]
    assert len({c.colour for c in known}) == 2
    joined = CLASSES.joined([ObjectClass("scope", 5, (1, 1, 1)), TOOL])
    assert [(c.name, c.label) for c in joined] == [("tool", 5), ("liver", 2), ("scope", 6)]


def test_presets_are_whole_and_agree_with_the_datasets_that_we_convert():
    for known in PRESETS.values():
        assert [c.label for c in known] == list(range(1, len(known) + 1))
    cholec = PRESETS["CholecSeg8k organs and instruments"]
    assert [c.name for c in cholec] == list(CHOLECSEG8K_CLASSES.values())
    assert [c.name for c in PRESETS["EndoVis 2017 instruments"]] == list(ENDOVIS17_TYPES)


def test_objects_follow_a_class_that_is_renamed_and_lose_one_that_goes():
    known = Catalogue(CLASSES).with_class([1, 2], "tool").with_class([3], "liver")
    renamed = ClassList((ObjectClass("hook", 5, (0, 0, 255)),))
    after = known.with_classes(renamed, {"tool": "hook"})
    assert dict(after.named) == {1: "hook", 2: "hook"}
    assert after.class_of(1).label == 5 and after.class_of(3) is None
    with pytest.raises(DataError, match=r"no class spleen.*tool, liver"):
        known.with_class([1], "spleen")
    assert dict(known.with_class([1, 3], "").named) == {2: "tool"}


def test_claims_come_from_classes_and_locks():
    known = Catalogue(CLASSES).with_class([1], "tool").with_class([2], "liver")
    assert known.claims([1, 2, 3]) == {1: Claim(priority=2), 2: Claim(by_order=True)}
    locked = known.with_locked([1, 3], True)
    assert locked.claims([1, 3]) == {1: Claim(True, 2), 3: Claim(True)}
    assert Catalogue(CLASSES).claims([1]) == {}
    with pytest.raises(PromptError, match=r"Object 3 is locked.*Unlock"):
        locked.check_open([2, 3], "moved")
    assert locked.with_locked([1, 3], False) == known


def test_what_is_gone_leaves_nothing_behind():
    known = Catalogue(CLASSES).with_class([1, 2], "tool").with_hidden([1], True)
    left = known.with_locked([1], True).without([1])
    assert left == Catalogue(CLASSES).with_class([2], "tool")
    assert known.like(1, [7]).hidden == {1, 7} and known.like(1, [7]).class_of(7) == TOOL


def test_a_catalogue_is_made_from_classes_by_object():
    known = catalogue_by({1: TOOL, 2: TOOL, 9: LIVER}, [1, 2])
    assert list(known.classes) == [TOOL, LIVER] and dict(known.named) == {1: "tool", 2: "tool"}
    assert known.by_object() == {1: TOOL, 2: TOOL}
