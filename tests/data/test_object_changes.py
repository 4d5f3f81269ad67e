"""Merging and splitting objects, also those whose masks are on disk."""

from types import MappingProxyType

import numpy as np
import pytest

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.catalogue import Catalogue
from napari_surgisam.data.classes import ClassList
from napari_surgisam.data.drafts import Draft
from napari_surgisam.data.mask_chunks import MaskShelf
from napari_surgisam.data.masklets import CHUNK, Masklet
from napari_surgisam.data.merging import merge_objects
from napari_surgisam.data.object_changes import ChangeComputed
from napari_surgisam.data.prompts import MaskPrompt, ObjectId, Point, Prompt, PromptBook
from napari_surgisam.data.regions import Region
from napari_surgisam.data.splitting import MAX_PIECES, split_frame, split_object
from napari_surgisam.data.stored_masks import StoredMask
from napari_surgisam.errors import JobError, PromptError

SHAPE = (24, 40)
ONE, TWO, THREE = ObjectId(1), ObjectId(2), ObjectId(3)


def stored(*boxes, conditioning=False, direction=1, low=False, height=2.0):
    """A mask of rectangles (top, left, bottom, right), as a network would have stored it."""
    logits = np.full(SHAPE, -6, np.float32)
    for top, left, bottom, right in boxes:
        logits[top:bottom, left:right] = height
    region = None
    if low:  # a network's own resolution, of a part of the frame
        region, logits = Region(0, 0, 24, 24), logits[:24:2, :24:2]
    return StoredMask.from_logits(
        logits, iou=0.9, presence=4 if boxes else -4, pointer=np.ones(4),
        conditioning=conditioning, direction=0 if conditioning else direction, region=region,
    )  # fmt: skip


def annotation(masks, prompts=(), **more):
    masklets = {}
    for object_id, by_frame in masks.items():
        made = Masklet(ObjectId(object_id))
        for frame, mask in by_frame.items():
            made = made.with_mask(frame, mask)
        masklets[ObjectId(object_id)] = made
    book = PromptBook(MappingProxyType({(p.object_id, p.frame): p for p in prompts}))
    return Annotation(book, MappingProxyType(masklets), **more)


def carry_out(job, before):
    events = list(job)
    assert [e.done for e in events] == sorted(e.done for e in events)
    assert events[-1].done == events[-1].total and isinstance(events[-1], ChangeComputed)
    return events[-1].change(before), events[-1].object_ids


def painted(known, object_id, frame):
    return known.mask(object_id, frame).paint(SHAPE)


LEFT, RIGHT = (4, 3, 12, 10), (6, 25, 14, 33)


# --- merging -------------------------------------------------------------------------------


@pytest.mark.parametrize("low", [False, True])
def test_a_merged_object_is_the_union_on_every_frame(low):
    first = {f: stored(LEFT, low=low) for f in range(5)}
    second = {f: stored((6, 8, 20, 30)) for f in range(3, 9)}
    before = annotation({1: first, 2: second, 3: {0: stored(RIGHT)}})
    after, ids = carry_out(merge_objects(before, ONE, [TWO], SHAPE), before)
    assert ids == (1,) and after.object_ids == (1, 3)
    for frame in range(9):
        parts = [m[frame].paint(SHAPE) for m in (first, second) if frame in m]
        np.testing.assert_array_equal(painted(after, ONE, frame), np.logical_or.reduce(parts))
    assert after.masklets[ONE][0] is first[0] and after.masklets[ONE][8] is second[8]
    assert after.masklets[THREE] is before.masklets[THREE]
    assert not after.masklets[ONE][3].pointer.size and after.masklets[ONE][3].direction == 1


