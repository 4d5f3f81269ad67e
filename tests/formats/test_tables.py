from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from formats.movies import Recipe
from napari.layers import Points, Shapes
from napari_builtins.io import csv_to_layer_data, napari_write_points, napari_write_shapes

from napari_surgisam.data.frames import ArrayFrames
from napari_surgisam.data.prompts import Box, MaskPrompt, Point, Prompt, PromptBook
from napari_surgisam.errors import DataError, PromptError
from napari_surgisam.formats.tables import read_prompts, write_boxes, write_points
from napari_surgisam.formats.video import VideoFrames

FRAMES = ArrayFrames(np.zeros((10, 50, 60), np.uint8))
PICTURE = ArrayFrames(np.zeros((50, 60), np.uint8))
POINTS = "index,axis-0,axis-1,axis-2,object_id,polarity\n"
SHAPES = "index,shape-type,vertex-index,axis-0,axis-1,axis-2,object_id\n"


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def prompts(book: PromptBook) -> dict[tuple[int, int], Prompt]:
    return {(p.object_id, p.frame): p for p in book if isinstance(p, Prompt)}


def rectangle(index: int, frame: float, y0, x0, y1, x1, object_id: int = 1) -> str:
    corners = ((y0, x0), (y0, x1), (y1, x1), (y1, x0))
    return "".join(
        f"{index},rectangle,{k},{frame},{y},{x},{object_id}\n" for k, (y, x) in enumerate(corners)
    )


def test_points_of_napari_itself(tmp_path: Path) -> None:
    """A layer saved by napari, with the two features that the widget keeps."""
    layer = Points(
        np.array([[3.0, 20.5, 30.25], [3, 21, 31], [7, 1, 2], [3, 5, 6]]),
        features=pd.DataFrame(
            {
                "object_id": [2, 2, 1, 1],
                "polarity": ["positive", "negative", "positive", "positive"],
            }
        ),
    )
    path = tmp_path / "clicks.csv"
    assert napari_write_points(str(path), *layer.as_layer_data_tuple()[:2])
    assert path.read_text().startswith("index,axis-0,axis-1,axis-2,object_id,polarity")
    assert prompts(read_prompts([path], FRAMES)) == {
        (1, 3): Prompt(1, 3, (Point(5, 6),)),
        (1, 7): Prompt(1, 7, (Point(1, 2),)),
        (2, 3): Prompt(2, 3, (Point(20.5, 30.25), Point(21, 31, positive=False))),
    }


def test_points_of_a_layer_with_numbers_alone(tmp_path: Path) -> None:
    """Napari then writes the object ids as 2.0."""
    layer = Points(np.array([[3.0, 20, 30]]), features=pd.DataFrame({"object_id": [2]}))
    napari_write_points(str(tmp_path / "a.csv"), *layer.as_layer_data_tuple()[:2])
    assert prompts(read_prompts([tmp_path / "a.csv"], FRAMES)) == {
        (2, 3): Prompt(2, 3, (Point(20, 30),))
    }


def test_shapes_of_napari_itself_with_and_without_object_ids(tmp_path: Path) -> None:
    boxes = [
        np.array([[4, 10, 12], [4, 10, 40], [4, 30, 40], [4, 30, 12]]),
        np.array([[5, 1, 2], [5, 1, 4], [5, 3, 4], [5, 3, 2]]),
    ]
    path = tmp_path / "boxes.csv"
    layer = Shapes(boxes, shape_type="rectangle")
    assert napari_write_shapes(str(path), *layer.as_layer_data_tuple()[:2])
    assert prompts(read_prompts([path], FRAMES)) == {
        (1, 4): Prompt(1, 4, box=Box(10, 12, 30, 40)),
        (1, 5): Prompt(1, 5, box=Box(1, 2, 3, 4)),
    }
    saved = pd.read_csv(path)
    saved["object_id"] = saved["index"] + 5
    saved.to_csv(path, index=False)
    assert set(prompts(read_prompts([path], FRAMES))) == {(5, 4), (6, 5)}


