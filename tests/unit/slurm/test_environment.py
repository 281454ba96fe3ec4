"""What Slurm and the batch script tell a job by environment variables."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from raybench.errors import ClusterError
from raybench.slurm.environment import JobEnvironment

JOB = {
    "SLURM_JOB_ID": "7",
    "SLURMD_NODENAME": "p100-1",
    "SLURM_JOB_NODELIST": "p100-[1-2]",
    "RAYBENCH_HOME": "/home/me/raybench/cluster",
    "RAYBENCH_BATCH_STARTED": "1700000000.25",
}


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
