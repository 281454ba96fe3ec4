from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import make_failed, make_record, make_tuned

from raybench.errors import RecordError
from raybench.record import upgrades
from raybench.record.autotune import NOTHING_TO_AUTOTUNE, Autotune
from raybench.record.schema import LAYOUT_VERSION, SCHEMA_VERSION, TrialRecord
from raybench.record.upgrades import UPGRADES, autotune_of_version_2, read_record
from raybench.schedule.estimate import Estimates
from raybench.spec.identity import Since
from raybench.spec.trial import AS_MEASURED, TrialSpec

RECORDS = Path(__file__).parents[2] / "data" / "records"
SYSTEM = ("hardware", "environment", "contention")


def as_version_2(record: TrialRecord) -> dict[str, Any]:
    """Return the content of a record as version 2 wrote it."""
    content = record.model_dump(mode="json")
    segment = content["segments"][0] if content["segments"] else {}
    missing = {}
    for name, reason in content["missing"].items():
        old = name.removeprefix("segments.0.")
        missing[f"tune_up{old[8:]}" if old.partition(".")[0] == "autotune" else old] = reason
    autotune = content.pop("autotune")
    if autotune is not None:
        autotune["attempts"] = autotune.pop("candidates")
    return {
        **content,
        "schema_version": 2,
        **{name: segment.pop(name, None) for name in SYSTEM},
        "tune_up": autotune,
        "missing": missing,
    }


def as_version_1(record: TrialRecord) -> dict[str, Any]:
    """Return the content of a record as version 1 wrote it."""
    content = as_version_2(record)
    del content["tune_up"], content["missing"]["tune_up"]
    for name in ("fused_optimizer", "cudnn_benchmark"):
        del content["spec"][name]
    return {**content, "schema_version": 1}


@st.composite
def records(draw: st.DrawFn) -> TrialRecord:
    """Records of every outcome, with any of their figures missing."""
    hardware = draw(st.sampled_from(["P100", "cpu:2"]))
    repeat = draw(st.integers(0, 3))
    kind = draw(st.sampled_from(["plain", "tuned", "failed"]))
    if kind == "failed":
        record = make_failed(hardware=hardware, repeat=repeat)
    else:
        make = make_tuned if kind == "tuned" else make_record
        record = make(hardware=hardware, repeat=repeat)
    absent = draw(st.sets(st.sampled_from(["memory", "mfu", "step_ms", "model", "contention"])))
    segments = record.segments
    if "contention" in absent and segments:
        segments = (segments[0].model_copy(update={"contention": None}),)
    record = record.model_copy(
        update={**dict.fromkeys(absent - {"contention"}), "segments": segments}
    )
    missing = dict(record.missing)
    if record.autotune is None:
        missing["autotune"] = NOTHING_TO_AUTOTUNE
    return record.model_copy(update={"missing": missing}).with_reason("for a test")


@given(records())
def test_a_record_of_version_2_is_read_as_it_would_be_written_today(record: TrialRecord) -> None:
    assert read_record(json.dumps(as_version_2(record)), "here") == record


@given(records().filter(lambda record: record.autotune is None))
def test_a_record_of_version_1_is_read_as_it_would_be_written_today(record: TrialRecord) -> None:
    assert read_record(json.dumps(as_version_1(record)), "here") == record


def test_a_trial_that_ended_before_it_had_a_segment_keeps_what_it_knew() -> None:
    old = as_version_2(make_record())
    old |= {"segments": [], "environment": None, "contention": None, "epochs": []}
    old |= {"status": "interrupted", "running_time_s": None}
    old["missing"] |= {"environment": "it ended", "contention.load_average": "not on Linux"}
    record = read_record(json.dumps(old), "here")
    (segment,) = record.segments
    assert segment.hardware == record.hardware == make_record().hardware
    assert (segment.hostname, segment.last_epoch) == (None, 0)
    assert segment.started_at == record.started_at
    assert record.missing["segments.0.environment"] == "it ended"
    assert record.missing["segments.0.contention.load_average"] == "not on Linux"
    assert "segments.0.hostname" not in record.unexplained()


def test_a_trial_that_ended_before_all_has_no_segment_and_says_why() -> None:
    old = as_version_2(make_failed())
    old["missing"] = {"hardware": "it was killed", "environment": "it was killed"}
    record = read_record(json.dumps(old), "here")
    assert record.segments == ()
    assert (record.hardware, record.environment, record.contention) == (None, None, None)
    assert record.missing == {"segments": "it was killed"}


