"""What Slurm and the batch script hand over by environment variables."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from slurm_jobs import step_environment

from raybench.errors import ClusterError
from raybench.slurm.environment import JobEnvironment, StepEnvironment, for_ray, for_step

JOB = {
    "SLURM_JOB_ID": "7",
    "SLURMD_NODENAME": "p100-1",
    "SLURM_JOB_NODELIST": "p100-[1-2]",
    "RAYBENCH_HOME": "/home/me/raybench/cluster",
    "RAYBENCH_BATCH_STARTED": "1700000000.25",
}


TOLD = step_environment(Path("/state"))
JOINING = step_environment(Path("/state"), head_node="", head_ports={}, dashboard=False)


def test_a_job() -> None:
    assert JobEnvironment.read(JOB) == JobEnvironment(
        job="7",
        node="p100-1",
        node_lists=("p100-[1-2]",),
        home=Path("/home/me/raybench/cluster"),
        started_s=1700000000.25,
    )


def test_a_heterogeneous_job() -> None:
    components = {f"SLURM_JOB_NODELIST_HET_GROUP_{n}": name for n, name in enumerate("ab")}
    read = JobEnvironment.read({**JOB, "SLURM_HET_SIZE": "2", **components})
    assert read.node_lists == ("a", "b")


def test_a_clock_of_another_locale_or_of_an_old_bash() -> None:
    read = JobEnvironment.read({**JOB, "RAYBENCH_BATCH_STARTED": "1700000000,25"})
    assert read.started_s == 1700000000.25
    before = time.time()
    assert JobEnvironment.read({**JOB, "RAYBENCH_BATCH_STARTED": ""}).started_s >= before


@pytest.mark.parametrize("name", [name for name in JOB if name != "RAYBENCH_BATCH_STARTED"])
def test_outside_a_job_the_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ClusterError, match=f"{name} is not set"):
        JobEnvironment.read({key: value for key, value in JOB.items() if key != name})


@pytest.mark.parametrize(
    "told",
    [
        TOLD,
        JOINING,
    ],
)
def test_what_a_node_reads_is_what_the_batch_script_told(told: StepEnvironment) -> None:
    assert StepEnvironment.read(told.variables()) == told


def test_a_step_takes_all_of_a_node_whatever_the_batch_script_was_given() -> None:
    environ = {**JOB, "SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_NODE": "100", "HOME": "/home/me"}
    assert for_step(environ, TOLD) == {**JOB, "HOME": "/home/me", **TOLD.variables()}


def test_trials_are_told_nothing_that_only_starts_ray() -> None:
    environ = {**JOB, **TOLD.variables(), "RAYBENCH_DATA": "/data"}
    kept = {name for name in for_ray(environ) if name.startswith("RAYBENCH_")}
    assert kept == {"RAYBENCH_HOME", "RAYBENCH_DATA"}


def test_a_failure_of_any_kind_leaves_a_sign(tmp_path: Path) -> None:
    told = step_environment(tmp_path)
    with told.failure_is_seen("p100-1"):
        pass
    assert not told.failed("p100-1").exists()
    with pytest.raises(SystemExit), told.failure_is_seen("p100-1"):
        raise SystemExit
    assert told.failed("p100-1").exists()
