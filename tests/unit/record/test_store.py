from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from records import make_record

from raybench.errors import NewerRecordError, RecordError, ResultsError
from raybench.record.checksum import with_checksum
from raybench.record.scan import scan
from raybench.record.schema import SCHEMA_VERSION, TrialRecord
from raybench.record.store import Experiment
from raybench.record.upgrades import read_record
from raybench.spec.trial import AS_MEASURED, TrialSpec, trial_spec
from raybench.system.processes import machine

SPEC = trial_spec({"model": "resnet18", "dataset": "mnist", "hardware": "P100"})


def test_a_record_is_found_again(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mine")
    record = make_record()
    path = experiment.write(record)
    assert path == tmp_path / "mine" / "records" / f"{record.trial_id}.json"
    assert experiment.read(record.trial_id) == record
    assert experiment.is_complete(record.spec)
    assert list(scan([tmp_path])) == list(scan([tmp_path / "mine"])) == [(path, record)]


def test_steps_are_kept_beside_the_record(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mine")
    steps_ms = np.arange(6.0).reshape(2, 3)
    record = make_record()
    experiment.write_steps(record.trial_id, list(steps_ms))
    with np.load(experiment.steps_path(record.trial_id), allow_pickle=False) as archive:
        assert np.array_equal(archive["train_step_ms"], steps_ms)


def test_an_experiment_is_named_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Experiment(tmp_path / "mine").name == "mine"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert Experiment(Path()).name == "here"


def test_a_damaged_record_is_not_complete(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mine")
    path = experiment.record_path(SPEC.trial_id)
    path.parent.mkdir(parents=True)
    path.write_text('{"schema_version": 1, "tri')
    assert not experiment.is_complete(SPEC)
    with pytest.raises(RecordError, match=path.name):
        experiment.read(SPEC.trial_id)


def test_a_failed_record_is_not_complete(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mine")
    record = make_record()
    experiment.write(record.model_copy(update={"status": "failed"}))
    assert not experiment.is_complete(record.spec)


def test_the_plan_is_found_again(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mine")
    assert experiment.planned() == {}
    experiment.write_plan("model: resnet18\n", [SPEC])
    assert experiment.planned() == {SPEC.trial_id: SPEC}
    assert experiment.planned(without=[SPEC.trial_id]) == {}
    assert (experiment.folder / "grid.yaml").read_text() == "model: resnet18\n"
    (experiment.folder / "manifest.json").write_text("{")
    with pytest.raises(RecordError, match="manifest"):
        experiment.planned()


def test_a_plan_is_found_without_the_packages_that_it_names(tmp_path: Path) -> None:
    fields = {**SPEC.model_dump(), "model": "tinynet"}
    spec = TrialSpec.model_validate(fields, context=AS_MEASURED)
    experiment = Experiment(tmp_path / "mine")
    experiment.write_plan("", [spec])
    assert experiment.planned() == {spec.trial_id: spec}
    text = (experiment.folder / "manifest.json").read_text().replace("tinynet", "nonsense")
    (experiment.folder / "manifest.json").write_text(text.replace("nonsense-mnist", "x"))
    with pytest.raises(RecordError, match="manifest"):
        experiment.planned()


FIRST, SECOND = "2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"


def record_of(status: str, started_at: str = FIRST) -> TrialRecord:
    return make_record().model_copy(update={"status": status, "started_at": started_at})


@pytest.mark.parametrize(
    ("before", "after", "stays"),
    [
        ("completed", "interrupted", "first"),
        ("completed", "failed", "first"),
        ("completed", "completed", "first"),
        ("interrupted", "failed", "first"),
        ("interrupted", "interrupted", "second"),
        ("failed", "failed", "second"),
        ("failed", "interrupted", "second"),
        ("interrupted", "completed", "second"),
    ],
)
def test_a_record_is_only_replaced_by_a_better_one_and_neither_is_lost(
    before: str, after: str, stays: str, tmp_path: Path
) -> None:
    experiment = Experiment(tmp_path)
    first, second = record_of(before), record_of(after, SECOND)
    place = experiment.write(first)
    assert (experiment.write(second) == place) == (stays == "second")
    in_place, attempt = (first, second) if stays == "first" else (second, first)
    assert experiment.read(first.trial_id) == in_place
    kept = tmp_path / "attempts" / f"{first.trial_id}.1.json"
    assert read_record(kept.read_bytes(), "") == attempt
    assert experiment.attempts() == {first.trial_id: 1}
    experiment.write(record_of("failed", "2026-01-03T12:00:00Z"))
    assert experiment.attempts() == {first.trial_id: 2}


def test_a_lesser_record_of_the_same_start_tells_nothing_new(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    completed = record_of("completed")
    for record in (record_of("failed"), completed, completed, record_of("failed")):
        assert experiment.write(record) == experiment.record_path(record.trial_id)
    assert experiment.read(completed.trial_id) == completed
    assert experiment.attempts() == {}


def test_a_damaged_record_is_kept_as_an_attempt(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    record = make_record()
    path = experiment.write(record)
    path.write_text("half a rec")
    experiment.write(record)
    assert experiment.is_complete(record.spec)
    kept = tmp_path / "attempts" / f"{record.trial_id}.1.json"
    assert kept.read_text() == "half a rec"


def test_a_record_of_a_newer_version_is_never_overwritten(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    record = make_record()
    path = experiment.write(record)
    text = path.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 99')
    path.write_text(text)
    with pytest.raises(NewerRecordError, match="version 99"):
        experiment.is_complete(record.spec)
    with pytest.raises(ResultsError, match="version 99"):
        experiment.write(record)
    assert path.read_text() == text
    assert experiment.attempts() == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [('"running_time_s": ', '"running_time_s": 1'), ('"p05": ', '"p05": 1')],
)
def test_an_edited_record_is_damaged(old: str, new: str, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    record = make_record()
    path = experiment.write(record)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RecordError, match="damaged"):
        experiment.read(record.trial_id)
    assert not experiment.is_complete(record.spec)


def test_the_record_of_another_trial_is_not_complete(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    ours, other = make_record(), make_record(repeat=1)
    experiment.write(other).rename(experiment.record_path(ours.trial_id))
    assert not experiment.is_complete(ours.spec)
    with pytest.raises(RecordError, match="another trial"):
        experiment.read(ours.trial_id)
    changed = ours.model_copy(update={"spec": other.spec})
    experiment.write(changed)
    assert experiment.read(ours.trial_id) == changed
    assert not experiment.is_complete(ours.spec)


def test_what_is_no_file_holds_nothing_up(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    record = make_record()
    path = experiment.record_path(record.trial_id)
    path.parent.mkdir()
    os.mkfifo(path)
    os.mkfifo(tmp_path / "manifest.json")
    assert not experiment.is_complete(record.spec)
    with pytest.raises(RecordError, match="plain file"):
        experiment.planned()
    experiment.write(record)
    experiment.write_plan("", [record.spec])
    assert experiment.is_complete(record.spec)
    assert set(experiment.planned()) == {record.trial_id}
    for huge in (path, tmp_path / "manifest.json"):
        os.truncate(huge, 2**40)
    with pytest.raises(RecordError, match="too large"):
        experiment.read(record.trial_id)
    with pytest.raises(RecordError, match="too large"):
        experiment.planned()


def test_a_second_plan_is_added_to_the_first(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    plan = [make_record(repeat=repeat).spec for repeat in range(3)]
    experiment.write_plan("", plan[:2])
    experiment.write_plan("", plan[1:])
    assert list(experiment.planned().values()) == plan
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    ids = [spec.trial_id for spec in plan]
    manifest["trials"] = {ids[0]: manifest["trials"][ids[1]]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match="planned as another trial"):
        experiment.write_plan("", plan)


DIES = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from records import make_record
from raybench.record.store import Experiment
def die(self, target):
    if {where!r} == "after":
        os.replace(self, target)
    os.kill(os.getpid(), signal.SIGKILL)
Path.replace = die
Experiment(Path({folder!r})).write(make_record())
"""


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_a_process_died_of_writing_is_put_in_place(where: str, tmp_path: Path) -> None:
    experiment = Experiment(tmp_path)
    record = make_record()
    code = DIES.format(path=sys.path, where=where, folder=str(tmp_path))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert experiment.is_complete(record.spec) == (where == "after")
    experiment.salvage(record.trial_id)
    assert experiment.read(record.trial_id) == record
    assert [path.name for path in (tmp_path / "records").iterdir()] == [f"{record.trial_id}.json"]


@dataclass
class Left:
    """A temporary file among the records: of whom, and whether it then still is there."""

    by: str
    content: bytes
    stays: bool = False


@pytest.mark.parametrize("trial_id", [None, make_record().trial_id])
def test_temporary_files_of_the_living_are_left_alone(trial_id: Any, tmp_path: Path) -> None:
    record = make_record()
    text = with_checksum(record)
    found = [
        Left(f"{os.getpid()}@{machine()}", text, stays=True),
        Left(f"99999999@{machine()}", text[:-100]),
        Left("1@another-1", b"", stays=trial_id is not None),
    ]
    (tmp_path / "records").mkdir()
    for number, left in enumerate(found):
        name = f".{record.trial_id}.json.{left.by}.{number:016x}.tmp"
        (tmp_path / "records" / name).write_bytes(left.content)
    Experiment(tmp_path).salvage(trial_id)
    names = [path.name for path in (tmp_path / "records").iterdir()]
    assert [any(left.by in name for name in names) for left in found] == [
        left.stays for left in found
    ]
    assert not Experiment(tmp_path).is_complete(record.spec)