def test_prompts_stay_where_their_mask_is_the_union_and_become_masks_elsewhere():
    click, box = Point(6, 6), Point(8, 28)
    before = annotation(
        {
            1: {0: stored(LEFT, conditioning=True), 1: stored(LEFT), 2: stored()},
            2: {1: stored(RIGHT, conditioning=True), 2: stored(RIGHT, conditioning=True)},
        },
        [Prompt(ONE, 0, (click,)), Prompt(TWO, 1, (box,)), Prompt(TWO, 2, (box,)),
         Prompt(TWO, 7, (box,))],
        drafts=MappingProxyType({(TWO, 7): Draft()}),
    )  # fmt: skip
    after, _ = carry_out(merge_objects(before, ONE, [TWO], SHAPE), before)
    assert after.book.get(ONE, 0) == Prompt(ONE, 0, (click,))  # nobody knows where 2 is there
    both = after.book.get(ONE, 1)
    assert isinstance(both, MaskPrompt)
    expected = stored(LEFT, RIGHT).paint(SHAPE)
    np.testing.assert_array_equal(both.mask, expected)
    np.testing.assert_array_equal(painted(after, ONE, 1), expected)
    assert after.masklets[ONE][1].conditioning and after.draft(ONE, 1) is None
    assert after.book.get(ONE, 2) == Prompt(ONE, 2, (box,))  # 1 is known to be absent
    assert after.masklets[ONE][2] is before.masklets[TWO][2]
    assert after.book.get(ONE, 7) == Prompt(ONE, 7, (box,)) and after.draft(ONE, 7) is not None
    assert set(after.drafts) == {(ONE, 7)} and after.sources(ONE) == (0, 1, 2, 7)


def test_what_is_said_of_frames_holds_where_it_held_for_both():
    masks = {1: {f: stored(LEFT) for f in range(10)}, 2: {f: stored(RIGHT) for f in range(5, 15)}}
    before = annotation(
        masks,
        accepted=MappingProxyType({ONE: (range(2, 8),), TWO: (range(6, 12),)}),
        stale=MappingProxyType({ONE: (range(8, 9),), TWO: (range(13, 15),)}),
        painted=MappingProxyType({}),
        catalogue=Catalogue(ClassList().including(["tool"]), MappingProxyType({TWO: "tool"})),
    ).with_paint(4, np.full(SHAPE, 2, np.uint16))
    after, _ = carry_out(merge_objects(before, ONE, [TWO], SHAPE), before)
    assert after.accepted[ONE] == (range(2, 5), range(6, 8), range(10, 12))
    assert after.stale[ONE] == (range(8, 9), range(13, 15))
    assert dict(after.catalogue.named) == {ONE: "tool"}
    assert set(np.unique(after.labels(4, SHAPE))) == {1}


def test_merging_leaves_on_disk_what_it_does_not_change():
    shelf = MaskShelf(budget=1)
    before = annotation({1: {f: stored(LEFT) for f in range(3 * CHUNK)},
                         2: {f: stored(RIGHT) for f in range(2 * CHUNK, 4 * CHUNK)}})  # fmt: skip
    chunks = [c for m in before.masklets.values() for c in m.chunks.values()]
    shelf.keep(chunks)
    assert sum(c.in_memory for c in chunks) <= 1
    after, _ = carry_out(merge_objects(before, ONE, [TWO], SHAPE, shelf.keep), before)
    merged = after.masklets[ONE].chunks
    assert merged[0] is before.masklets[ONE].chunks[0]
    assert merged[3] is before.masklets[TWO].chunks[3]
    assert sum(c.in_memory for c in (*merged.values(), *chunks)) <= 2
    assert len(after.masklets[ONE]) == 4 * CHUNK
    np.testing.assert_array_equal(painted(after, ONE, 2 * CHUNK), stored(LEFT, RIGHT).paint(SHAPE))