def test_what_is_written_napari_opens(tmp_path: Path) -> None:
    book = PromptBook()
    book = book.with_prompt(Prompt(3, 2, (Point(4.5, 5), Point(6, 7, False)), Box(1, 2, 30, 40)))
    book = book.with_prompt(Prompt(1, 9, (Point(0, 0),)))
    book = book.with_prompt(MaskPrompt(1, 1, np.zeros((50, 60), bool)))
    write_points(tmp_path / "points.csv", book)
    write_boxes(tmp_path / "boxes.csv", book)
    points, _, kind = csv_to_layer_data(str(tmp_path / "points.csv"))
    assert kind == "points"
    np.testing.assert_array_equal(points, [[9, 0, 0], [2, 4.5, 5], [2, 6, 7]])
    shapes, _, kind = csv_to_layer_data(str(tmp_path / "boxes.csv"))
    assert kind == "shapes" and len(shapes) == 1
    back = read_prompts([tmp_path / "points.csv", tmp_path / "boxes.csv"], FRAMES)
    assert prompts(back) == prompts(book)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_frame_is_the_column_of_the_axis(axis: int, tmp_path: Path) -> None:
    frames = ArrayFrames(np.zeros((10, 50, 60), np.uint8), axis=axis)
    path = table(tmp_path / "a.csv", POINTS + "0,4,20,30,1,positive\n")
    expected = {
        0: Prompt(1, 4, (Point(20, 30),)),
        1: Prompt(1, 20, (Point(4, 30),)),
        2: Prompt(1, 30, (Point(4, 20),)),
    }[axis]
    book = read_prompts([path], frames)
    assert list(book) == [expected]
    write_points(tmp_path / "b.csv", book, axis=axis)
    assert list(read_prompts([tmp_path / "b.csv"], frames)) == [expected]


def test_four_columns_and_at(tmp_path: Path) -> None:
    header = "index,axis-0,axis-1,axis-2,axis-3,object_id\n"
    path = table(tmp_path / "a.csv", header + "0,2,4,20,30,1\n1,3,5,20,30,1\n2,2,6,20,30,2\n")
    book = read_prompts([path], FRAMES, at={0: 2})
    assert set(prompts(book)) == {(1, 4), (2, 6)}
    assert set(prompts(read_prompts([path], FRAMES, at={1: 5}))) == {(1, 3)}
    with pytest.raises(DataError, match="4 axes"):
        read_prompts([path], FRAMES)
    with pytest.raises(PromptError, match="no prompts"):
        read_prompts([path], FRAMES, at={0: 9})
    reduced = table(tmp_path / "b.csv", POINTS + "0,4,20,30,1,positive\n")
    assert set(prompts(read_prompts([reduced], FRAMES, at={0: 2}))) == {(1, 4)}
    single = table(tmp_path / "c.csv", header + "0,0,4,20,30,1\n")
    assert set(prompts(read_prompts([single], FRAMES))) == {(1, 4)}


def test_a_picture_needs_no_frame(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "index,axis-0,axis-1\n0,20,30\n")
    assert list(read_prompts([path], PICTURE)) == [Prompt(1, 0, (Point(20, 30),))]
    with pytest.raises(DataError, match="10 frames"):
        read_prompts([path], FRAMES)
    with_frame = table(tmp_path / "b.csv", POINTS + "0,0,20,30,1,positive\n")
    assert list(read_prompts([with_frame], PICTURE)) == [Prompt(1, 0, (Point(20, 30),))]
    write_points(tmp_path / "c.csv", read_prompts([path], PICTURE), ndim=2)
    assert list(read_prompts([tmp_path / "c.csv"], PICTURE)) == [Prompt(1, 0, (Point(20, 30),))]


def test_files_merge_whatever_their_order(tmp_path: Path) -> None:
    first = table(tmp_path / "a.csv", POINTS + "0,4,20,30,1,positive\n")
    second = table(tmp_path / "b.csv", POINTS + "0,4,21,31,1,negative\n1,5,1,1,2,positive\n")
    boxes = table(tmp_path / "c.csv", SHAPES + rectangle(0, 4, 10, 11, 30, 31))
    expected = Prompt(1, 4, (Point(20, 30), Point(21, 31, False)), Box(10, 11, 30, 31))
    for order in ([first, second, boxes], [boxes, first, second], [first, boxes, second]):
        assert prompts(read_prompts(order, FRAMES)) == {
            (1, 4): expected,
            (2, 5): Prompt(2, 5, (Point(1, 1),)),
        }


