import numpy as np
import pytest
import tifffile
from fakes import MovingDiscs
from films import truth_of

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.errors import DataError
from napari_surgisam.evaluation.cases import MemoryCase
from napari_surgisam.formats.class_tables import ClassTable
from napari_surgisam.training import clips
from napari_surgisam.training.clips import (
    choose_samples,
    count_by_class,
    find_labelled,
    label_classes,
    open_labelled,
    split_cases,
)


def _case(name, levels=(230, 140), length=6):
    discs = MovingDiscs(length=length, levels=levels, shape=(48, 64))
    return MemoryCase(name, discs, truth_of(discs))


def _volume(labels, name="volume"):
    frames = ArrayFrames(np.zeros(labels.shape, np.uint8), window=(0, 1), time_axis=None)
    return MemoryCase(name, frames, labels, ClassTable({("", 1): "liver", ("", 2): "vein"}))


def test_the_split_is_by_case_and_follows_the_seed():
    names = [f"case{k}" for k in range(10)]
    split = split_cases(names, 0.2, seed=3)
    assert len(split.validation) == 2
    assert sorted(split.training + split.validation) == names
    assert split == split_cases(names[::-1], 0.2, seed=3)
    assert len({split_cases(names, 0.2, seed).validation for seed in range(8)}) > 1


def test_a_small_fraction_still_validates_and_zero_does_not():
    assert len(split_cases(["a", "b"], 0.01, 0).validation) == 1
    assert len(split_cases(["a", "b"], 0.99, 0).training) == 1
    assert split_cases(["a"], 0, 0).validation == ()


@pytest.mark.parametrize(
    ("names", "fraction", "said"),
    [
        pytest.param(["a"], 0.2, "--val-fraction 0", id="one-case"),
        pytest.param(["a", "b"], 1.0, "below 1", id="all"),
        pytest.param(["a", "b"], -0.1, "below 1", id="negative"),
    ],
)
def test_impossible_splits_are_refused(names, fraction, said):
    with pytest.raises(DataError, match=said):
        split_cases(names, fraction, 0)


def test_samples_are_as_many_of_every_class_and_more_include_fewer():
    cases = open_labelled([_case("a"), _case("b")])
    few, more = choose_samples(cases, 3, seed=1), choose_samples(cases, 5, seed=1)
    assert count_by_class(few) == {"1": 3, "2": 3}
    assert set(few) < set(more)
    assert few == choose_samples(cases, 3, seed=1)
    assert few != choose_samples(cases, 3, seed=2)
    assert len(choose_samples(cases)) == sum(count_by_class(choose_samples(cases, 999)).values())
    with pytest.raises(DataError, match="1 or more"):
        choose_samples(cases, 0)


def test_a_case_with_much_does_not_keep_out_one_with_little():
    cases = open_labelled([_case("long", length=60), _case("short", length=3)])
    few = choose_samples(cases, 8)
    for kind in ("1", "2"):
        names = [sample.case for sample in few if sample.class_name == kind]
        assert (names.count("long"), names.count("short")) == (5, 3)


def test_classes_are_named_by_the_table_and_merged_labels_are_one():
    labels = np.zeros((3, 16, 16), np.uint8)
    labels[0, :4, :4], labels[1, 8:, 8:] = 1, 2
    assert count_by_class(choose_samples(open_labelled([_volume(labels)]))) == {
        "liver": 1,
        "vein": 1,
    }
    merged = open_labelled([_volume(labels)], merge=True)
    assert count_by_class(choose_samples(merged)) == {"object": 2}


def test_a_class_of_one_pixel_is_refused():
    labels = np.zeros((3, 16, 16), np.uint8)
    labels[0, :4, :4], labels[1, 8, 8] = 1, 2
    with pytest.raises(DataError, match="vein is nowhere larger than 1 pixels"):
        choose_samples(open_labelled([_volume(labels)]))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param(np.zeros((3, 16, 16), np.uint8), "empty", id="none"),
        pytest.param(np.ones((3, 16, 16), np.float32), "whole numbers", id="float"),
    ],
)
def test_labels_that_teach_nothing_are_refused(labels, said):
    with pytest.raises(DataError, match=said):
        open_labelled([_volume(labels)])


def test_labels_on_another_grid_and_double_names_are_refused():
    frames = ArrayFrames(np.zeros((3, 16, 16), np.uint8), window=(0, 1))
    with pytest.raises(DataError, match="own grid"):
        open_labelled([MemoryCase("a", frames, np.ones((3, 16, 15), np.uint8))])
    with pytest.raises(DataError, match="Two cases"):
        open_labelled([_case("a"), _case("a")])


def test_folders_give_their_labelled_cases(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder / "images").mkdir(parents=True)
        (tmp_path / folder / "labels").mkdir()
        for name in "ab":
            np.save(tmp_path / folder / "images" / f"{name}.npy", np.zeros((5, 16, 16), np.uint8))
        labels = np.ones((5, 16, 16), np.uint8)
        tifffile.imwrite(tmp_path / folder / "labels" / "a.tif", labels)
    assert [case.name for case in find_labelled([tmp_path / "one"])] == ["a"]
    both = find_labelled([tmp_path / "one", tmp_path / "two"])
    assert [case.name for case in both] == ["one/a", "two/a"]
    assert set(open_labelled(both)) == {"one/a", "two/a"}
    (tmp_path / "one" / "labels" / "a.tif").unlink()
    with pytest.raises(DataError, match="nothing to learn from"):
        find_labelled([tmp_path / "one"])


def _named(name, labels, table):
    frames = ArrayFrames(np.zeros((1, 16, 16), np.uint8), window=(0, 1))
    volume = np.zeros((1, 16, 16), np.uint8)
    for k, label in enumerate(labels):
        volume[0, 4 * k : 4 * k + 4, :4] = label
    return MemoryCase(name, frames, volume, ClassTable(table))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param({("", 2): "vein", ("", 10): "bone"}, {"vein": 2, "bone": 10}, id="own"),
        pytest.param({}, {"2": 2, "10": 10}, id="numbers"),
        pytest.param({("a", 2): "vein", ("b", 10): "vein"}, {"10": 1, "2": 2, "vein": 3}, id="new"),
    ],
)
def test_classes_keep_their_labels_where_they_have_one_of_their_own(table, expected):
    cases = open_labelled([_named("a", (2, 10), table), _named("b", (2, 10), table)])
    found = label_classes(cases)
    assert found == expected
    assert list(found) == list(expected)


def test_too_many_classes_are_refused(monkeypatch):
    monkeypatch.setattr(clips, "MOST_CLASSES", 1)
    with pytest.raises(DataError, match="--merge-labels"):
        label_classes(open_labelled([_named("a", (2, 10), {})]))
