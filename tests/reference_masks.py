"""Random masks that can be made anew anywhere, to be compared by other implementations.

``tests/metrics/reference_values.json`` holds what these say of them:

- ``db_eval_iou`` and ``db_eval_boundary`` of davisvideochallenge/davis2017-evaluation, commit
  ac7c43f, ``davis2017/metrics.py`` (with OpenCV 5.0.0.93);
- ``matching(true, predicted, thresh=0.5)`` of stardist/stardist, commit 650d3a1,
  ``stardist/matching.py``;
- ``remove_boundary_cells`` and ``eval_tp_fp_fn`` of JunMa11/NeurIPS-CellSeg, commit 3128e96,
  ``baseline/compute_metric.py``.
"""

import numpy as np

PAIRS = 240


def masks(seed):
    """Return a prediction and a reference, bool arrays of one shape; some are empty or full."""
    rng = np.random.default_rng([1, seed])
    shape = rng.integers(30, 240, 2)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    pair = []
    for _ in range(2):
        mask = np.zeros(shape, bool)
        for _ in range(rng.integers(0, 5)):
            y, x = rng.integers(0, shape)
            a, b = rng.integers(3, 60, 2)
            mask ^= (rows - y) ** 2 * b**2 + (columns - x) ** 2 * a**2 < a**2 * b**2
        pair.append(mask)
    if seed % 2:  # much alike
        pair[1] = np.roll(pair[0], rng.integers(-3, 4, 2), (0, 1))
    if seed % 20 == 0:
        pair[1] = np.ones(shape, bool)
    noise = rng.integers(0, 1000, shape) < rng.choice([0, 0, 2])
    return pair[0] ^ noise, pair[1]


def instances(seed):
    """Return predicted and true instances, integer arrays of one shape."""
    rng = np.random.default_rng([2, seed])
    shape = rng.integers(40, 160, 2)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    true, predicted = np.zeros(shape, int), np.zeros(shape, int)
    for label in range(1, rng.integers(1, 40)):
        y, x = rng.integers(0, shape)
        radius, shift = rng.integers(2, 12), rng.integers(-4, 5, 2)
        true[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = label
        radius += rng.integers(-1, 2)
        y, x = y + shift[0], x + shift[1]
        if rng.integers(0, 8):
            own = label + 50 * rng.integers(0, 2)
            predicted[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = own
    return predicted, true
