"""J, F and J&F: outlines drawn by hand, and an independent reading of DAVIS' definition."""

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.draw import ellipse
from skimage.morphology import disk

from napari_surgisam.errors import DataError
from napari_surgisam.metrics.video import contour_accuracy, j_and_f, region_similarity

SHAPE = (60, 80)  # 0.008 of the diagonal of 100 pixels: a tolerance of 1 pixel


def square(y: int, x: int, side: int = 10, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


EMPTY, FULL = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)


@pytest.mark.parametrize(
    ("prediction", "reference", "region", "contour"),
    [
        pytest.param(square(20, 20), square(20, 20), 1, 1, id="equal"),
        pytest.param(square(20, 21), square(20, 20), 90 / 110, 1, id="one-pixel-is-tolerated"),
        # The outline of such a square has 40 pixels. Shifted by 2, the upper and the lower
        # side still match on 19 of them, the upright ones on 3 near the corners.
        pytest.param(square(20, 22), square(20, 20), 80 / 120, 22 / 40, id="two-pixels-are-not"),
        pytest.param(square(0, 0), square(40, 60), 0, 0, id="far-apart"),
        pytest.param(EMPTY, EMPTY, 1, 1, id="both-empty"),
        pytest.param(EMPTY, square(20, 20), 0, 0, id="missed"),
        pytest.param(square(20, 20), EMPTY, 0, 0, id="invented"),
        pytest.param(FULL, FULL, 1, 1, id="full-frames-have-no-outline"),
        pytest.param(FULL, square(20, 20), 100 / 4800, 0, id="only-one-has-an-outline"),
    ],
)
def test_one_frame(prediction, reference, region, contour):
    assert region_similarity(prediction, reference) == pytest.approx(region)
    assert contour_accuracy(prediction, reference) == pytest.approx(contour)


def test_an_outline_at_the_tolerance_counts_and_one_beyond_it_does_not():
    """Half planes with straight outlines of 60 pixels, at growing distances."""
    columns = np.arange(80)
    reference = np.broadcast_to(columns < 40, SHAPE)
    for shift, expected in ((1, 1), (2, 0), (-1, 1), (-2, 0)):
        prediction = np.broadcast_to(columns < 40 + shift, SHAPE)
        assert contour_accuracy(prediction, reference) == expected
        assert contour_accuracy(prediction, reference, tolerance=2) == 1


def test_precision_and_recall_enter_as_their_harmonic_mean():
    """Two lines are predicted, one is true: precision 1/2, recall 1, so F = 2/3."""
    columns = np.arange(80)
    reference = np.broadcast_to(columns < 20, SHAPE)
    prediction = np.broadcast_to((columns < 20) | (columns >= 60), SHAPE)
    assert contour_accuracy(prediction, reference) == pytest.approx(2 / 3)
    assert contour_accuracy(reference, prediction) == pytest.approx(2 / 3)


def test_contours_follow_the_definition_pixel_by_pixel():
    """The definition in other words: neighbours compared in a loop, discs dilated."""

    def outline(mask):
        height, width = mask.shape
        marked = np.zeros_like(mask)
        for y in range(height):
            for x in range(width):
                right, below = min(x + 1, width - 1), min(y + 1, height - 1)
                others = (mask[y, right], mask[below, x], mask[below, right])
                marked[y, x] = any(other != mask[y, x] for other in others)
        return marked

    def expected(prediction, reference, radius):
        ours, theirs = outline(prediction), outline(reference)
        precision = (ours & ndi.binary_dilation(theirs, disk(radius))).sum() / ours.sum()
        recall = (theirs & ndi.binary_dilation(ours, disk(radius))).sum() / theirs.sum()
        return 2 * precision * recall / (precision + recall)

    rng = np.random.default_rng(3)
    shape = (150, 200)  # diagonal 250: a tolerance of 2 pixels
    for _ in range(8):
        masks = []
        for _ in range(2):
            mask = np.zeros(shape, bool)
            centre = rng.integers((50, 60), (100, 140))
            mask[ellipse(*centre, *rng.integers(15, 60, 2), shape=shape)] = True
            masks.append(mask ^ (rng.random(shape) < 0.002))
        assert contour_accuracy(*masks) == pytest.approx(expected(*masks, 2), abs=1e-12)


def test_a_clip_is_the_mean_of_its_frames():
    prediction = np.stack([EMPTY, square(20, 21), square(20, 20), EMPTY])
    reference = np.stack([square(20, 20), square(20, 20), square(20, 20), EMPTY])
    assert region_similarity(prediction, reference) == pytest.approx((0 + 90 / 110 + 1 + 1) / 4)
    assert contour_accuracy(prediction, reference) == pytest.approx(3 / 4)
    assert region_similarity(prediction, reference, empty=0) == pytest.approx((90 / 110 + 1) / 4)
    assert contour_accuracy(prediction, reference, empty=0) == pytest.approx(2 / 4)


def test_j_and_f_leaves_out_the_ends_unless_told():
    prediction = np.stack([EMPTY, square(20, 21), square(20, 20), EMPTY])
    reference = np.stack([square(20, 20)] * 4)
    assert j_and_f(prediction, reference) == pytest.approx(((90 / 110 + 1) / 2 + 1) / 2)
    whole = j_and_f(prediction, reference, skip_ends=False)
    assert whole == pytest.approx(((90 / 110 + 1) / 4 + 2 / 4) / 2)


def test_what_is_no_clip_is_refused():
    with pytest.raises(DataError, match="at least 3 frames"):
        j_and_f(np.stack([EMPTY, EMPTY]), np.stack([EMPTY, EMPTY]))
    with pytest.raises(DataError, match="not empty"):
        region_similarity(np.zeros((0, 4, 4), bool), np.zeros((0, 4, 4), bool))
    with pytest.raises(DataError, match="prediction holds uint8"):
        contour_accuracy(EMPTY.astype(np.uint8), EMPTY)
