"""Means with intervals, classes and comparisons, of figures made up for the purpose."""

import json
import tracemalloc
from math import inf, isnan, nan

import numpy as np
import pytest

from napari_surgisam.evaluation import summary
from napari_surgisam.evaluation.rows import FrameRow, ScoreRow
from napari_surgisam.evaluation.summary import (
    compare,
    estimate,
    plain,
    summarise,
    summarise_classes,
)


def rows(**by_case):
    return [
        ScoreRow(case, number, "liver" if number == 1 else "fat", {"dsc": value})
        for case, values in by_case.items()
        for number, value in enumerate(values, start=1)
    ]


def test_a_mean_is_over_all_values_and_the_interval_over_cases():
    found = estimate([("a", 0.2), ("a", 0.4), ("b", 0.9)])
    assert found.mean == pytest.approx(0.5)
    assert (found.count, found.cases) == (3, 2)
    # resampled: twice a (0.3), both (0.5), twice b (0.9)
    assert (found.low, found.high) == pytest.approx((0.3, 0.9))


def test_the_interval_is_that_of_the_bootstrap():
    values = np.random.default_rng(1).normal(0.8, 0.1, 60)
    found = estimate((str(k), v) for k, v in enumerate(values))
    error = 1.96 * values.std() / np.sqrt(60)
    assert found.low == pytest.approx(values.mean() - error, abs=0.004)
    assert found.high == pytest.approx(values.mean() + error, abs=0.004)
    assert estimate(((str(k), v) for k, v in enumerate(values)), seed=0) == found


def test_large_cases_weigh_more_in_the_bootstrap_too(monkeypatch):
    """Half of the resamples hold both cases, whose values together have the mean 0.1."""
    monkeypatch.setattr(summary, "LEVEL", 0.4)
    found = estimate([*(("a", 0.0) for _ in range(9)), ("b", 1.0)])
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_many_cases_need_no_more_memory(monkeypatch):
    values = [(f"case {k}", k % 7 / 7) for k in range(500)]
    whole = estimate(values, seed=3)
    monkeypatch.setattr(summary, "_DRAWS_AT_ONCE", 1001)
    assert estimate(values, seed=3) == whole
    monkeypatch.undo()
    tracemalloc.start()
    estimate([(f"case {k}", k % 7 / 7) for k in range(2000)])
    assert tracemalloc.get_traced_memory()[1] < 60e6  # all draws at once take 480 MB
    tracemalloc.stop()


def test_one_case_has_no_interval():
    found = estimate([("a", 0.2), ("a", 0.4)])
    assert found.mean == pytest.approx(0.3)
    assert isnan(found.low)
    assert isnan(found.high)


def test_what_is_not_known_is_left_out_and_infinite_is_counted():
    found = estimate([("a", 1.0), ("b", nan), ("c", inf), ("d", 3.0)])
    assert (found.mean, found.count, found.cases, found.infinite) == (2, 2, 2, 1)
    nothing = estimate([])
    assert isnan(nothing.mean)
    assert nothing.count == 0


def test_counts_are_no_figures_of_merit():
    row = ScoreRow("a", 1, "", {"frames": 7.0, "dsc": 0.5, "true_area": 9.0})
    assert list(summarise([row])) == ["dsc"]


def test_classes_have_objects_masks_and_estimates():
    frames = [
        FrameRow("a", 1, "liver", k, {"dsc": dice, "true_area": area})
        for k, (dice, area) in enumerate([(0.5, 9.0), (0.7, 9.0), (1.0, 0.0)])
    ]
    found = summarise_classes(rows(a=[0.6, 0.2], b=[0.8]), frames)
    assert found["liver"]["objects"] == 2
    assert found["liver"]["masks"] == 2  # where there is truly nothing there is no mask
    assert found["liver"]["mask_dsc"] == pytest.approx(0.6)
    assert found["liver"]["figures"]["dsc"].mean == pytest.approx(0.7)
    assert found["fat"]["masks"] == 0


def test_a_comparison_pairs_what_both_have():
    first = rows(a=[0.5, 0.6], b=[0.7], c=[0.1])
    other = rows(a=[0.6, 0.8], b=[0.8], d=[1.0])
    (found,) = compare(first, other)
    assert found.figure == "dsc"
    assert found.difference.mean == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert found.difference.count == 3
    assert found.is_clear
    (same,) = compare(first, first)
    assert (same.difference.mean, same.is_clear) == (0, False)


def test_json_has_neither_nan_nor_infinity():
    text = json.dumps(plain({"a": nan, "b": [inf, 1.5], "c": estimate([])}), allow_nan=False)
    assert json.loads(text)["b"] == [None, 1.5]
