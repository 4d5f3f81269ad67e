"""Pixels of the timeline: the worst of a column shows, and every mark is where it belongs."""

from dataclasses import replace

import numpy as np
import pytest

from napari_surgisam.data.curves import Curve
from napari_surgisam.plugin.timeline_image import (
    ACCEPTED,
    BAND,
    DOUBT,
    GAP,
    LINE_COLOURS,
    LINES,
    STALE,
    Bins,
    Sheet,
    paint_timeline,
    palette,
)

HEIGHT = 22
COLOUR = (0, 180, 240)


def curve(iou, object_id=1, **marks):
    iou = np.array(iou, np.float32)
    known = ~np.isnan(iou)
    logits, areas = (np.where(known, v, np.nan).astype(np.float32) for v in (9, 50))
    return Curve(object_id, iou, logits, areas, prompted=marks.pop("prompted", (0,)), **marks)


def paint(*curves, first=None, last=None, columns=None, lines=()):
    length = len(curves[0])
    sheet = Sheet()
    sheet.set_curves({c.object_id: c for c in curves})
    first = -0.5 if first is None else first
    last = length - 0.5 if last is None else last
    bins = Bins(first, last, columns or length, length)
    numbers = paint_timeline(sheet, bins, HEIGHT, lines)
    return palette([COLOUR] * len(curves))[numbers].reshape(len(curves), HEIGHT, -1, 3)


def where(pixels, colour):
    return (pixels == np.array(colour)).all(axis=-1)


def columns_of(pixels, colour):
    return np.flatnonzero(where(pixels, colour).any(axis=0)).tolist()


def test_one_bad_frame_among_thousands_shows():
    values = np.full(10_000, 0.95)
    values[7_321] = 0.02
    (row,) = paint(curve(values), columns=500)
    assert columns_of(row, DOUBT) == [7_321 * 500 // 10_000]


def test_height_is_confidence_and_the_lowest_of_a_column_counts():
    values = np.full(8, 1.0)
    values[[2, 5]] = 0.5
    near = {"prompted": tuple(range(0, 8, 2))}

    def heights(columns):
        (row,) = paint(curve(values, **near), columns=columns)
        filled = where(row, palette([COLOUR])[8])
        return filled.sum(axis=0)

    fine, coarse = heights(8), heights(4)
    assert fine[0] > fine[2] and fine[1] > fine[5]
    assert coarse.tolist() == [min(fine[k], fine[k + 1]) for k in range(0, 8, 2)]


@pytest.mark.parametrize("columns", [3, 10, 60, 77])
def test_stale_and_accepted_frames_are_marked_at_any_zoom(columns):
    marked = curve(np.full(60, 0.9), stale=(range(20, 30),), accepted=(range(40, 41),))
    (row,) = paint(marked, columns=columns)
    width = 60 / columns
    for colour, frames in ((STALE, range(20, 30)), (ACCEPTED, range(40, 41))):
        found = columns_of(row, colour)
        assert found, "it is lost"
        assert found[0] >= int(frames.start / width) and found[-1] <= int(
            (frames.stop - 0.01) / width
        )
    assert where(row, ACCEPTED).any(axis=1).sum() == BAND


def test_stale_prompted_and_accepted_frames_never_look_doubtful():
    values = np.full(60, 0.01)
    marks = {"prompted": (0, 10), "stale": (range(20, 30),), "accepted": (range(30, 40),)}
    (row,) = paint(curve(values, **marks))
    assert columns_of(row, DOUBT) == [*range(1, 10), *range(11, 20), *range(40, 60)]


def test_behind_an_end_that_a_person_found_nothing_looks_doubtful():
    known = curve(np.full(60, 0.01), accepted=(range(40, 41),))
    area = np.where(np.arange(60) < 20, 50, 0).astype(np.float32)
    presence = np.where(area > 0, 9, -0.5).astype(np.float32)
    (row,) = paint(replace(known, area=area, presence=presence))
    assert columns_of(row, DOUBT) == [*range(1, 40)]


def test_frames_without_a_mask_stay_empty_and_rows_keep_apart():
    values = np.full(20, 0.9)
    values[5:10] = np.nan
    rows = paint(curve(values), curve(np.full(20, 0.9), object_id=7), lines=LINES)
    back = palette([])[0]
    assert where(rows[0], back).all(axis=0).nonzero()[0].tolist() == [*range(5, 10)]
    assert where(rows[:, : GAP // 2], back).all()
    assert not where(rows[1], back).all(axis=0).any()


def test_lines_are_high_where_there_is_nothing_to_see_to_and_only_where_wanted():
    values = np.full(20, 1.0)
    values[10] = 0.0
    (row,) = paint(curve(values), lines=["predicted IoU"])
    line = where(row, LINE_COLOURS["predicted IoU"])
    top = line.argmax(axis=0)
    assert top[5] == GAP // 2 and top[10] == GAP // 2  # upright from the frame before
    assert line[:, 10].sum() == HEIGHT - GAP
    assert line[:, 5].sum() == 1
    assert not columns_of(row, LINE_COLOURS["presence"])


def test_a_part_of_the_frames_fills_the_width():
    values = np.full(100, 0.9)
    values[50] = 0.01
    (row,) = paint(curve(values), first=45.5, last=55.5, columns=100)
    assert columns_of(row, DOUBT) == [*range(40, 50)]


def test_a_sheet_works_out_only_what_changed_and_takes_other_objects():
    sheet = Sheet()
    one, two = curve(np.full(30, 0.9)), curve(np.full(30, 0.8), object_id=2)
    sheet.set_curves({1: one, 2: two})
    before = sheet.figures("confidence").copy()
    open_before = sheet.figures("open confidence").copy()
    changed = curve(np.full(30, 0.1), object_id=2, stale=(range(3, 9),))
    sheet.set_curves({1: one, 2: changed})
    np.testing.assert_array_equal(sheet.figures("confidence")[0], before[0])
    np.testing.assert_allclose(sheet.figures("confidence")[1], before[1] / 8, rtol=1e-5)
    assert np.isnan(sheet.figures("open confidence")[1, 3:9]).all()
    assert not np.isnan(open_before[1, 3:9]).any()
    sheet.set_curves({5: curve(np.full(12, 0.5), object_id=5)})
    assert sheet.figures("predicted IoU").shape == (1, 12)
    sheet.set_curves({})
    assert paint_timeline(sheet, Bins(-0.5, 0.5, 10, 1), HEIGHT).shape == (0, 10)
