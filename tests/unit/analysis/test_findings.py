"""A finding concludes no more than its figures bear."""

from __future__ import annotations

import pytest

from raybench.analysis.configurations import Key
from raybench.analysis.findings import (
    DatasheetExpectation,
    LighterModel,
    StepShare,
    TimeOverFlops,
    WithoutOverhead,
)
from raybench.analysis.statistics import Ratio
from raybench.catalog.hardware import Hardware

CELL = Key("resnet18", "mnist", Hardware("P100"))
WHERE = {"cell": CELL, "baseline": Hardware("K80")}


def ratio(value, spread=None):
    """Make a ratio whose interval is about as wide as ``spread`` on either side, if it has one."""
    return Ratio(value=value, n=3, terms=((spread**2 / 7.7, 4),) if spread else ())


@pytest.mark.parametrize(
    ("overhead", "is_clear", "conclusion"),
    [
        (0.4, True, "overhead"),
        (0.04, True, "compute"),
        (-0.04, True, "compute"),
        (-0.2, True, "shorter than compute"),
        (0.4, False, "unclear"),
    ],
)
def test_the_share_of_a_step(overhead, is_clear, conclusion):
    found = StepShare(
        **WHERE,
        step_ms=20,
        compute_ms=20 * (1 - overhead),
        overhead=overhead,
        overhead_half_width=None,
        is_clear=is_clear,
        parts="unknown",
        shares={},
        baseline_step_ms=None,
        baseline_overhead=None,
    )
    assert found.conclusion == conclusion


@pytest.mark.parametrize(
    ("training", "compute", "conclusion"),
    [
        (ratio(2.5, 0.01), ratio(2.52, 0.01), "hardly changes"),
        (ratio(2.5), ratio(2.52), "hardly changes"),
        (ratio(2.5, 0.3), ratio(2.52, 0.01), "unclear"),
        (ratio(2.5, 0.1), ratio(2.7, 0.1), "unclear"),
        (ratio(2.5, 0.01), ratio(3.0, 0.01), "lowers"),
        (ratio(2.5), ratio(2.0), "raises"),
    ],
)
def test_what_overhead_does(training, compute, conclusion):
    found = WithoutOverhead(**WHERE, training=training, compute_only=compute)
    assert found.conclusion == conclusion


@pytest.mark.parametrize(
    ("flops", "bandwidth", "compute", "conclusion"),
    [
        (2.1, 3.0, ratio(3.6), "above"),
        (2.1, 3.0, ratio(1.9, 0.01), "below"),
        (2.1, 3.0, ratio(2.5, 0.01), "between"),
        (2.1, 3.0, ratio(2.1, 0.01), "unclear"),
        (None, 3.0, ratio(2.5), "below"),
        (2.1, None, ratio(2.5), "above"),
    ],
)
def test_the_place_beside_datasheets(flops, bandwidth, compute, conclusion):
    found = DatasheetExpectation(**WHERE, flops=flops, bandwidth=bandwidth, compute_only=compute)
    assert found.conclusion == conclusion


@pytest.mark.parametrize(
    ("verdict", "light", "heavy", "conclusion"),
    [
        (None, ratio(2), ratio(3), "unclear"),
        ("not distinguishable", ratio(2), ratio(3), "unclear"),
        ("slower", None, ratio(3), "open"),
        ("slower", ratio(2), ratio(3), "open"),
        ("slower", ratio(2, 0.01), ratio(3, 0.01), "not overhead alone"),
        ("slower", ratio(3, 0.01), ratio(2, 0.01), "overhead outweighs"),
        ("slower", ratio(3, 0.01), ratio(3, 0.01), "overhead fits"),
        ("slower", ratio(3, 0.3), ratio(3, 0.01), "open"),
        ("faster", ratio(3, 0.01), ratio(2, 0.01), "not overhead alone"),
    ],
)
def test_why_a_lighter_model_gains_less(verdict, light, heavy, conclusion):
    found = LighterModel(
        light=CELL,
        heavy=CELL._replace(model="googlenet"),
        baseline=Hardware("K80"),
        verdict=verdict,
        light_running_time=ratio(2),
        heavy_running_time=ratio(3),
        light_compute_only=light,
        heavy_compute_only=heavy,
    )
    assert found.conclusion == conclusion


@pytest.mark.parametrize(
    ("intercept", "slope", "half_widths", "conclusion"),
    [
        (0.5, 0.2, (None, None), "two runs"),
        (0.5, 0.2, (0.1, 0.3), "unclear"),
        (0.5, -0.2, (0.1, 0.1), "falls"),
        (0.5, 0.2, (0.6, 0.1), "proportional"),
        (0.5, 0.2, (0.1, 0.1), "constant part"),
        (-0.5, 0.2, (0.1, 0.1), "faster"),
    ],
)
def test_how_time_grows_with_flops(intercept, slope, half_widths, conclusion):
    found = TimeOverFlops(
        dataset="mnist",
        hardware=Hardware("P100"),
        models=2,
        intercept=intercept,
        slope=slope,
        intercept_half_width=half_widths[0],
        slope_half_width=half_widths[1],
    )
    assert found.conclusion == conclusion