def test_clicks_belong_to_the_nearest_frame(tmp_path: Path) -> None:
    rows = (
        "0,3.4,1,1,1,positive\n1,3.6,1,1,2,positive\n2,4.5,1,1,3,positive\n3,-0.3,1,1,4,positive\n"
    )
    book = read_prompts([table(tmp_path / "a.csv", POINTS + rows)], FRAMES)
    assert set(prompts(book)) == {(1, 3), (2, 4), (3, 5), (4, 0)}


def test_spaces_byte_order_mark_case_and_column_order_do_not_matter(tmp_path: Path) -> None:
    text = "\ufeffpolarity, axis-2 ,axis-0,axis-1,note\n Negative ,30,4,20,hello\n,,,,\n"
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    book = read_prompts([tmp_path / "a.csv"], FRAMES)
    assert list(book) == [Prompt(1, 4, (Point(20, 30, positive=False),))]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0,4,20,30,0,positive", r"row 3: object_id is '0'.*1 to 65535"),
        ("0,4,20,30,1.5,positive", r"row 3: object_id is '1\.5'"),
        ("0,4,20,30,65536,positive", "row 3: object_id is '65536'"),
        ("0,4,20,30,-1,positive", "row 3: object_id is '-1'"),
        ("0,4,20,30,nan,positive", "row 3: object_id is 'nan'"),
        ("0,4,20,30,left,positive", "row 3: object_id is 'left'"),
        ("0,4,20,30,1,maybe", "row 3: polarity is 'maybe'.*positive or negative"),
        ("0,4,20,nan,1,positive", "row 3: axis-2 is nan"),
        ("0,4,inf,30,1,positive", "row 3: axis-1 is inf"),
        ("0,nan,20,30,1,positive", "row 3: axis-0 is nan"),
        ("0,4,20,,1,positive", "row 3: axis-2 is '', not a number"),
        ("0,10,20,30,1,positive", "row 3: .*frame 10.*frames 0 to 9"),
        ("0,-1,20,30,1,positive", "row 3: .*frame -1"),
        ("0,4,50,30,1,positive", r"row 3: .*outside frame 4 \(50 x 60"),
        ("0,4,20,-0.6,1,positive", "row 3: .*outside"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    path = table(tmp_path / "clicks.csv", f"{POINTS}0,4,20,30,1,positive\n{row}\n")
    with pytest.raises(PromptError, match=rf"clicks\.csv, {message}"):
        read_prompts([path], FRAMES)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,ellipse,0,4,10,11,1\n", "row 2: a shape of type 'ellipse'"),
        (rectangle(0, 4, 10, 11, 10, 31), r"row 2: .*no area"),
        (rectangle(0, 4, 10, 11, 30, "nan"), "row 3: axis-2 is nan"),
        (rectangle(0, 4, 60, 70, 80, 90), r"row 2: .*outside"),
        (rectangle(0, 12, 10, 11, 30, 31), r"row 2: .*frame 12"),
        (rectangle(0, 4, 10, 11, 30, 31, 0), "row 2: object_id is '0'"),
        (rectangle(0, 4, 10, 11, 30, 31) + rectangle(1, 4, 1, 1, 3, 3), "row 6: .*second box"),
        (rectangle(0, 4, 1, 1, 3, 3).replace("3,4,", "3,5,"), r"row 2: .*frames \[4, 5\]"),
    ],
)
def test_a_wrong_shape_is_named(rows: str, message: str, tmp_path: Path) -> None:
    path = table(tmp_path / "boxes.csv", SHAPES + rows)
    with pytest.raises(PromptError, match=rf"boxes\.csv, {message}"):
        read_prompts([path], FRAMES)