def test_a_callable_of_before_comes_from_its_module() -> None:
    old = as_version_2(make_record(model="nets.wide:build"))
    assert old["model"].pop("origin") == old["dataset"].pop("origin") == "raybench"
    record = read_record(json.dumps(old), "here")
    assert record.model is not None
    assert record.dataset is not None
    assert (record.model.origin, record.dataset.origin) == ("nets.wide", "raybench")


@pytest.mark.parametrize(
    "change",
    [{"segments": 1}, {"segments": [1]}, {"missing": 1}, {"missing": []}, {"tune_up": 1},
     {"spec": None}, {"environment": 3, "segments": []}],
)  # fmt: skip
@pytest.mark.parametrize("version", [1, 2])
def test_damage_in_what_is_upgraded_is_named(version: int, change: dict[str, Any]) -> None:
    old = {**as_version_2(make_record()), "schema_version": version, **change}
    with pytest.raises(RecordError, match=r"^here: not a valid record"):
        read_record(json.dumps(old), "here")


def test_every_layout_before_todays_is_upgraded() -> None:
    assert sorted(UPGRADES) == list(range(1, LAYOUT_VERSION))


def test_a_field_that_came_later_has_its_baseline_in_older_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LaterSpec(TrialSpec):
        gpus: Annotated[int, Since(SCHEMA_VERSION + 1, baseline=1)] = 2

    class LaterRecord(TrialRecord):
        schema_version: int = SCHEMA_VERSION + 1
        spec: LaterSpec

    monkeypatch.setattr(upgrades, "TrialSpec", LaterSpec)
    monkeypatch.setattr(upgrades, "TrialRecord", LaterRecord)
    monkeypatch.setattr(upgrades, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    written = make_record()
    for old in (as_version_2(written), written.model_dump(mode="json")):
        record = read_record(json.dumps(old), "here")
        assert isinstance(record.spec, LaterSpec)
        assert (record.schema_version, record.spec.gpus) == (SCHEMA_VERSION + 1, 1)
        assert record.spec.trial_id == written.trial_id


def test_the_version_is_that_of_the_newest_layout_or_field() -> None:
    assert make_record().schema_version == SCHEMA_VERSION >= LAYOUT_VERSION
    version = TrialRecord.model_json_schema()["properties"]["schema_version"]
    assert version["const"] == SCHEMA_VERSION


def test_the_same_trials_are_the_same_whichever_version_wrote_them() -> None:
    written = sorted(RECORDS.glob("v3/*/records/*.json"))
    assert written
    for path in written:
        (old,) = RECORDS.glob(f"v2/{'best' if path.parts[-3] == 'best' else 'gpus'}/*/{path.name}")
        assert json.loads(path.read_bytes())["schema_version"] == 3
        assert json.loads(old.read_bytes())["schema_version"] == 2
        assert read_record(path.read_bytes(), "") == read_record(old.read_bytes(), "")


def test_what_a_tune_up_found_is_still_read() -> None:
    for path in sorted(RECORDS.glob("v2/*/tune-up/*.json")):
        old = json.loads(path.read_bytes())
        found = Autotune.model_validate(autotune_of_version_2(old))
        assert found.chosen.model_dump(mode="json") == old["chosen"]
        assert [c.outcome for c in found.candidates] == [a["outcome"] for a in old["attempts"]]
        again = autotune_of_version_2(found.model_dump(mode="json"))
        assert Autotune.model_validate(again) == found, "that of today is read alike"


@pytest.mark.parametrize(
    ("field", "name"), [("model", "tinynet"), ("dataset", "flowers"), ("hardware", "RTX-A9000")]
)
def test_a_record_is_read_without_the_package_that_it_was_measured_with(
    field: str, name: str
) -> None:
    record = make_record()
    spec = TrialSpec.model_validate({**record.spec.model_dump(), field: name}, context=AS_MEASURED)
    content = record.model_dump(mode="json")
    content |= {"spec": spec.model_dump(mode="json"), "trial_id": spec.trial_id}
    read = read_record(json.dumps(content), "here")
    assert (getattr(read.spec, field), read.trial_id) == (name, spec.trial_id)
    assert Estimates([read]).known_s(record.spec) is None
    assert read.executed is not None
    assert read.executed.trial_id == spec.trial_id
    # But a spec that was altered afterwards is no other trial's.
    with pytest.raises(RecordError, match=f"unknown {field} '{name}'"):
        read_record(json.dumps({**content, "trial_id": record.trial_id}), "here")
