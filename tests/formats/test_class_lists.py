"""Lists of classes in files."""

import json

import pytest

from napari_surgisam.data.class_presets import PRESETS
from napari_surgisam.data.classes import COLOURS, ClassList, ObjectClass
from napari_surgisam.errors import DataError
from napari_surgisam.formats.class_lists import (
    classes_by_object,
    classes_of_table,
    read_class_list,
    write_class_list,
)
from napari_surgisam.formats.class_tables import read_class_table

CLASSES = ClassList(
    (
        ObjectClass("Gallenblase, groß", 7, (1, 20, 255), "first", -2),
        ObjectClass("tool", 2, (255, 255, 255), priority=3),
    )
)


@pytest.mark.parametrize("name", ["classes.csv", "dataset.json"])
def test_a_list_comes_back_and_is_a_table_of_classes(tmp_path, name):
    path = tmp_path / name
    write_class_list(path, CLASSES)
    assert read_class_list(path) == CLASSES
    table = read_class_table(path)
    assert classes_of_table(table) == {7: "Gallenblase, groß", 2: "tool"}
    preset = PRESETS["EndoVis 2018 scene"]
    write_class_list(path, preset)
    assert read_class_list(path) == preset


def test_a_plain_table_gets_colours_and_the_usual_rule(tmp_path):
    path = tmp_path / "classes.csv"
    path.write_text("case,label,class\n,1,liver\nb,3,stone\n,4,liver\n,3,bile\n")
    known = read_class_list(path)
    assert [(c.name, c.label) for c in known] == [("liver", 1), ("stone", 3), ("bile", 4)]
    assert known.get("liver") == ObjectClass("liver", 1, COLOURS[0])
    assert classes_of_table(read_class_table(path)) == {1: "liver", 4: "liver", 3: "bile"}
    found = classes_by_object({1: "liver", 4: "liver", 9: "new"}, known)
    assert found[1] is found[4] and (found[9].name, found[9].label) == ("new", 9)


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ("1,a,red,,", "colour 'red' of the class a.*#rrggbb"),
        ("1,a,,loudest,", "surest or first"),
        ("1,a,,,high", "priority 'high' of the class a"),
    ],
)
def test_what_a_cell_cannot_say_is_refused_with_its_place(tmp_path, row, match):
    path = tmp_path / "classes.csv"
    path.write_text(f"label,class,colour,overlap,priority\n{row}\n")
    with pytest.raises(DataError, match=match) as error:
        read_class_list(path)
    assert str(path) in str(error.value)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"\.csv or \.json"):
        write_class_list(tmp_path / "a.txt", CLASSES)
    with pytest.raises(DataError, match="cannot be written"):
        write_class_list(tmp_path / "no" / "a.csv", CLASSES)
    (tmp_path / "a.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(DataError, match="names no labels"):
        read_class_list(tmp_path / "a.json")
