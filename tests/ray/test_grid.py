"""A grid on a real Ray, with trials that go wrong in every way beside trials that do not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import yaml

from raybench.analysis.frame import from_experiment_analysis, to_frame
from raybench.analysis.tables import make_tables
from raybench.analysis.trials import load
from raybench.errors import ClusterError
from raybench.launch.grid import run_grid
from raybench.launch.options import Nobody, RunOptions
from raybench.launch.rescuer import Rescuer
from raybench.record.schema import ErrorFacts
from raybench.record.state import TrialState
from raybench.record.store import Experiment
from raybench.report.tables import Tables
from raybench.settings import Workspace
from raybench.spec.grid import grid_spec
from raybench.spec.trial import TrialSpec
from raybench.trial.draft import unfinished_record

SMALL: dict[str, Any] = {
    "dataset": "digits", "hardware": "cpu:1", "epochs": 2, "batch_size": 32, "image_size": 16,
    "train_limit": 100, "eval_limit": 50, "warmup_steps": 1,
}  # fmt: skip
GOOD = "small_models:small"
BAD = {
    "small_models:raises": "exception",
    "small_models:diverges": "diverged",
    "small_models:out_of_memory": "out_of_memory",
    "small_models:killed": "killed",
}
LIMIT_S = 900


def write_grid(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"name": "unit", **SMALL, **fields}))
    return path


def raybench(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "raybench", *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        raybench(*arguments), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def folders(tmp_path: Path) -> Workspace:
    return Workspace(results=tmp_path, data=tmp_path, cache=Path(os.environ["RAYBENCH_CACHE"]))


def rescuer(experiment: Experiment) -> Rescuer:
    return Rescuer(experiment=experiment, say=print)


def on_tune(trials: Sequence[TrialSpec], experiment: Experiment) -> list[Any]:
    """Run trials, and return Tune's own results of them."""
    from raybench.launch.tune.run import TuneRun

    run = TuneRun(
        trials,
        experiment,
        folders(experiment.folder.parent),
        RunOptions(),
        rescuer=rescuer(experiment),
    )
    run.start()
    while not run.wait(0.2):
        continue
    return run.results()


@pytest.mark.usefixtures("on_ray")
def test_the_analysis_of_tunes_results_is_that_of_the_records(tmp_path: Path) -> None:
    from ray.tune import ExperimentAnalysis

    grid = grid_spec({"name": "unit", "model": [GOOD, *BAD], **SMALL})
    experiment = Experiment(tmp_path / "unit")
    experiment.write_plan("", grid.plan())
    (results,) = on_tune(grid.plan(), experiment)

    kinds, messages = {}, {}
    for trial in grid.plan():
        record = experiment.read(trial.trial_id)
        assert record is not None, trial.title
        kinds[trial.model] = record.error.kind if record.error else record.status
        messages[trial.model] = record.error.message if record.error else ""
    assert kinds == {GOOD: "completed", **BAD}, messages
    # Tune's own view agrees: what did not complete is an error there.
    assert (len(results), results.num_errors) == (len(kinds), len(BAD))

    frame = to_frame(load([experiment.folder]).trials)
    tables = str(Tables(make_tables(frame)))
    analysis = ExperimentAnalysis(results.experiment_path)
    for source in (results, analysis):
        theirs = from_experiment_analysis(source)
        assert str(Tables(make_tables(theirs))) == tables
        ours = frame.sort_values("trial_id").drop(columns="source").reset_index(drop=True)
        theirs = theirs.sort_values("trial_id").drop(columns="source").reset_index(drop=True)
        pd.testing.assert_frame_equal(ours, theirs)
    assert "failed" in tables


@pytest.mark.usefixtures("on_ray")
def test_trials_that_compete_for_a_device_run_in_the_plans_order(tmp_path: Path) -> None:
    one, two = {**SMALL, "epochs": 1, "isolation": "node"}, {**SMALL, "epochs": 1}
    shared = grid_spec({**one, "model": GOOD, "hardware": ["cpu:2", "cpu:1"], "repeats": 3})
    apart = grid_spec({**two, "model": GOOD, "hardware": "cpu:1", "repeats": 2})
    experiment = Experiment(tmp_path / "unit")
    trials = [*shared.plan(), *apart.plan()]
    (results,) = on_tune(trials, experiment)
    assert len(results) == 8
    records = {trial.trial_id: experiment.read(trial.trial_id) for trial in trials}
    assert {record.status for record in records.values() if record} == {"completed"}
    written = [experiment.record_path(trial.trial_id).stat().st_mtime_ns for trial in shared.plan()]
    assert written == sorted(written)
    frame = from_experiment_analysis(results)
    assert set(frame["trial_id"]) == set(records)


@pytest.mark.usefixtures("on_ray")
def test_a_large_plan_becomes_several_tune_experiments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raybench.launch.tune import run

    monkeypatch.setattr(run, "MOST_TRIALS", 2)
    grid = grid_spec({"name": "unit", "model": GOOD, **SMALL, "epochs": 1, "repeats": 3})
    experiment = Experiment(tmp_path / "unit")
    results = on_tune(grid.plan(), experiment)
    assert [len(part) for part in results] == [2, 1]
    assert all(experiment.is_complete(trial) for trial in grid.plan())
    frame = from_experiment_analysis(results)
    assert sorted(frame["repeat"]) == list(range(3))
    assert set(frame["status"]) == {"completed"}


def test_hardware_that_the_cluster_lacks_is_refused_at_once(tmp_path: Path, on_ray: Any) -> None:
    grid = grid_spec({"model": GOOD, **SMALL, "hardware": ["P100", "cpu:1"]})
    with pytest.raises(ClusterError, match="P100 1") as caught:
        run_grid(grid, folders(tmp_path), RunOptions(address=on_ray.address))
    assert "1 node with CPU 2" in str(caught.value)


