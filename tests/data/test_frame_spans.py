"""Pieces of consecutive frames, by hand."""

from napari_surgisam.data.frame_spans import shared, unite, without


def test_pieces_that_touch_or_overlap_become_one():
    parts = [range(8, 10), range(0, 3), range(5, 5), range(3, 4), range(9, 12)]
    assert unite(parts) == (range(0, 4), range(8, 12))


def test_what_is_left_is_cut_on_both_sides():
    parts = (range(0, 10), range(20, 30))
    assert without(parts, range(4, 6), range(8, 25)) == (
        range(0, 4),
        range(6, 8),
        range(25, 30),
    )
    assert without(parts, range(7, 7)) == parts
    assert without(parts, range(0, 40)) == ()


def test_what_is_shared_is_what_both_have():
    assert shared((range(0, 10), range(20, 30)), range(8, 21)) == (range(8, 10), range(20, 21))
    assert shared((range(0, 10),), range(10, 12)) == ()
