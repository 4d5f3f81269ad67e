"""Figures of every frame without a mask being loaded, checked by hand."""

import numpy as np
import pytest

from napari_surgisam.data.annotation import Annotation
from napari_surgisam.data.curves import CurveReader, read_curves
from napari_surgisam.data.mask_chunks import MaskChunk, MaskShelf
from napari_surgisam.data.prompts import Point, Prompt
from napari_surgisam.data.regions import Region
from napari_surgisam.data.stored_masks import StoredMask

SHAPE = (32, 64)


def square(size, *, iou=0.5, presence=2.0, conditioning=False, region=None):
    logits = np.full((16, 16), -9, np.float32)
    logits[:size, :size] = 5
    return StoredMask.from_logits(
        logits,
        iou=iou,
        presence=presence,
        pointer=np.ones(2),
        conditioning=conditioning,
        direction=1,
        region=region,
    )


def annotated(frames=range(1, 150)):
    annotation = Annotation().with_prompt(Prompt(1, 0, (Point(3, 3),)))
    annotation = annotation.with_masks(0, {1: square(4, conditioning=True)})
    for frame in frames:
        annotation = annotation.with_masks(frame, {1: square(4, iou=frame / 200)})
    return annotation


def test_figures_are_those_of_the_masks_and_areas_are_in_pixels_of_the_frame():
    annotation = Annotation().with_masks(2, {1: square(4, iou=0.75), 3: square(0)})
    annotation = annotation.with_masks(4, {1: square(8, presence=-3.0)})
    annotation = annotation.with_masks(5, {1: square(4, region=Region(0, 0, 16, 32))})
    one, three = read_curves(annotation, 7, SHAPE).values()
    assert np.flatnonzero(one.known).tolist() == [2, 4, 5]
    np.testing.assert_allclose(one.iou[[2, 4, 5]], [0.75, 0.5, 0.5])
    np.testing.assert_allclose(one.presence[[2, 4, 5]], [2, -3, 2])
    np.testing.assert_allclose(one.area[[2, 4, 5]], [16 * 8, 0, 16 * 2])
    assert np.isnan(one.area[[0, 1, 3, 6]]).all()
    assert (three.object_id, three.area[2]) == (3, 0)


def test_no_mask_is_read_for_the_curve_of_masks_on_disk(tmp_path, monkeypatch):
    annotation = annotated()
    shelf = MaskShelf(budget=1, folder=tmp_path)
    shelf.keep(annotation.masklets[1].chunks.values())
    assert sum(c.in_memory for c in annotation.masklets[1].chunks.values()) == 1
    monkeypatch.setattr("napari_surgisam.data.mask_chunks.unpack_masks", pytest.fail)
    (curve,) = read_curves(annotation, 150, SHAPE).values()
    np.testing.assert_allclose(curve.iou[1:], np.arange(1, 150) / 200, rtol=1e-6)


def test_who_checked_what_is_told_apart():
    annotation = annotated(range(1, 20)).with_accepted(1, range(8, 12))
    annotation = annotation.with_points(1, 15, [Point(2, 2)])
    (curve,) = read_curves(annotation, 20, SHAPE).values()
    assert (curve.prompted, curve.accepted) == ((0, 15), (range(8, 12),))
    assert curve.stale == (range(1, 8), range(12, 15), range(16, 20))
    assert np.flatnonzero(curve.checked).tolist() == [0, 8, 9, 10, 11, 15]
    assert not curve.open.any()
    fresh = annotation.with_masks(13, {1: square(4)})
    assert np.flatnonzero(read_curves(fresh, 20, SHAPE)[1].open).tolist() == [13]


def test_a_reader_follows_edits_and_undo():
    reader = CurveReader(150, SHAPE)
    before = annotated()
    first = reader.read(before)[1]
    after = before.with_masks(70, {1: square(4, iou=1.0)})
    assert (first.iou[70], reader.read(after)[1].iou[70]) == (np.float32(0.35), 1.0)
    cleared = after.without_masks(1, range(64, 150))
    assert np.flatnonzero(reader.read(cleared)[1].known).tolist() == [*range(64)]
    fewer = before.without_masks(1, range(70, 80))
    assert not reader.read(fewer)[1].known[70:80].any()
    np.testing.assert_array_equal(reader.read(before)[1].iou, first.iou)
    assert reader.read(Annotation()) == {}


def test_a_reader_looks_at_changed_chunks_only(monkeypatch):
    reader = CurveReader(150, SHAPE)
    before = annotated()
    reader.read(before)
    after = before.with_masks(70, {1: square(4, iou=1.0)})
    looked = []
    figures = MaskChunk.figures.fget
    monkeypatch.setattr(
        MaskChunk, "figures", property(lambda chunk: (looked.append(min(chunk)), figures(chunk))[1])
    )
    curve = reader.read(after)[1]
    assert looked == [64]
    assert reader.read(after.with_masks(3, {2: square(4)}))[1] is curve
    assert reader.read(after.with_accepted(1, range(4)))[1].accepted == (range(4),)
