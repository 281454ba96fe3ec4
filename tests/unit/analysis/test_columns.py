"""A column's dtype and role follow from what it is made of."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from records import make_record

from raybench.analysis.columns import COLUMNS, CONTEXTS, FACTORS, SPEC_FACTORS, dtype_of, table
from raybench.analysis.frame import from_records
from raybench.spec.trial import TrialSpec


@pytest.mark.parametrize(
    ("annotation", "dtype"),
    [
        (bool, "flag"),
        (int | None, "count"),
        (float, "number"),
        (Literal["a", "b"], "text"),
        (Annotated[int, "at least 1"] | Literal["largest"], "count"),
    ],
)
def test_a_type_has_a_dtype(annotation, dtype):
    assert dtype_of(annotation) == dtype


@pytest.mark.parametrize("annotation", [dict[str, int], bytes, int | bool, Literal[1, 2]])
def test_a_type_without_a_dtype_is_refused(annotation):
    with pytest.raises(TypeError, match="no dtype"):
        dtype_of(annotation)


def test_each_field_of_the_spec_is_a_column_of_its_type():
    frame = from_records([make_record()])
    assert list(TrialSpec.model_fields) == [
        name for name in COLUMNS if name in TrialSpec.model_fields
    ]
    for name in ("fused_optimizer", "cudnn_benchmark", "deterministic"):
        assert frame[name].dtype == "boolean"
    assert frame["batch_size"].dtype == "Int64"
    assert frame["learning_rate"].dtype == "float64"


def test_what_identifies_a_result_is_a_matter_of_role():
    assert {"batch_size", "torch", "device", "flags", "dataset_fingerprint"} <= set(FACTORS)
    assert not {"model", "hardware", "repeat", "seed", "verify_hardware", "driver"} & set(FACTORS)
    assert set(SPEC_FACTORS) == set(FACTORS) & set(TrialSpec.model_fields)
    assert CONTEXTS == ("hostname", "driver", "python", "cpu")


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(AssertionError, match="one name"):
        table(COLUMNS["mfu"], COLUMNS["mfu"])
