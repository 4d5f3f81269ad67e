"""Layouts of images with labels: what is found in each, and what is said of no layout."""

import json
from pathlib import Path

import pytest

from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_tables import ClassTable, read_class_table, write_class_table
from napari_surgisam.formats.datasets import find_cases
from napari_surgisam.resources import sample_data


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root: Path):
    dataset = find_cases(root)
    return dataset.layout, {
        case.name: (
            str(case.image.relative_to(root)),
            None if case.labels is None else str(case.labels.relative_to(root)),
        )
        for case in dataset.cases
    }


def test_vos(tmp_path):
    touch(tmp_path, "JPEGImages/dog/00000.jpg", "JPEGImages/cat/00000.jpg", "ImageSets/val.txt")
    touch(tmp_path, "Annotations/dog/00000.png")
    assert found(tmp_path) == (
        "VOS",
        {"cat": ("JPEGImages/cat", None), "dog": ("JPEGImages/dog", "Annotations/dog")},
    )


def test_vos_with_davis_resolutions(tmp_path):
    touch(tmp_path, "JPEGImages/480p/dog/00000.jpg", "Annotations/480p/dog/00000.png")
    assert found(tmp_path)[1] == {"dog": ("JPEGImages/480p/dog", "Annotations/480p/dog")}


def test_nnunet(tmp_path):
    touch(tmp_path, "imagesTr/liver_01_0000.nii.gz", "imagesTr/liver_01_0001.nii.gz")
    touch(tmp_path, "imagesTr/liver_02_0000.nii.gz", "labelsTr/liver_01.nii.gz")
    facts = {"labels": {"background": 0, "liver": 1, "tumour": 2, "both": [1, 2]}}
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    assert found(tmp_path) == (
        "nnU-Net",
        {
            "liver_01": ("imagesTr/liver_01_0000.nii.gz", "labelsTr/liver_01.nii.gz"),
            "liver_02": ("imagesTr/liver_02_0000.nii.gz", None),
        },
    )
    assert find_cases(tmp_path).classes.names("liver_01", [2, 1]) == ["liver", "tumour"]


def test_nnunet_in_one_folder_needs_no_description(tmp_path):
    touch(tmp_path, "liver_01_0000.nii.gz", "liver_01_0001.nii.gz", "liver_01.nii.gz")
    touch(tmp_path, "liver_02_0000.nii.gz")
    assert found(tmp_path) == (
        "nnU-Net, in one folder",
        {"liver_01": ("liver_01_0000.nii.gz", "liver_01.nii.gz")},
    )


def test_pairs_by_name_in_two_folders(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.jpg", "images/c.png")
    touch(tmp_path, "labels/a.png", "labels/b_mask.tif")
    assert found(tmp_path) == (
        "pairs by name",
        {
            "a": ("images/a.png", "labels/a.png"),
            "b": ("images/b.jpg", "labels/b_mask.tif"),
            "c": ("images/c.png", None),
        },
    )


def test_pairs_of_metaimage_and_nrrd(tmp_path):
    touch(tmp_path, "images/a.mha", "labels/a.nrrd")
    assert found(tmp_path)[1] == {"a": ("images/a.mha", "labels/a.nrrd")}


def test_one_clip_of_frames(tmp_path):
    root = touch(tmp_path / "polyp", "frames/0.jpg", "frames/1.jpg", "labels/0.png")
    assert found(root)[1] == {"polyp": ("frames", "labels")}


def test_folders_of_cases_of_several_kinds(tmp_path):
    touch(tmp_path, "volume/image.nii.gz", "volume/label.nii.gz", "volume/meta.json")
    touch(tmp_path, "clip/frames/0.jpg", "clip/labels/0.png")
    touch(tmp_path, "movie/clip.mp4", "movie/labels/00006.png")
    touch(tmp_path, "cells/images/a.png", "cells/labels/a.png")
    touch(tmp_path, "alone/clip.mp4", "notes/readme.txt")
    assert found(tmp_path) == (
        "folders of cases",
        {
            "alone": ("alone/clip.mp4", None),
            "cells/a": ("cells/images/a.png", "cells/labels/a.png"),
            "clip": ("clip/frames", "clip/labels"),
            "movie": ("movie/clip.mp4", "movie/labels"),
            "volume": ("volume/image.nii.gz", "volume/label.nii.gz"),
        },
    )


def test_the_sample_data_are_pairs_in_one_folder():
    layout, cases = found(sample_data())
    assert layout == "pairs in one folder"
    assert cases == {
        "clip": ("clip.mp4", "clip_labels.tif"),
        "volume": ("volume.nii.gz", "volume_labels.nii.gz"),
    }


def test_one_image_with_its_labels(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.tif")
    (case,) = find_cases(tmp_path / "a.nii.gz", labels=tmp_path / "b.tif").cases
    assert (case.name, case.labels) == ("a", tmp_path / "b.tif")
    with pytest.raises(DataError, match="its labels must be given too"):
        find_cases(tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="do not exist"):
        find_cases(tmp_path / "a.nii.gz", labels=tmp_path / "c.tif")


def test_a_folder_of_no_layout_says_what_was_looked_for_and_what_was_found(tmp_path):
    touch(tmp_path, "scan1.dcm", "notes/readme.txt")
    with pytest.raises(DataError) as error:
        find_cases(tmp_path)
    said = str(error.value)
    assert "JPEGImages/CASE/*.jpg with Annotations/CASE/*.png" in said
    assert "imagesTr/CASE_0000.* with labelsTr/CASE.*" in said
    assert "Found was: notes/, scan1.dcm." in said
    with pytest.raises(DataError, match="does not exist"):
        find_cases(tmp_path / "nowhere")


def test_a_class_table_of_all_cases_and_of_one(tmp_path):
    table = ClassTable({("", 1): "liver", ("", 2): "fat", ("b", 1): "grasper"})
    write_class_table(tmp_path / "classes.csv", table)
    again = read_class_table(tmp_path / "classes.csv")
    assert dict(again.entries) == dict(table.entries)
    assert [again.name("a", k) for k in (1, 2, 9)] == ["liver", "fat", "9"]
    assert again.name("b", 1) == "grasper"
    assert again.names("b", [9, 2, 1]) == ["fat", "grasper", "9"]
    touch(tmp_path, "images/a.png", "labels/a.png")
    assert find_cases(tmp_path).classes.name("a", 1) == "liver"


def test_tables_that_are_none_are_refused(tmp_path):
    for text, reason in (
        ("id,name\n1,liver\n", "columns label and class are needed"),
        ("label,class\none,liver\n", "line 2: the label 'one' is not a whole number"),
    ):
        (tmp_path / "table.csv").write_text(text)
        with pytest.raises(DataError, match=reason):
            read_class_table(tmp_path / "table.csv")
    (tmp_path / "dataset.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match="names no labels"):
        read_class_table(tmp_path / "dataset.json")