def test_a_second_box_in_another_file_is_refused(tmp_path: Path) -> None:
    first = table(tmp_path / "a.csv", SHAPES + rectangle(0, 4, 10, 11, 30, 31))
    second = table(tmp_path / "b.csv", SHAPES + rectangle(0, 4, 1, 1, 3, 3))
    with pytest.raises(PromptError, match=r"b\.csv, row 2: .*second box"):
        read_prompts([first, second], FRAMES)


def test_a_prompt_behind_the_end_of_a_cut_movie_is_told_why(tmp_path: Path) -> None:
    whole = Recipe(".mp4", "libx264", faststart=True).write(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    frames = VideoFrames(tmp_path / "cut.mp4")
    path = table(tmp_path / "points.csv", POINTS + "0,39,4,5,1,positive\n")
    with pytest.raises(PromptError, match=rf"row 2: .*last readable frame is {len(frames) - 1}"):
        read_prompts([path], frames)


@pytest.mark.parametrize("name", ["Object_ID", "object id", "object-id", "object", "Polarity"])
def test_a_column_that_would_not_count_is_named(name: str, tmp_path: Path) -> None:
    text = f"index,axis-0,axis-1,axis-2,{name}\n0,4,10,11,2\n"
    with pytest.raises(DataError, match=rf"points\.csv has a column '{name}': call it "):
        read_prompts([table(tmp_path / "points.csv", text)], FRAMES)


def test_no_prompts_and_no_tables(tmp_path: Path) -> None:
    for text in ("", POINTS, SHAPES):
        with pytest.raises(PromptError, match="no prompts"):
            read_prompts([table(tmp_path / "a.csv", text)], FRAMES)
    with pytest.raises(PromptError, match="no prompts"):
        read_prompts([], FRAMES)
    for header in ("y,x\n1,2\n", "index,axis-0\n0,1\n", "index,axis-0,axis-2,axis-3\n0,1,2,3\n"):
        with pytest.raises(DataError, match="no table of prompts"):
            read_prompts([table(tmp_path / "a.csv", header)], FRAMES)
    with pytest.raises(DataError, match="row 3: 2 values"):
        read_prompts([table(tmp_path / "a.csv", POINTS + "0,1,2,3,1,positive\n0,1\n")], FRAMES)
    with pytest.raises(DataError, match="do not exist"):
        read_prompts([tmp_path / "nowhere.csv"], FRAMES)
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(DataError, match=r"picture\.csv cannot be read"):
        read_prompts([tmp_path / "picture.csv"], FRAMES)


def test_the_size_of_a_mask_is_a_column_where_there_is_one(tmp_path: Path) -> None:
    book = PromptBook()
    for prompt in (
        Prompt(1, 3, (Point(5, 6),), mask_size="large"),
        Prompt(2, 3, (Point(8, 6), Point(9, 9)), mask_size="small"),
        Prompt(3, 3, (Point(8, 6),)),
    ):
        book = book.with_prompt(prompt)
    path = tmp_path / "clicks.csv"
    write_points(path, book)
    assert path.read_text().splitlines()[0].endswith(",polarity,mask_size")
    assert read_prompts([path], FRAMES) == book
    write_points(path, book.without(1).without(2))
    assert "mask_size" not in path.read_text()
    empty = table(tmp_path / "empty.csv", POINTS.strip() + ",mask_size\n0,1,2,3,1,positive,\n")
    assert prompts(read_prompts([empty], FRAMES))[1, 1].mask_size == "auto"
    wrong = table(tmp_path / "wrong.csv", POINTS.strip() + ",mask_size\n0,1,2,3,1,positive,huge\n")
    with pytest.raises(PromptError, match=r"row 2: mask_size is 'huge'"):
        read_prompts([wrong], FRAMES)
    typo = table(tmp_path / "typo.csv", POINTS.strip() + ",Mask size\n0,1,2,3,1,positive,small\n")
    with pytest.raises(DataError, match="call it mask_size"):
        read_prompts([typo], FRAMES)


def test_points_that_a_search_proposed_say_nothing(tmp_path: Path) -> None:
    rows = "0,1,2,3,1,positive\n1,4,2,3,1,proposed\n"
    assert set(prompts(read_prompts([table(tmp_path / "p.csv", POINTS + rows)], FRAMES))) == {
        (1, 1)
    }
