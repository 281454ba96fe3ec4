"""Intervals cover what they say, and equal pairs are seldom called different."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.analysis.statistics import (
    Ratio,
    geometric_mean,
    holm,
    mean,
    ratio_of_means,
    verdicts,
)

NOISE = {
    "lognormal, 2 %": lambda rng, size: rng.lognormal(0, 0.02, size),
    "lognormal, 30 %": lambda rng, size: rng.lognormal(0, 0.3, size),
    "delays, gamma 2": lambda rng, size: 1 + 0.1 * rng.gamma(2, 1, size),
}
MEAN = {
    "lognormal, 2 %": math.exp(0.02**2 / 2),
    "lognormal, 30 %": math.exp(0.3**2 / 2),
    "delays, gamma 2": 1.2,
}
EXPERIMENTS = 4000
# Three standard errors of a share of 0.95 over that many experiments.
ALLOWANCE = 3 * math.sqrt(0.95 * 0.05 / EXPERIMENTS)

positive = st.floats(min_value=1e-3, max_value=1e6)


def simulated(noise: str, n: int, true_ratio: float) -> list[Ratio]:
    rng = np.random.default_rng([n, *noise.encode()])
    slow = true_ratio * NOISE[noise](rng, (EXPERIMENTS, n))
    fast = NOISE[noise](rng, (EXPERIMENTS, n))
    return [ratio_of_means(b, a) for b, a in zip(slow.tolist(), fast.tolist(), strict=True)]


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("noise", NOISE)
def test_intervals_cover_the_true_ratio_in_93_to_97_percent(noise, n):
    ratios = simulated(noise, n, true_ratio=2.8)
    covered = sum(low <= 2.8 <= high for low, high in (ratio.interval for ratio in ratios))
    share = covered / len(ratios)
    assert 0.93 - ALLOWANCE <= share <= 0.97 + ALLOWANCE


@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("noise", NOISE)
def test_equal_hardware_is_called_different_in_at_most_5_percent(noise, n):
    ratios = simulated(noise, n, true_ratio=1.0)
    wrong = sum(verdicts([ratio]) != ["not distinguishable"] for ratio in ratios)
    assert wrong / len(ratios) <= 0.05 + ALLOWANCE


def test_of_six_equal_cells_one_is_called_different_in_at_most_5_percent():
    ratios = simulated("lognormal, 2 %", 5, true_ratio=1.0)
    families = [ratios[start : start + 6] for start in range(0, len(ratios) - 5, 6)]
    wrong = sum(set(verdicts(family)) != {"not distinguishable"} for family in families)
    assert wrong / len(families) <= 0.05 + 3 * math.sqrt(0.95 * 0.05 / len(families))


def test_the_geometric_mean_covers_too():
    ratios = simulated("lognormal, 30 %", 5, true_ratio=2.0)
    means = [geometric_mean(ratios[start : start + 4]) for start in range(0, len(ratios), 4)]
    covered = sum(low <= 2.0 <= high for low, high in (ratio.interval for ratio in means))
    assert 0.92 <= covered / len(means) <= 0.98


def test_a_clear_difference_is_found():
    (verdict,) = verdicts([ratio_of_means([2.0, 2.01, 1.99], [1.0, 1.01, 0.99])])
    assert verdict == "faster"
    (verdict,) = verdicts([ratio_of_means([1.0, 1.01, 0.99], [2.0, 2.01, 1.99])])
    assert verdict == "slower"


def test_the_interval_agrees_with_welchs_test_of_the_logarithms_on_small_noise():
    ratio = ratio_of_means([10.0, 10.02, 9.99, 10.01], [5.0, 5.01, 4.99])
    # scipy.stats.ttest_ind of the samples' logarithms with equal_var=False
    assert ratio.interval == pytest.approx((1.99292852, 2.00910702), rel=1e-5)
    assert ratio.degrees_of_freedom == pytest.approx(3.2336, rel=1e-2)
    slight = ratio_of_means([10.0, 10.02, 9.98], [9.98, 9.99, 9.95])
    assert slight.p_value == pytest.approx(0.185067, rel=1e-2)


@pytest.mark.parametrize(("slow", "fast"), [([2.0], [1.0]), ([2.0, 2.1, 2.2], [1.0])])
def test_a_single_run_has_a_ratio_but_neither_interval_nor_verdict(slow, fast):
    ratio = ratio_of_means(slow, fast)
    assert ratio.value == pytest.approx(sum(slow) / len(slow))
    assert ratio.interval is None
    assert ratio.p_value is None
    assert verdicts([ratio]) == [None]


def test_repeats_equal_to_the_last_digit_give_no_interval():
    assert ratio_of_means([2.0, 2.0, 2.0], [1.0, 1.0, 1.0]).interval is None


@pytest.mark.parametrize("wrong", [[], [0.0], [-1.0], [math.nan], [math.inf]])
def test_what_is_no_time_is_refused(wrong):
    with pytest.raises(ValueError, match="positive"):
        ratio_of_means(wrong, [1.0])


def test_nothing_has_no_mean():
    with pytest.raises(ValueError, match="no sample"):
        mean([])
    with pytest.raises(ValueError, match="no ratio"):
        geometric_mean([])


@given(st.lists(positive, min_size=1, max_size=6), st.lists(positive, min_size=1, max_size=6))
def test_a_ratio_lies_in_its_interval_and_turns_over(slow, fast):
    ratio, inverse = ratio_of_means(slow, fast), ratio_of_means(fast, slow)
    assert ratio.value * inverse.value == pytest.approx(1)
    assert (ratio.interval is None) == (inverse.interval is None)
    if ratio.interval is not None:
        low, high = ratio.interval
        assert 0 <= low <= ratio.value <= high
        assert ratio.p_value == pytest.approx(inverse.p_value, rel=1e-6, abs=1e-12)


@given(
    st.lists(positive, min_size=1, max_size=5),
    st.lists(positive, min_size=1, max_size=5),
    st.floats(min_value=1e-3, max_value=1e3),
)
def test_the_unit_of_time_does_not_matter(slow, fast, unit):
    ratio = ratio_of_means(slow, fast)
    scaled = ratio_of_means([unit * t for t in slow], [unit * t for t in fast])
    assert scaled.value == pytest.approx(ratio.value, rel=1e-9)


@given(st.lists(st.floats(min_value=0, max_value=1), max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


def test_holm_agrees_with_its_definition():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(st.lists(positive, min_size=2, max_size=8))
def test_the_mean_has_an_interval_from_two_samples_on(samples):
    found = mean(samples)
    assert min(samples) <= found.value * (1 + 1e-12)
    assert found.value <= max(samples) * (1 + 1e-12)
    assert found.half_width >= 0
    assert mean(samples[:1]).half_width is None
