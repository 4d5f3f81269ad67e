"""Prompts of one frame on another."""

import numpy as np
import pytest

from napari_surgisam.data.prompt_copies import copied, nearest_prompted
from napari_surgisam.data.prompts import Box, MaskPrompt, Point, Prompt, PromptBook

INSIDE, OUTSIDE = Point(3, 4), Point(3, 40, positive=False)


@pytest.mark.parametrize(
    ("prompt", "copy"),
    [
        pytest.param(
            Prompt(2, 1, (INSIDE,), mask_size="small"),
            Prompt(2, 7, (INSIDE,), mask_size="small"),
            id="as-it-is",
        ),
        pytest.param(
            Prompt(2, 1, (OUTSIDE, INSIDE)), Prompt(2, 7, (INSIDE,)), id="points-outside-left-out"
        ),
        pytest.param(
            Prompt(2, 1, (OUTSIDE,), Box(-5, 2, 6, 30)),
            Prompt(2, 7, (), Box(-0.5, 2, 6, 19.5)),
            id="box-cut",
        ),
        pytest.param(Prompt(2, 1, (OUTSIDE,), Box(2, 25, 6, 30)), None, id="nothing-left"),
    ],
)
def test_what_lies_on_the_frame_is_copied(prompt, copy):
    assert copied(prompt, 7, (10, 20)) == copy


def test_a_mask_is_copied_as_it_is():
    prompt = MaskPrompt(2, 1, np.eye(10, dtype=bool))
    copy = copied(prompt, 7, (10, 10))
    assert (copy.object_id, copy.frame) == (2, 7)
    assert copy.mask is prompt.mask


@pytest.mark.parametrize(("frame", "nearest"), [(0, 2), (3, 2), (4, 2), (6, 8), (2, 6), (9, 8)])
def test_the_nearest_other_prompted_frame(frame, nearest):
    book = PromptBook()
    for f in (2, 6, 8):
        book = book.with_prompt(Prompt(1, f, (INSIDE,)))
    assert nearest_prompted(book, 1, frame) == nearest
    assert nearest_prompted(book, 2, frame) is None
    assert nearest_prompted(PromptBook().with_prompt(Prompt(1, 2, (INSIDE,))), 1, 2) is None
