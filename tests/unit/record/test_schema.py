from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from records import make_record, make_tuned

from raybench.errors import RecordError
from raybench.record.schema import SCHEMA_VERSION, Epoch, TrialRecord
from raybench.record.upgrades import read_record


def test_a_record_survives_being_written_and_read() -> None:
    record = make_record()
    assert read_record(record.model_dump_json(), "here") == record


TEXT = make_record().model_dump_json()


@given(st.integers(0, len(TEXT) - 1))
def test_a_truncated_record_is_named(length: int) -> None:
    with pytest.raises(RecordError, match=r"some/file\.json"):
        read_record(TEXT[:length], "some/file.json")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.text() | st.just("schema_version"), inner)
)))  # fmt: skip
def test_foreign_json_is_refused_by_name(content: Any) -> None:
    with pytest.raises(RecordError, match="foreign"):
        read_record(json.dumps(content), "foreign.json")


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, f"version {SCHEMA_VERSION + 1}"),
        ({"schema_version": 0}, "schema_version"),
        ({"status": "good"}, "status"),
        ({"surprise": 1}, "surprise"),
        ({"running_time_s": float("nan")}, "running_time_s"),
        ({"spec": {"model": "nonsense", "dataset": "mnist", "hardware": "K80"}}, "nonsense"),
    ],
)
def test_a_record_of_another_kind_is_refused(change: dict[str, Any], fragment: str) -> None:
    text = json.dumps({**json.loads(TEXT), **change})
    with pytest.raises(RecordError, match=fragment):
        read_record(text, "here")


def test_what_autotuning_chose_is_what_was_executed() -> None:
    record = make_tuned(precision="fp16", batch_size=64)
    assert record.spec.execution == "best"
    executed = record.executed
    assert executed is not None
    assert (executed.execution, executed.precision, executed.batch_size) == ("eager", "fp16", 64)
    assert executed.model == record.spec.model


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(RecordError):
        read_record("[" * 100_000, "deep.json")


def test_every_null_needs_a_reason() -> None:
    record = make_record().model_copy(update={"images_per_s": None, "missing": {}})
    assert "images_per_s" in record.unexplained()
    explained = record.with_reason("for a test")
    assert explained.unexplained() == []
    assert explained.missing["images_per_s"] == "for a test"


def test_a_figure_that_came_after_a_record_needs_no_reason_there() -> None:
    written = {name: value for name, value in json.loads(TEXT).items() if name != "mfu"}
    record = read_record(json.dumps(written), "here")
    assert record.mfu is None
    assert "mfu" not in record.unexplained()
    assert "mfu" in record.model_copy(update={"mfu": None}).unexplained()


def test_a_reason_for_a_part_covers_what_is_below_it() -> None:
    record = make_record().model_copy(update={"missing": {"segments.0": "x", "memory": "y"}})
    assert not [name for name in record.unexplained() if name.startswith(("memory", "segments"))]


def test_a_candidate_says_itself_why_it_has_no_rate() -> None:
    record = make_tuned()
    assert record.autotune is not None
    failed = record.autotune.candidates[0].model_copy(
        update={"images_per_s": None, "outcome": "out of memory"}
    )
    autotune = record.autotune.model_copy(update={"candidates": (failed,)})
    record = record.model_copy(update={"autotune": autotune})
    assert not [name for name in record.unexplained() if name.startswith("autotune")]


def test_a_record_says_where_its_first_segment_ran() -> None:
    record = make_record()
    segment = record.segments[0]
    assert record.hardware is segment.hardware is not None
    assert record.environment is segment.environment is not None
    assert record.contention is segment.contention is not None


@pytest.mark.parametrize(
    "change", [{"accuracy": 1.01}, {"accuracy": -0.1}, {"train_time_s": 0}, {"eval_images": 0},
               {"train_loss": float("inf")}],
)  # fmt: skip
def test_an_epoch_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    good = make_record().epochs[0].model_dump()
    with pytest.raises(ValidationError):
        Epoch(**{**good, **change})


def test_every_field_of_the_schema_is_described() -> None:
    schema = TrialRecord.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{part['title']}.{name}"
        for part in parts
        for name, field in part.get("properties", {}).items()
        if "description" not in field
    ]
    assert undescribed == []