@pytest.mark.parametrize("change", ["mask", "prompt", "lock"])
def test_a_change_that_came_too_late_does_nothing(change):
    before = annotation({1: {0: stored(LEFT, RIGHT)}, 2: {0: stored(RIGHT)}})
    now = {
        "mask": before.with_masks(0, {TWO: stored(LEFT)}),
        "prompt": before.with_prompt(Prompt(TWO, 0, (Point(1, 1),))),
        "lock": Annotation(
            before.book, before.masklets, catalogue=Catalogue(locked=frozenset([ONE]))
        ),
    }[change]
    *_, last = merge_objects(before, ONE, [TWO], SHAPE)
    with pytest.raises(JobError, match="changed while it was being merged"):
        last.change(now)
    *_, last = split_object(before, ONE, SHAPE, least=1)
    if change == "lock":
        with pytest.raises(JobError, match="changed while it was being split"):
            last.change(now)
    else:  # it was about the other object
        assert ObjectId(3) in last.change(now).object_ids


# --- splitting -----------------------------------------------------------------------------


def test_pieces_are_linked_by_overlap_and_become_objects():
    frames = {f: stored((4, 3 + f, 12, 10 + f), RIGHT, low=False) for f in range(4)}
    frames[4] = stored(RIGHT)
    frames[5] = stored()
    frames[6] = stored((16, 0, 20, 6))  # touches nothing before it
    before = annotation(
        {1: frames},
        accepted=MappingProxyType({ONE: (range(2, 4),)}),
        catalogue=Catalogue(ClassList().including(["tool"]), MappingProxyType({ONE: "tool"})),
    )
    after, ids = carry_out(split_object(before, ONE, SHAPE, least=5), before)
    assert ids == (1, 2, 3)
    for frame, mask in frames.items():
        parts = [painted(after, k, frame) for k in ids]
        np.testing.assert_array_equal(np.logical_or.reduce(parts), mask.paint(SHAPE))
        assert sum(p.sum() for p in parts) == mask.paint(SHAPE).sum()
    assert [f for f in frames if painted(after, ONE, f)[RIGHT[0], RIGHT[1]]] == [0, 1, 2, 3, 4]
    assert [f for f in frames if painted(after, TWO, f).any()] == [0, 1, 2, 3]
    assert [f for f in frames if painted(after, THREE, f).any()] == [6]
    assert after.masklets[THREE][0].empty and len(after.masklets[THREE]) == len(frames)
    assert after.masklets[ONE][4] is frames[4]
    assert after.accepted == dict.fromkeys(ids, (range(2, 4),))
    assert dict(after.catalogue.named) == dict.fromkeys(ids, "tool")
    for object_id, frame in ((TWO, 0), (THREE, 6)):  # each can be propagated
        (where,) = after.book.frames(object_id)
        assert where == frame and after.draft(object_id, frame) is None
        prompt = after.book.get(object_id, frame)
        np.testing.assert_array_equal(prompt.mask, painted(after, object_id, frame))
        assert after.masklets[object_id][frame].conditioning


def test_prompts_go_with_their_piece():
    click = Point(8, 28)
    before = annotation(
        {1: {0: stored(LEFT, RIGHT, conditioning=True), 1: stored(LEFT, RIGHT),
             2: stored(LEFT, conditioning=True)}},
        [Prompt(ONE, 0, (click,)), Prompt(ONE, 2, (Point(5, 5),)), Prompt(ONE, 9, (click,))],
        drafts=MappingProxyType({(ONE, 0): Draft(), (ONE, 9): Draft()}),
    )  # fmt: skip
    after, ids = carry_out(split_object(before, ONE, SHAPE), before)
    left = next(k for k in ids if painted(after, k, 1)[5, 5])
    right = next(k for k in ids if k != left)
    for object_id, box in ((left, LEFT), (right, RIGHT)):
        prompt = after.book.get(object_id, 0)
        assert isinstance(prompt, MaskPrompt)
        np.testing.assert_array_equal(prompt.mask, stored(box).paint(SHAPE))
    assert after.book.get(left, 2) == Prompt(left, 2, (Point(5, 5),))
    assert after.book.get(right, 2) is None
    assert after.book.get(ONE, 9) == Prompt(ONE, 9, (click,))
    assert set(after.drafts) == {(ONE, 9)}


