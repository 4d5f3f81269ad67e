"""Prompts, the book that holds them, and what is refused."""

import numpy as np
import pytest

from napari_surgisam.data.prompts import (
    MAX_OBJECT_ID,
    Box,
    MaskPrompt,
    Point,
    Prompt,
    PromptBook,
    check_prompt,
)
from napari_surgisam.errors import PromptError

NAN, INF = float("nan"), float("inf")


def click(y=1.0, x=1.0, object_id=1, frame=0):
    return Prompt(object_id, frame, (Point(y, x),))


def boxed(*corners):
    return Prompt(1, 0, box=Box(*corners))


@pytest.mark.parametrize("object_id", [0, -1, MAX_OBJECT_ID + 1])
def test_object_ids_that_no_label_can_hold_are_refused(object_id):
    for make in (
        lambda: click(object_id=object_id),
        lambda: MaskPrompt(object_id, 0, np.ones((2, 2), bool)),
    ):
        with pytest.raises(PromptError, match=str(object_id)):
            make()


def test_a_prompt_says_something_on_a_frame():
    with pytest.raises(PromptError, match="empty"):
        Prompt(1, 0)
    with pytest.raises(PromptError, match="frame -1"):
        click(frame=-1)


def test_points_are_added_last_and_prompts_are_values():
    first, second = Point(1, 2), Point(3, 4, positive=False)
    prompt = Prompt(1, 0, (first,), Box(0, 0, 5, 5))
    assert prompt.with_point(second) == Prompt(1, 0, (first, second), Box(0, 0, 5, 5))
    assert prompt.points == (first,)


@pytest.mark.parametrize(
    "prompt",
    [
        click(0, 0),
        click(9, 19),
        click(-0.5, 19.5),  # the outer edges of the outer pixels
        boxed(0, 0, 9, 19),
        boxed(-3, -3, 4, 4),  # drawn a little over the border
        MaskPrompt(1, 4, np.zeros((10, 20), bool)),
    ],
)
def test_what_lies_in_the_frame_passes(prompt):
    check_prompt(prompt, 5, 10, 20)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (click(frame=5), "frames 0 to 4"),
        (click(10, 0), "outside frame 0 .10 x 20 pixels"),
        (click(0, 20), "Points layer"),
        (click(-0.6, 0), "outside"),
        (click(NAN, 0), "finite"),
        (click(0, INF), "finite"),
        (boxed(1, 1, 1, 5), "no area"),
        (boxed(5, 1, 1, 5), "no area"),
        (boxed(1, NAN, 3, 5), "not finite"),
        (boxed(12, 1, 15, 5), "Shapes layer"),
        (boxed(-5, 1, -1, 5), "outside"),
        (MaskPrompt(1, 0, np.zeros((20, 10), bool)), "20 x 10"),
    ],
)
def test_what_does_not_is_refused_with_its_place(prompt, says):
    with pytest.raises(PromptError, match=says):
        check_prompt(prompt, 5, 10, 20)


def test_a_book_holds_one_prompt_per_object_and_frame():
    book = PromptBook()
    for prompt in (click(object_id=2, frame=7), click(frame=3), click(frame=1), click(9, 9)):
        book = book.with_prompt(prompt)
    replaced = book.with_prompt(click(5, 5, frame=3))
    assert len(book) == len(replaced) == 4
    assert book.get(1, 3) == click(frame=3)
    assert replaced.get(1, 3) == click(5, 5, frame=3)
    assert [(p.object_id, p.frame) for p in book] == [(1, 0), (1, 1), (1, 3), (2, 7)]
    assert book.object_ids == (1, 2)
    assert book.frames(1) == (0, 1, 3)
    assert book.get(2, 0) is None


def test_taking_out_a_prompt_or_an_object_leaves_the_old_book_alone():
    book = PromptBook().with_prompt(click()).with_prompt(click(frame=2, object_id=2))
    book = book.with_prompt(click(frame=2))
    assert [p.frame for p in book.without(1, 0)] == [2, 2]
    assert book.without(1).object_ids == (2,)
    assert book.without(5) == book
    assert len(book) == 3


def test_a_single_click_on_the_object_may_mean_masks_of_several_sizes():
    one = Prompt(1, 0, (Point(1, 2),), mask_size="small")
    assert one.takes_mask_size
    two = one.with_point(Point(3, 4))
    assert not two.takes_mask_size
    assert two.mask_size == "small"  # kept, for when the second is taken away again
    assert not Prompt(1, 0, (Point(1, 2, positive=False),)).takes_mask_size
    assert not Prompt(1, 0, (Point(1, 2),), Box(0, 0, 5, 5)).takes_mask_size
    with pytest.raises(PromptError, match="'huge': choose among auto, small, medium, large"):
        Prompt(1, 0, (Point(1, 2),), mask_size="huge")
