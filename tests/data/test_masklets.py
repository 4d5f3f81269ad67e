"""Masklets: what is stored, how small, and how it is painted."""

from time import perf_counter

import numpy as np
import pytest
from scipy import ndimage

from napari_surgisam.data.masklets import CHUNK, Masklet, paint_labels
from napari_surgisam.data.stored_masks import StoredMask

FRAME = (480, 854)


def blob(seed=0, size=256, radius=40.0, noise=1.0):
    """Logits as a network makes them: a wobbly blob with soft edges and smooth noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    cy, cx = random.uniform(0.3 * size, 0.7 * size, 2)
    angle = np.arctan2(y - cy, x - cx)
    edge = radius * (1 + 0.25 * np.sin(3 * angle) + 0.1 * np.sin(7 * angle))
    logits = 12 * np.tanh((edge - np.hypot(y - cy, x - cx)) / 5)
    for sigma in (1.5, 5.0, 12.0):
        field = ndimage.gaussian_filter(random.standard_normal((size, size)), sigma)
        logits += noise * field / field.std() / 3
    return logits.astype(np.float32)


def stored(logits, presence=5.0, **options):
    values = {"iou": 0.9, "pointer": np.ones(256), "conditioning": False, "direction": 1}
    return StoredMask.from_logits(logits, presence=presence, **{**values, **options})


def masklet(object_id, logits, frame=0, **options):
    return Masklet(object_id).with_mask(frame, stored(logits, **options))


def interpolated(logits, shape):
    torch = pytest.importorskip("torch")
    maps = torch.from_numpy(np.asarray(logits))[None, None]
    resize = torch.nn.functional.interpolate
    return resize(maps, size=shape, mode="bilinear", align_corners=False)[0, 0].numpy()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [8.0, 25.0, 60.0])
def test_the_painted_mask_is_that_of_the_exact_logits(seed, radius):
    logits = blob(seed, radius=radius)
    truth = interpolated(logits, FRAME) > 0
    painted = paint_labels([masklet(7, logits)], 0, FRAME) == 7
    assert (painted & truth).sum() / (painted | truth).sum() > 0.999
    outline = ndimage.binary_dilation(truth) != ndimage.binary_erosion(truth)
    assert (painted != truth)[~outline].sum() == 0


def test_signs_are_exact_and_logits_close():
    logits = blob(3)
    logits[10, 10], logits[200, 30] = 1e-6, -1e-6  # specks of doubt
    restored = stored(logits).logits()
    assert ((restored > 0) == (logits > 0)).all()
    probability, exact = (1 / (1 + np.exp(-z)) for z in (restored, logits))
    assert np.abs(probability - exact).max() < 0.05


def test_a_doubtful_mask_keeps_its_outline_too():
    logits = blob(2, size=48, radius=8) / 200  # nowhere above a tenth
    truth = interpolated(logits, FRAME) > 0
    painted = paint_labels([masklet(1, logits)], 0, FRAME) > 0
    assert (painted & truth).sum() / (painted | truth).sum() > 0.98


def test_a_conditioning_frame_is_kept_whole():
    logits = blob(3)
    logits[0, 0], logits[0, 1] = 1e-9, 1e6
    restored = stored(logits, conditioning=True).logits()
    assert ((restored > 0) == (logits > 0)).all()
    assert np.isfinite(restored).all()
    np.testing.assert_allclose(restored[1:], logits[1:], rtol=1e-3, atol=1e-7)
    half = blob(3).astype(np.float16).astype(np.float32)
    assert (stored(half, conditioning=True).logits() == half).all()
    painted = [masklet(1, half, conditioning=c) for c in (True, False)]
    first, second = (paint_labels([m], 0, FRAME) > 0 for m in painted)
    assert (first != second).mean() < 1e-3


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("radius", [15.0, 40.0])
def test_a_mask_takes_less_than_ten_kilobytes(noise, radius):
    assert stored(blob(1, radius=radius, noise=noise)).nbytes < 10_000


def test_a_mask_prompts_steep_logits_keep_their_outline():
    logits = np.full((256, 256), -10, np.float32)
    logits[40:90, 0:256] = 10  # touches both sides
    restored = stored(logits, direction=0, conditioning=True)
    assert ((restored.logits() > 0) == (logits > 0)).all()
    painted = paint_labels([Masklet(1).with_mask(0, restored)], 0, FRAME)
    assert ((painted > 0) == (interpolated(logits, FRAME) > 0)).all()


@pytest.mark.parametrize("shape", [(480, 854), (100, 90), (256, 256), (1, 7), (1080, 640)])
def test_upsampling_equals_torchs(shape):
    mask = stored(blob(5, radius=70))
    rows, columns, logits = mask.upsample(shape)
    expected = interpolated(mask.logits(), shape)
    np.testing.assert_allclose(logits, expected[rows, columns], atol=1e-4)
    outside = np.ones(shape, bool)
    outside[rows, columns] = False
    assert (expected[outside] <= 0).all()


def test_a_mask_at_the_border_is_painted_to_the_border():
    logits = np.full((64, 64), 5, np.float32)
    assert (paint_labels([masklet(3, logits)], 0, (200, 100)) == 3).all()
    corner = np.full((64, 64), -5, np.float32)
    corner[:8, -8:] = 5
    expected = interpolated(corner, (200, 100)) > 0
    assert ((paint_labels([masklet(3, corner)], 0, (200, 100)) == 3) == expected).all()


def test_overlaps_go_to_the_higher_logit():
    low, high = np.full((2, 32, 32), -9, np.float32)
    low[4:20, 4:20] = 2
    high[12:28, 12:28] = 8
    for order in ([1, 2], [2, 1]):
        pair = [masklet(k, {1: low, 2: high}[k]) for k in order]
        labels = paint_labels(pair, 0, (32, 32))
        assert labels.dtype == np.uint16
        assert (labels[12:28, 12:28] == 2).all()
        assert (labels[4:12, 4:20] == 1).all()
        assert (labels == 0).sum() == 32 * 32 - 2 * 256 + 64


def test_absent_and_empty_objects_paint_nothing():
    logits = np.full((32, 32), 5, np.float32)
    absent = stored(logits, presence=-0.1)
    assert absent.empty
    assert (absent.logits() < 0).all()
    assert absent.presence == pytest.approx(-0.1)
    nothing = stored(-logits)
    assert nothing.empty
    pair = [Masklet(1).with_mask(0, absent), Masklet(2).with_mask(0, nothing)]
    assert not paint_labels(pair, 0, (48, 64)).any()
    assert not paint_labels([masklet(1, logits)], 1, (48, 64)).any()  # no mask on frame 1


def test_what_belongs_to_the_mask_is_kept():
    pointer = np.linspace(-3, 3, 256)
    mask = stored(blob(), iou=0.75, pointer=pointer, conditioning=True, direction=-1)
    assert (mask.iou, mask.presence, mask.conditioning, mask.direction) == (0.75, 5.0, True, -1)
    assert mask.pointer.dtype == np.float16
    np.testing.assert_allclose(mask.pointer, pointer, atol=2e-3)


def test_masklets_are_values_that_share_their_frames():
    mask, other = stored(blob(0, 64, 10)), stored(blob(1, 64, 10))
    old = Masklet(1)
    for frame in range(3 * CHUNK):
        old = old.with_mask(frame, mask)
    new = old.with_mask(CHUNK, other)
    assert old[CHUNK] is mask
    assert new[CHUNK] is other
    assert [old.chunks[n] is new.chunks[n] for n in range(3)] == [True, False, True]
    assert len(old) == len(new) == 3 * CHUNK == len(list(new))
    fewer = new.without(range(CHUNK, 2 * CHUNK))
    assert len(new) == 3 * CHUNK
    assert CHUNK not in fewer
    assert list(fewer)[CHUNK - 1 : CHUNK + 1] == [CHUNK - 1, 2 * CHUNK]
    assert fewer.get(CHUNK) is None
    with pytest.raises(KeyError):
        fewer[CHUNK]


def test_painting_eight_objects_takes_tens_of_milliseconds():
    masklets = [masklet(k + 1, blob(k, radius=30 + 5 * k)) for k in range(8)]
    times = []
    for _ in range(5):
        start = perf_counter()
        paint_labels(masklets, 0, FRAME)
        times.append(perf_counter() - start)
    assert min(times) < 0.3
