"""NSD and HD95: surfaces measured by hand, and agreement with surface-distance."""

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest
from scipy import ndimage as ndi

from napari_surgisam.errors import DataError
from napari_surgisam.metrics import surfaces
from napari_surgisam.metrics.surfaces import hd95, nsd, surface_distances
from napari_surgisam.resources import sample_data

PIXELS = (1.0, 1.0)
EMPTY = np.zeros((20, 30), bool)


def rectangle(y0: int, x0: int, y1: int, x1: int, shape=(20, 30)):
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_outline_of_a_square_counted_by_hand():
    """5 x 5 pixels: on each side 4 whole steps between corners, and 4 corners cut at sqrt(1/2)."""
    found = surface_distances(rectangle(5, 5, 10, 10), EMPTY, spacing=PIXELS)
    assert found.prediction_areas.sum() == pytest.approx(16 + 4 * sqrt(0.5))
    assert found.reference_areas.size == 0
    assert set(found.from_prediction) == {inf}


def test_a_square_beside_another_counted_by_hand():
    """A band of 5 x 15 moved by 3 along itself.

    Its outline has 2 x 14 and 2 x 4 whole steps and 4 cut corners. Off the other's outline
    lie one end with both its corners, two steps of each long side beside it, and the other
    end, which lies inside.
    """
    ours, theirs = rectangle(5, 5, 10, 20), rectangle(5, 8, 10, 23)
    total = 2 * 14 + 2 * 4 + 4 * sqrt(0.5)
    apart = 4 + 2 * sqrt(0.5) + 2 * 2 + 4
    assert nsd(ours, theirs, spacing=PIXELS, tolerance=0) == pytest.approx(1 - apart / total)
    assert nsd(ours, theirs, spacing=PIXELS, tolerance=3) == 1
    assert nsd(ours, theirs, spacing=PIXELS, tolerance=2.99) < 1
    assert hd95(ours, theirs, spacing=PIXELS) == 3
    assert hd95(ours, theirs, spacing=PIXELS, percent=50) == 0


def test_distances_are_in_millimetres():
    ours, theirs = rectangle(5, 5, 10, 20), rectangle(5, 8, 10, 23)
    assert hd95(ours, theirs, spacing=(1, 0.5)) == 1.5
    assert nsd(ours, theirs, spacing=(1, 0.5), tolerance=1.5) == 1
    assert hd95(ours.T, theirs.T, spacing=(0.5, 1)) == 1.5


def test_empty_masks_score_what_was_asked():
    square = rectangle(5, 5, 10, 10)
    for ours, theirs in ((EMPTY, square), (square, EMPTY)):
        assert nsd(ours, theirs, spacing=PIXELS, tolerance=2) == 0
        assert hd95(ours, theirs, spacing=PIXELS) == inf
    assert isnan(nsd(EMPTY, EMPTY, spacing=PIXELS, tolerance=2))
    assert nsd(EMPTY, EMPTY, spacing=PIXELS, tolerance=2, empty=1) == 1
    assert isnan(hd95(EMPTY, EMPTY, spacing=PIXELS))
    assert hd95(EMPTY, EMPTY, spacing=PIXELS, empty=0) == 0


def blobs(rng, shape, sigma):
    """Random smooth shapes; some touch the border, as real organs do."""
    noise = ndi.gaussian_filter(rng.standard_normal(shape), sigma)
    return noise > np.quantile(noise, rng.uniform(0.6, 0.97))


def theirs_nsd_and_hd95(prediction, reference, spacing, tolerance):
    import surface_distance

    found = surface_distance.compute_surface_distances(reference, prediction, spacing)
    return (
        surface_distance.compute_surface_dice_at_tolerance(found, tolerance),
        surface_distance.compute_robust_hausdorff(found, 95),
    )


def agree(prediction, reference, spacing, tolerance):
    theirs = theirs_nsd_and_hd95(prediction, reference, spacing, tolerance)
    ours = surface_distances(prediction, reference, spacing=spacing)
    assert ours.nsd(tolerance) == pytest.approx(theirs[0], abs=1e-12)
    assert ours.hausdorff() == theirs[1]


@pytest.mark.parametrize("seed", range(100))
def test_agreement_with_surface_distance_on_random_masks(seed):
    rng = np.random.default_rng(seed)
    for shape in ((30, 41), (14, 17, 19)):
        spacing = tuple(rng.uniform(0.4, 3, len(shape)).round(2))
        prediction, reference = (blobs(rng, shape, rng.uniform(0.5, 3)) for _ in range(2))
        agree(prediction, reference, spacing, tolerance=rng.uniform(0, 4))


@pytest.mark.parametrize("seed", range(20))
def test_agreement_is_exact_by_the_way_of_large_volumes_too(seed, monkeypatch):
    monkeypatch.setattr(surfaces, "_SMALL", 0)
    test_agreement_with_surface_distance_on_random_masks(seed)


def test_agreement_with_surface_distance_on_the_sample_volume():
    import nibabel

    image = nibabel.load(sample_data() / "volume_labels.nii.gz")
    labels = np.asarray(image.dataobj).T
    spacing = tuple(float(z) for z in image.header.get_zooms()[::-1])
    for label in np.unique(labels[labels > 0]):
        reference = labels == label
        agree(ndi.binary_dilation(reference, iterations=2), reference, spacing, tolerance=2.0)
        agree(np.roll(reference, 3, axis=1), reference, spacing, tolerance=2.0)


def test_what_cannot_be_measured_is_refused():
    square = rectangle(5, 5, 10, 10)
    with pytest.raises(DataError, match=r"size of a voxel.*\(1, 1\) to measure in pixels"):
        nsd(square, square, spacing=None, tolerance=2)
    with pytest.raises(DataError, match="2 positive lengths"):
        hd95(square, square, spacing=(1, 1, 1))
    with pytest.raises(DataError, match="2 positive lengths"):
        hd95(square, square, spacing=(1, 0))
    with pytest.raises(DataError, match="is not the reference's"):
        nsd(square, square.T, spacing=PIXELS, tolerance=2)
    with pytest.raises(DataError, match="prediction holds uint8"):
        nsd(square.astype(np.uint8), square, spacing=PIXELS, tolerance=2)
    for tolerance in (-1, nan):
        with pytest.raises(DataError, match="0 or more"):
            nsd(square, square, spacing=PIXELS, tolerance=tolerance)
    with pytest.raises(DataError, match="not of 1D"):
        nsd(square[6], square[6], spacing=(1,), tolerance=2)
