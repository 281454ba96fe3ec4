from __future__ import annotations

import pytest
from pydantic import ValidationError

from raybench.record.noted import Missing, is_covered, noted, nulls
from raybench.record.schema import Memory, Phases, Quartiles


def test_a_figure_that_is_missing_is_null_and_says_why() -> None:
    found = noted(
        Memory,
        peak_allocated_bytes=Missing("measured on a CPU"),
        peak_reserved_bytes=Missing("measured on a CPU"),
        peak_host_bytes=7,
    )
    assert found.part == Memory(
        peak_allocated_bytes=None, peak_reserved_bytes=None, peak_host_bytes=7
    )
    assert found.reasons == {
        "peak_allocated_bytes": "measured on a CPU",
        "peak_reserved_bytes": "measured on a CPU",
    }


def test_an_inner_part_brings_its_reasons_along() -> None:
    inner = noted(Quartiles, p25=1.0, p50=2.0, p75=3.0)
    names = ("transfer", "preprocess", "forward", "backward", "optimizer")
    found = noted(Phases, data_wait=inner, **dict.fromkeys(names, Missing("x")))
    assert found.part.data_wait == inner.part
    assert found.reasons == dict.fromkeys(names, "x")


def test_a_figure_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(ValidationError):
        noted(Quartiles, p25="fast", p50=2.0, p75=3.0)


def test_nulls_are_named_from_the_outside_in() -> None:
    content = {"a": None, "b": [{"c": None}, {"c": 1}], "d": {"e": {"f": None}}, "g": 0}
    assert list(nulls(content)) == ["a", "b.0.c", "d.e.f"]
    assert is_covered("d.e.f", {"d.e": "x"})
    assert not is_covered("d.e.f", {"d.e.f.g": "x", "d.ee": "x"})
