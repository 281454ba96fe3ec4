"""A finding concludes no more than its figures bear."""

from __future__ import annotations

import pytest

from raybench.analysis.breakdown import SpeedupBreakdown, StepBreakdown
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


def step(overhead, half_width=None):
    return StepBreakdown(
        n=3,
        step_ms=20.0,
        data_ms=None,
        transfer_ms=None,
        preprocess_ms=None,
        compute_ms=20 * (1 - overhead),
        utilization=None,
        overhead_half_width=half_width,
    )


@pytest.mark.parametrize(
    ("overhead", "half_width", "conclusion", "baseline_overhead"),
    [
        (0.4, 0.1, "overhead", 0.4),
        (0.04, None, "compute", 0.04),
        (-0.04, 0.05, "compute", -0.04),
        (-0.2, 0.1, "shorter than compute", None),
        (0.4, 0.5, "unclear", None),
        (0.0, 0.06, "unclear", None),
    ],
)
def test_the_share_of_a_step(overhead, half_width, conclusion, baseline_overhead):
    both = step(overhead, half_width)
    found = StepShare(**WHERE, step=both, baseline_step=both)
    assert found.conclusion == conclusion
    assert found.baseline_overhead == pytest.approx(baseline_overhead)


def speedup(compute_only):
    return SpeedupBreakdown(
        running_time=ratio(2),
        training=None,
        without_input=None,
        compute_only=compute_only,
        flops=None,
        bandwidth=None,
    )


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
        light_speedup=speedup(light),
        heavy_speedup=speedup(heavy),
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