def test_specks_stay_with_the_largest_piece():
    speck = (20, 20, 22, 22)
    before = annotation({1: {0: stored(LEFT, RIGHT, speck)}})
    after, ids = carry_out(split_object(before, ONE, SHAPE), before)
    assert len(ids) == 2 and painted(after, ONE, 0)[20, 20]
    _, ids = carry_out(split_object(before, ONE, SHAPE, least=1, new_id=40), before)
    assert ids == (1, 40, 41)


def test_splitting_goes_chunk_by_chunk_and_back_to_disk():
    shelf = MaskShelf(budget=1)
    frames = {f: stored(LEFT) for f in range(3 * CHUNK)}
    frames[CHUNK + 3] = stored(LEFT, RIGHT)
    before = annotation({1: frames})
    shelf.keep(before.masklets[ONE].chunks.values())
    after, ids = carry_out(split_object(before, ONE, SHAPE, shelve=shelf.keep), before)
    assert after.masklets[ONE].chunks[2] is before.masklets[ONE].chunks[2]
    chunks = [c for k in ids for c in after.masklets[k].chunks.values()]
    assert sum(c.in_memory for c in chunks) <= 2
    assert painted(after, TWO, CHUNK + 3).any() and not painted(after, TWO, CHUNK + 4).any()


def test_an_object_is_split_on_one_frame_alone():
    before = annotation(
        {1: {f: stored(LEFT, RIGHT, conditioning=f == 0) for f in range(6)}},
        [Prompt(ONE, 0, (Point(8, 28),))],
        accepted=MappingProxyType({ONE: (range(2, 4),)}),
    )
    after, ids = split_frame(before, ONE, 3, SHAPE, 7)
    assert ids == (1, 7)
    parts = [painted(after, k, 3) for k in ids]
    np.testing.assert_array_equal(parts[0] | parts[1], stored(LEFT, RIGHT).paint(SHAPE))
    assert not (parts[0] & parts[1]).any()
    assert set(after.masklets[ObjectId(7)]) == {3} and after.book.frames(ObjectId(7)) == (3,)
    assert after.masklets[ONE][2] is before.masklets[ONE][2]
    assert after.book.frames(ONE) == (0, 3) and not after.drafts
    assert after.stale_spans(ONE) == (range(1, 2), range(4, 6))  # 2 is accepted


def test_what_cannot_be_split_or_merged_is_refused_with_the_reason():
    many = [(y, x, y + 1, x + 1) for y in range(0, 24, 2) for x in range(0, 40, 2)]
    assert len(many) > MAX_PIECES
    known = annotation(
        {1: {0: stored(LEFT)}, 2: {0: stored(*many)}},
        [Prompt(THREE, 0, (Point(1, 1),))],
        catalogue=Catalogue(locked=frozenset([ObjectId(2)])),
    )
    free = Annotation(known.book, known.masklets)
    for match, refused in (
        ("one piece on all", lambda: list(split_object(known, ONE, SHAPE))),
        ("one piece on frame 0", lambda: split_frame(known, ONE, 0, SHAPE)),
        ("one piece on frame 5", lambda: split_frame(known, ONE, 5, SHAPE)),
        ("Object 2 is locked", lambda: split_object(known, TWO, SHAPE)),
        (f"{len(many)} pieces", lambda: list(split_object(free, TWO, SHAPE, least=1))),
        ("no masks yet", lambda: split_object(known, THREE, SHAPE)),
        ("neither prompts nor masks", lambda: split_object(known, ObjectId(9), SHAPE)),
        ("Object 2 is locked", lambda: merge_objects(known, ONE, [TWO], SHAPE)),
        ("two or more", lambda: merge_objects(known, ONE, [ONE], SHAPE)),
    ):
        with pytest.raises(PromptError, match=match):
            refused()
