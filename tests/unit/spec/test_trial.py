from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from raybench.errors import SpecError
from raybench.spec.trial import ResolvedSpec, TrialSpec, trial_spec

BASE = {"model": "resnet18", "dataset": "mnist", "hardware": "P100"}


def test_defaults_are_the_papers_workload() -> None:
    spec = trial_spec({**BASE, "model": "googlenet"})
    assert (spec.epochs, spec.batch_size, spec.image_size) == (10, 10, 224)
    assert (spec.precision, spec.input_pipeline) == ("fp32", "dataloader")
    assert spec.aux_loss_weight == 0.3


def test_names_are_taken_in_any_case_and_kept_in_one() -> None:
    spec = trial_spec({"model": "GoogLeNet", "dataset": "CIFAR10", "hardware": "p100"})
    assert (spec.model, spec.dataset, spec.hardware) == ("googlenet", "cifar10", "P100")
    assert spec == trial_spec({"model": "googlenet", "dataset": "cifar10", "hardware": "P100"})


class Chosen(BaseModel):
    """What autotuning chose."""

    execution: str = "eager"
    precision: str = "fp16"
    batch_size: int = 64


def test_what_a_spec_leaves_open_is_resolved_by_what_was_chosen() -> None:
    spec = trial_spec({**BASE, "execution": "best", "batch_size": "largest"})
    assert not spec.is_resolved
    with pytest.raises(SpecError, match="execution is 'best'"):
        spec.resolved()
    resolved = spec.resolved(Chosen())
    assert isinstance(resolved, ResolvedSpec)
    assert (resolved.execution, resolved.precision, resolved.batch_size) == ("eager", "fp16", 64)
    assert resolved.is_resolved
    with pytest.raises(SpecError, match=r"bf16.* needs compute capability"):
        spec.resolved(Chosen(precision="bf16"))


def test_a_spec_that_leaves_nothing_open_is_the_same_when_it_is_resolved() -> None:
    spec = trial_spec(BASE)
    assert spec.is_resolved
    assert spec.resolved().model_dump() == spec.model_dump()
    assert spec.resolved().trial_id == spec.trial_id


@pytest.mark.parametrize(
    ("field", "value", "fragment"),
    [
        ("epochs", 10**26, "less than or equal to 10000"),
        ("image_size", 1_000_000, "less than or equal to 4096"),
        ("batch_size", 10**7, "less than or equal to 1000000"),
        ("warmup_steps", 10**7, "less than or equal to 100000"),
        ("num_workers", 10**7, "less than or equal to 1024"),
    ],
)
def test_a_slip_of_the_pen_is_refused(field: str, value: int, fragment: str) -> None:
    with pytest.raises(SpecError, match=f"{field} is {value}: .*{fragment}"):
        trial_spec({**BASE, field: value})


@pytest.mark.parametrize("field", ["batch_size", "epochs", "learning_rate", "num_workers"])
def test_a_truth_value_is_no_number(field: str) -> None:
    with pytest.raises(SpecError, match=f"{field} is true, .*\nallowed: {field}: "):
        trial_spec({**BASE, field: True})


@pytest.mark.parametrize("batch_size", [0, -1, "smallest", 1.5, None])
def test_a_batch_size_is_a_number_or_the_largest(batch_size: Any) -> None:
    with pytest.raises(SpecError, match=r"batch_size is .*'largest'"):
        trial_spec({**BASE, "batch_size": batch_size})


def test_workers_default_by_hardware_and_pipeline() -> None:
    assert trial_spec(BASE).num_workers == 2
    assert trial_spec({**BASE, "hardware": "cpu:4"}).num_workers == 0
    assert trial_spec({**BASE, "input_pipeline": "device"}).num_workers == 0


@given(
    st.dictionaries(
        st.sampled_from([*TrialSpec.model_fields, "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
        | st.lists(st.integers(), max_size=2),
        max_size=6,
    )
)  # fmt: skip
def test_any_fields_make_a_spec_or_a_spec_error(fields: dict[str, Any]) -> None:
    try:
        spec = trial_spec({**BASE, **fields})
    except SpecError:
        return
    assert TrialSpec.model_validate_json(spec.model_dump_json()) == spec
