"""What is refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from raybench.errors import ClusterError, DataError, HardwareError, ResultsError, SpecError
from raybench.launch import preflight
from raybench.record.store import Experiment
from raybench.settings import Workspace
from raybench.spec.trial import TrialSpec, trial_spec


def trial(**fields: str) -> TrialSpec:
    return trial_spec(
        {"model": "small_models:small", "dataset": "digits", "hardware": "cpu:1", **fields}
    )


def check(spec: TrialSpec, folder: Path) -> None:
    workspace = Workspace(results=folder, data=folder, cache=folder)
    experiment = Experiment(folder / "unit")
    preflight.check_trial(spec, experiment, workspace)
    preflight.check_grid([spec], experiment, workspace, None)


def test_what_can_run_passes_and_nothing_is_left_behind(tmp_path: Path) -> None:
    check(trial(), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package\n", "No module named 'no_such_package'"),
        ("\n\nraise ValueError('not here')\n", "not here"),
        ("def build(:\n", "SyntaxError"),
        ("other = 1\n", "no callable 'build'"),
    ],
)
def test_a_model_that_cannot_be_imported_is_named_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    name = f"broken_{abs(hash(source))}"
    path = tmp_path / f"{name}.py"
    path.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=message) as caught:
        preflight.check_imports([trial(), trial(model=f"{name}:build")])
    if "callable" not in message:
        line = source.count("\n")
        assert f"{path}, line {line}" in caught.value.message


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "unit").write_text("in the way")
    with pytest.raises(ResultsError):
        check(trial(), tmp_path)


def test_a_dataset_that_is_absent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnist"):
        check(trial(dataset="mnist"), tmp_path)


@pytest.mark.parametrize(
    ("hardware", "cpus", "allowed"),
    [("cpu:3", 2, "cpu:1 to cpu:2"), ("cpu:2", 1, "cpu:1"), ("P100", 4, "cpu:1 to cpu:4")],
)
def test_hardware_that_this_machine_lacks(
    monkeypatch: pytest.MonkeyPatch, hardware: str, cpus: int, allowed: str
) -> None:
    monkeypatch.setattr(preflight, "allowed_cpus", lambda: cpus)
    monkeypatch.setattr(preflight, "gpu_names", list)
    with pytest.raises(HardwareError) as caught:
        preflight.check_hardware(trial(hardware=hardware))
    assert caught.value.allowed == allowed


def test_a_plan_that_this_machine_can_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "machine_resources", lambda: {"CPU": 1.0})
    workspace = Workspace(results=tmp_path, data=tmp_path, cache=tmp_path)
    experiment = Experiment(tmp_path / "unit")
    with pytest.raises(ClusterError, match="this machine cannot run the plan"):
        preflight.check_grid([trial()], experiment, workspace, None)
    preflight.check_grid([trial()], experiment, workspace, "10.0.0.1:6379")  # that one is asked
