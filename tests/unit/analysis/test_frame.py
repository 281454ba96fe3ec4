"""Records, Tune results and damaged files become one tidy frame."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import make_failed, make_grid, make_record, write_records

from raybench.analysis import frame as frames
from raybench.analysis.columns import COLUMNS
from raybench.analysis.tables import make_tables
from raybench.analysis.trials import load as load_trials
from raybench.errors import RaybenchError, ResultsError, printable
from raybench.record.store import Experiment
from raybench.report.tables import Tables
from raybench.spec.trial import TrialSpec, trial_spec


def load(folders):
    trials, problems = load_trials(folders)
    return frames.to_frame(trials), problems


def test_a_row_for_each_record_with_every_documented_column(tmp_path):
    records = [*make_grid(2), make_failed(dataset="kmnist")]
    write_records(tmp_path, records)
    frame, problems = load([tmp_path])
    assert problems == ()
    assert len(frame) == len(records)
    assert list(frame) == list(COLUMNS)
    assert all(column.meaning for column in COLUMNS.values())
    assert set(frame["status"]) == {"completed", "failed"}
    (failed,) = frame[frame["status"] == "failed"].to_dict("records")
    assert failed["reason"] == "out_of_memory: CUDA out of memory"
    assert pd.isna(failed["running_time_s"])


def test_figures_are_those_of_the_record():
    record = make_record("googlenet", "cifar10", "P100")
    (row,) = frames.from_records([record]).to_dict("records")
    assert row["running_time_s"] == record.running_time_s
    assert row["accuracy"] == record.epochs[-1].accuracy
    assert row["aux_loss_weight"] == 0.3
    assert row["data_wait_ms"] == record.phases_ms.data_wait.p50
    assert row["preprocess_ms"] != row["preprocess_ms"]  # NaN: it is unknown
    assert row["energy_j"] == record.device_telemetry.energy_j
    assert row["trained_images"] == 3000
    assert row["torch"] == "2.0.1+cu117"
    assert json.loads(row["flags"]) == record.environment.flags
    for name in TrialSpec.model_fields:
        assert row[name] == getattr(record.spec, name)


def test_numbers_of_threads_and_paths_are_no_switches():
    record = make_record(
        changes={
            "environment.flags": {"cudnn_benchmark": True, "num_interop_threads": 14},
            "environment.variables": {
                "OMP_NUM_THREADS": "1",
                "CUDA_VISIBLE_DEVICES": "3",
                "TORCH_HOME": "/models",
                "NVIDIA_TF32_OVERRIDE": "1",
            },
        }
    )
    (row,) = frames.from_records([record]).to_dict("records")
    assert json.loads(row["flags"]) == {"cudnn_benchmark": True}
    assert json.loads(row["variables"]) == {"NVIDIA_TF32_OVERRIDE": "1"}


def test_several_folders_and_single_files(tmp_path):
    first = write_records(tmp_path, [make_record(hardware="P100")], "first")
    second = write_records(tmp_path / "elsewhere", [make_record(hardware="K80")], "second")
    (single,) = (first / "records").iterdir()
    assert len(load([first, second])[0]) == 2
    assert len(load([tmp_path, tmp_path / "elsewhere"])[0]) == 2
    assert len(load([first / "records"])[0]) == 1
    assert len(load([single])[0]) == 1


def test_a_copy_of_a_trial_is_counted_once_and_named(tmp_path):
    write_records(tmp_path, [make_record()], "first")
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    frame, (problem,) = load([tmp_path])
    assert len(frame) == 1
    assert "counted once" in problem
    assert "first" in problem


def test_planned_trials_without_a_record_are_missing(tmp_path):
    planned = [
        trial_spec({"model": "resnet18", "dataset": "mnist", "hardware": hardware})
        for hardware in ("P100", "K80")
    ]
    experiment = Experiment(tmp_path / "unit")
    experiment.write_plan("", planned)
    frame, _ = load([tmp_path])
    assert list(frame["status"]) == ["missing", "missing"]
    write_records(tmp_path, [make_record(epochs=10, train_limit=None, eval_limit=None)])
    frame, _ = load([tmp_path])
    assert sorted(zip(frame["hardware"], frame["status"], strict=True)) == [
        ("K80", "missing"),
        ("P100", "completed"),
    ]


def test_a_damaged_manifest_is_named_and_the_rest_analysed(tmp_path):
    folder = write_records(tmp_path, [make_record()])
    (folder / "manifest.json").write_text('{"trials": ["cut')
    frame, (problem,) = load([folder])
    assert len(frame) == 1
    assert "manifest" in problem


def test_each_bad_file_is_named_and_the_rest_analysed(tmp_path):
    good = make_record()
    folder = write_records(tmp_path, [good]) / "records"
    content = good.model_dump(mode="json")
    bad = {
        "truncated": good.model_dump_json()[:500],
        "newer": json.dumps({**content, "schema_version": 99}),
        "unknown-field": json.dumps({**content, "surprise": 1}),
        "nan": json.dumps({**content, "running_time_s": float("nan")}),
        "foreign": json.dumps([{"package": "not ours"}]),
        "no-version": json.dumps({k: v for k, v in content.items() if k != "schema_version"}),
        "wrong-model": json.dumps({**content, "spec": {**content["spec"], "model": "resnet19"}}),
        "deep": "[" * 100_000,
        "empty": "",
        "binary": "\x00\x01\x02",
        "evil\x1b[2J\nname": "{}",
    }
    for name, text in bad.items():
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    (folder / "large.json").write_bytes(b" " * (17 * 2**20))
    (folder / "latin.json").write_bytes(b'{"schema_version": 1, "x": "\xff"}')
    (folder / "folder.json").mkdir()
    os.mkfifo(folder / "pipe.json")
    frame, problems = load([tmp_path])
    assert len(frame) == 1
    assert len(problems) == len(bad) + 4
    for name in (*bad, "large", "latin", "folder", "pipe"):
        assert any(printable(name) in problem for problem in problems)
    assert all(problem.isprintable() for problem in problems)
    assert any("version 99" in problem for problem in problems)
    assert any("surprise" in problem for problem in problems)


def test_nothing_to_read_says_so_with_what_was_wrong(tmp_path):
    with pytest.raises(ResultsError, match="no records in"):
        load([tmp_path])
    (tmp_path / "unit" / "records").mkdir(parents=True)
    (tmp_path / "unit" / "records" / "a.json").write_text("{}")
    with pytest.raises(ResultsError, match=r"a\.json: not a raybench record"):
        load([tmp_path])
    with pytest.raises(ResultsError, match=r"a\.json, .*a\.json, .*a\.json and 5 more\n"):
        load([tmp_path / "unit" / "records" / "a.json"] * 8)
    with pytest.raises(ResultsError, match="no results at"):
        load([tmp_path / "absent"])


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    folder = write_records(tmp_path, [make_record()])
    (folder / "records").chmod(0)
    try:
        with pytest.raises(ResultsError, match="cannot read"):
            load([folder])
    finally:
        (folder / "records").chmod(0o700)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), cut=st.integers(0, 5000), at=st.integers(0, 5000))
def test_no_bytes_make_a_traceback(tmp_path, data, cut, at):
    text = make_record().model_dump_json().encode()
    damaged = text[:at] + data + text[cut:]
    path = tmp_path / "any.json"
    path.write_bytes(damaged)
    with suppress(ResultsError):  # refused in words, or analysed
        str(Tables(make_tables(load([path])[0])))


_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=_json)
def test_no_value_in_any_field_makes_a_traceback(tmp_path, data, value):
    content = make_record().model_dump(mode="json")
    part, name = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(part[name], dict) and part[name] and data.draw(st.booleans()):
        part = part[name]
        name = data.draw(st.sampled_from(sorted(part)))
    part[name] = value
    path = tmp_path / "any.json"
    path.write_text(json.dumps(content))
    with suppress(RaybenchError):  # refused in words, or analysed
        frame, _ = load([path])
        for fmt in ("github", "latex", "csv", "json"):
            Tables(make_tables(frame)).render(fmt)


@given(st.text())
def test_printable_text_has_no_control_characters(text):
    assert printable(text).isprintable()


def test_hostile_texts_are_escaped_in_the_frame():
    record = make_record(
        changes={
            "environment.hostname": "c1\x1b]0;owned\x07\n| forged | row |",
            "hardware.detected": "Tesla\u202e P100",
        }
    )
    (row,) = frames.from_records([record]).to_dict("records")
    assert row["hostname"] == "c1\\x1b]0;owned\\x07\\n| forged | row |"
    assert row["device"] == "Tesla\\u202e P100"


@pytest.mark.parametrize("kind", ["ExperimentAnalysis", "ResultGrid", "several ResultGrids"])
def test_tune_results_give_the_same_tables_as_the_records(kind):
    records = make_grid(2)
    metrics = [{"record": record.model_dump(mode="json")} for record in records]
    lost = trial_spec({"model": "resnet18", "dataset": "kmnist", "hardware": "P100"})
    config = {"trial": lost.model_dump(mode="json")}
    if kind == "ExperimentAnalysis":
        trials = [SimpleNamespace(last_result=m, config={}) for m in metrics]
        results = SimpleNamespace(trials=[*trials, SimpleNamespace(last_result={}, config=config)])
    else:
        grid = [SimpleNamespace(metrics=m, config={}) for m in metrics]
        results = [*grid, SimpleNamespace(metrics=None, config=config)]
        if kind == "several ResultGrids":
            results = [results[:5], results[5:]]
    frame = frames.from_experiment_analysis(results)
    assert len(frame) == len(records) + 1
    completed = frame[frame["status"] == "completed"]
    assert str(Tables(make_tables(completed))) == str(
        Tables(make_tables(frames.from_records(records)))
    )
    (missing,) = frame[frame["status"] == "missing"].to_dict("records")
    assert (missing["dataset"], missing["hardware"]) == ("kmnist", "P100")


def test_other_peoples_tune_results_are_refused():
    with pytest.raises(ResultsError, match="neither a record nor a trial"):
        frames.from_experiment_analysis([SimpleNamespace(metrics={"loss": 1}, config={"lr": 1})])


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_the_frame_is_saved_and_read_back(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    frame = frames.from_records([*make_grid(1), make_failed(dataset="kmnist")])
    path = tmp_path / f"trials.{suffix}"
    frames.save(frame, path)
    back = getattr(pd, f"read_{suffix}")(path)
    assert list(back) == list(frame)
    assert list(back["trial_id"]) == list(frame["trial_id"])
    pd.testing.assert_series_equal(
        back["running_time_s"], frame["running_time_s"], check_dtype=False
    )


def test_a_spreadsheet_computes_nothing_that_a_record_says(tmp_path):
    hostile = {"environment.hostname": "=cmd|' /C calc'!A0", "hardware.detected": "@SUM(1)"}
    frame = frames.from_records([make_record(changes=hostile)])
    frames.save(frame, tmp_path / "trials.csv")
    (row,) = pd.read_csv(tmp_path / "trials.csv").to_dict("records")
    assert row["hostname"] == "'=cmd|' /C calc'!A0"
    assert row["device"] == "'@SUM(1)"
    assert row["running_time_s"] == pytest.approx(frame["running_time_s"][0])


def test_saving_elsewhere_says_what_is_wrong(tmp_path):
    frame = frames.from_records([make_record()])
    with pytest.raises(ResultsError, match=r"trials\.xlsx"):
        frames.save(frame, tmp_path / "trials.xlsx")
    with pytest.raises(ResultsError, match="cannot write"):
        frames.save(frame, tmp_path / "absent" / "trials.csv")
