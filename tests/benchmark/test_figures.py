"""Lines of the table, and what they are computed from."""

import numpy as np
import pytest

from napari_surgisam.benchmark.figures import Figure, Target, in_turns, ratio
from napari_surgisam.benchmark.growth import Samples, in_fresh_process, peak_memory


def test_a_figure_says_its_median_its_spread_and_whether_it_is_as_it_should_be():
    figure = Figure("click", "a click", "ours", (50.0, 30.0, 35.0), "ms", Target("at most", 40))
    assert figure.line() == "| click | a click | ours | 35 ms | 30 to 50 | at most 40 | yes |"
    late = Figure("click", "a click", "ours", (45.0,), "ms", Target("at most", 40))
    assert late.cells()[-1] == "NO"
    assert Figure("gpu", "none", "ours", ()).cells()[3] == "not measured"


def test_a_ratio_is_taken_round_by_round():
    figure = ratio("row", "what", [2.0, 30.0, 4.0], [1.0, 10.0, 4.0], Target("at least", 2))
    assert figure.values == (2.0, 3.0, 1.0)
    assert figure.cells()[-1] == "yes"


def test_engines_are_measured_in_turns():
    order = []
    engines = {n: lambda n=n: order.append(n) or float(len(order)) for n in ("ours", "theirs")}
    assert in_turns(2, engines) == {"ours": (1.0, 3.0), "theirs": (2.0, 4.0)}


def test_growth_is_fitted_with_its_error():
    frames = tuple(range(50, 5050, 50))
    noise = np.random.default_rng(0).normal(0, 1, 100)
    memory = tuple(100 + 2 * f / 1000 + n for f, n in zip(frames, noise, strict=True))
    samples = Samples(frames, (10.0,) * 75 + (20.0,) * 25, memory)
    slope, error = samples.slope(memory)
    assert slope == pytest.approx(2, abs=4 * error)
    assert 0 < error < 0.2
    assert samples.late_over_early() == 2
    assert len(samples.settled().frames) == 80


def test_a_process_of_its_own_has_a_peak_of_its_own():
    before = in_fresh_process(peak_memory)
    held = np.ones(300_000_000, np.uint8)
    assert peak_memory() > held.nbytes / 1e6
    assert in_fresh_process(peak_memory) < before + 100