@pytest.mark.usefixtures("on_ray")
def test_the_command_fails_with_a_failed_trial_and_resumes_the_rest(tmp_path: Path) -> None:
    path = write_grid(tmp_path, model=[GOOD, "small_models:raises"])
    first = run("grid", path, "--results", tmp_path)
    assert first.returncode == 1, first.stderr
    assert "ValueError: this model raises" in first.stderr
    assert "Traceback" not in first.stderr
    assert "Running time" in first.stdout
    assert "failed" in first.stdout

    again = run("grid", path, "--results", tmp_path, "-s", f"model={GOOD}")
    assert again.returncode == 0, again.stderr
    assert "1 of 1 trial is complete already" in again.stderr


def test_an_interruption_keeps_what_is_complete(tmp_path: Path) -> None:
    path = write_grid(
        tmp_path, model=[GOOD, "small_models:endless"], train_limit=1400, isolation="node"
    )
    records = tmp_path / "unit" / "records"
    command = subprocess.Popen(
        raybench("grid", path, "--results", tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + LIMIT_S
    while not list(records.glob("*.json")):
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    # As a terminal does: to the whole group of processes.
    os.killpg(command.pid, signal.SIGINT)
    output = command.communicate(timeout=LIMIT_S)[0]
    assert command.returncode == 130, output
    assert "what is complete was kept" in output
    statuses = [json.loads(path.read_text())["status"] for path in records.glob("*.json")]
    assert statuses.count("completed") == 1, output


@pytest.mark.usefixtures("on_ray")
def test_a_trial_that_was_lost_with_its_host_has_a_record_that_says_so(tmp_path: Path) -> None:
    import ray

    from raybench.launch.tune.board import StatusBoard
    from raybench.launch.tune.callbacks import Records

    trials = grid_spec({"model": GOOD, **SMALL, "repeats": 4}).plan()
    lost, unstarted, outlived, failed = trials
    experiment = Experiment(tmp_path / "unit")
    board: Any = ray.remote(StatusBoard).options(num_cpus=0).remote()
    state = TrialState(phase="training", node="p100-1", started_at="2026-01-01T00:00:00+00:00")
    for trial in (lost, outlived):
        ray.get(board.publish.remote(trial.trial_id, state))
    ray.get(
        board.publish.remote(failed.trial_id, replace(state, phase="failed", message="its own"))
    )
    callback = Records(experiment, board, rescuer(experiment))
    error = ErrorFacts(kind="interrupted", message="interrupted", traceback=None)
    experiment.write(unfinished_record(outlived, "unit", state, error))
    for trial in trials:
        callback.on_trial_error(0, [], SimpleNamespace(config={"trial": trial.model_dump()}))

    record = experiment.read(lost.trial_id)
    assert record is not None
    assert record.error is not None
    assert (record.status, record.error.kind) == ("failed", "host_lost")
    assert record.error.message.startswith("p100-1 was lost while the trial was in training")
    assert record.unexplained() == []
    own = experiment.read(outlived.trial_id)
    assert own is not None
    assert own.error == error
    assert experiment.read(unstarted.trial_id) is None
    assert experiment.read(failed.trial_id) is None
    _, states = ray.get(board.changes.remote(0))
    assert [states[trial.trial_id].phase for trial in trials] == ["failed"] * 4
    assert "before it began" in states[unstarted.trial_id].message
    assert states[failed.trial_id].message == "its own"


class Killer(Nobody):
    """Kills the second node once a trial is complete and another one is in its warm-up."""

    def __init__(self, nodes: Any, *, another_joins: bool) -> None:
        self.nodes = nodes
        self.another_joins = another_joins
        self.killed = False
        self.states: dict[str, TrialState] = {}

    def update(self, states: Mapping[str, TrialState]) -> None:
        self.states = dict(states)
        phases = {state.phase for state in states.values()}
        if not self.killed and {"completed", "warm-up"} <= phases:
            self.killed = True
            self.nodes.kill_second()
            if self.another_joins:
                self.nodes.restore_second()


@pytest.mark.parametrize("another_joins", [False, True])
def test_a_node_dies_in_the_middle_of_a_grid(
    tmp_path: Path, on_ray: Any, another_joins: bool
) -> None:
    """What only that node could run waits for another one, but not for ever."""
    hangs, good = "small_models:hangs", GOOD
    exclude = {"model": hangs, "hardware": "cpu:1"}
    grid = grid_spec(
        {**SMALL, "model": [hangs, good], "hardware": ["cpu:2", "cpu:1"], "exclude": exclude}
    )
    killer = Killer(on_ray, another_joins=another_joins)
    options = RunOptions(address=on_ray.address, node_timeout_s=600 if another_joins else 1)
    outcome = run_grid(grid, folders(tmp_path), options, killer)
    statuses = {(r.spec.model, r.spec.hardware): r.status for r in outcome.records}
    # The trial that was lost may have noted so itself, before its process ended.
    lost = statuses.pop((hangs, "cpu:2"))
    assert lost in ("failed", "interrupted")
    assert statuses == {
        (good, "cpu:1"): "completed",
        **({(good, "cpu:2"): "completed"} if another_joins else {}),
    }
    assert {state.phase for state in killer.states.values()} == {"completed", lost}
    assert not outcome.is_complete
    if another_joins:
        assert [record.status for record in outcome.unless_cut_short()].count("completed") == 2
    else:
        message = "for 1 s there has been no node that can run what is left: 1 trial needs CPU 2"
        with pytest.raises(ClusterError, match=message):
            outcome.unless_cut_short()
