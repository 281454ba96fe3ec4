from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from records import make_record

from raybench.errors import RecordError, ResultsError
from raybench.record.scan import scan
from raybench.record.store import Experiment, check_writable, write_atomically, write_once
from raybench.spec.trial import AS_MEASURED, TrialSpec, trial_spec

SPEC = trial_spec({"model": "resnet18", "dataset": "mnist", "hardware": "P100"})


def full_disk(file: BinaryIO) -> None:
    file.write(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
    experiment.write(record, list(steps_ms))
    with np.load(experiment.steps_path(record.trial_id), allow_pickle=False) as archive:
        assert np.array_equal(archive["train_step_ms"], steps_ms)


def test_a_record_is_kept_though_its_steps_cannot_be(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "steps").write_text("in the way")
    with pytest.raises(ResultsError, match="steps"):
        experiment.write(make_record(), [np.ones(3)])
    assert experiment.is_complete(make_record().spec)


def test_an_experiment_is_named_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Experiment(tmp_path / "mine").name == "mine"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert Experiment(Path()).name == "here"


def test_the_first_to_write_a_file_decides_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "once.json"
    assert write_once(path, b"first") == b"first"
    assert write_once(path, b"second") == b"first"
    assert [p.name for p in path.parent.iterdir()] == ["once.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(ResultsError, match="make room"):
        write_atomically(path, full_disk)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(file: BinaryIO) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file.json", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="RAYBENCH_RESULTS"):
        check_writable(tmp_path / "file" / "results")


def test_a_record_that_cannot_be_kept_in_its_place_is_kept_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").write_text("in the way")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    record = make_record()
    with pytest.raises(ResultsError, match="kept as") as caught:
        Experiment(tmp_path / "results" / "mine").write(record)
    rescued = next(tmp_path.glob("raybench-*.json"))
    assert str(rescued) in str(caught.value)
    assert list(scan([rescued])) == [(rescued, record)]


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
