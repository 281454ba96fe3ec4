"""Titles and figures, as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybench.analysis.cells import Cell
from raybench.analysis.quantities import QUANTITIES
from raybench.report.labels import cell_text, listed


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Cell(state="measured", value=2.78110, n=1), "2.78"),
        (Cell(state="measured", value=2.78110, low=2.7, high=2.86, n=5), "2.781 [2.700, 2.860]"),
        (Cell(state="measured", value=2.78110, low=1.3, high=5.9, n=2), "2.8 [1.3, 5.9]"),
        (Cell(state="measured", value=3.66, low=0.14, high=95.02, n=2), "3.7 [0.1, 95.0]"),
        (
            Cell(state="measured", value=1, low=0.9, high=1.1, n=5, verdict="not distinguishable"),
            "1.00 [0.90, 1.10] ≈",
        ),
        (
            Cell(state="measured", value=2.78110, low=2.78098, high=2.78122, n=5),
            "2.78110 [2.78098, 2.78122]",
        ),
        (
            Cell(state="measured", value=2.78110, low=2.7811, high=2.7811, n=5),
            "2.7811 [2.7811, 2.7811]",
        ),
        (Cell(state="failed"), "failed"),
        (Cell(state="interrupted"), "interrupted"),
        (Cell(state="missing"), "missing"),
        (Cell(state="not comparable"), "not comparable"),
        (Cell(state="unmeasured"), "n/a"),
        (Cell(state="absent"), "–"),
        (None, "–"),
    ],
)
def test_a_ratio_is_rounded_to_what_its_interval_supports(cell, expected):
    assert cell_text(QUANTITIES["speedup"], cell) == expected


@given(st.floats(min_value=1e-9, max_value=1e12), st.floats(min_value=0, max_value=1e12))
def test_any_mean_can_be_shown(value, half_width):
    cell = Cell(state="measured", value=value, low=value - half_width, high=value + half_width)
    assert "±" in cell_text(QUANTITIES["running-time"], cell)


def test_the_first_few_are_named_and_the_others_counted():
    assert listed("abc") == "a, b, c"
    assert listed("abcdefghij") == "a, b, c, d, e, f, g, h and 2 more"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("running-time", 1019.237, "1019"),
        ("running-time", 20.38474, "20.4"),
        ("accuracy", 0.93, "93.0%"),
        ("energy-per-image", 0.00001, "0.0000"),
        ("images-per-s", 1234.56, "1235"),
        ("speedup", 0.0, "0.0000"),
    ],
)
def test_a_single_run_bears_three_digits(name, value, expected):
    assert cell_text(QUANTITIES[name], Cell(state="measured", value=value, n=1)) == expected
