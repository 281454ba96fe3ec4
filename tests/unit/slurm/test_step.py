"""The Slurm step that starts Ray."""

from __future__ import annotations

from pathlib import Path

from raybench.slurm.step import inherited, srun_command

NODES = ["k80-1", "p100-1"]


def test_one_task_on_each_node() -> None:
    command = srun_command(Path("/cluster/node.sh"), NODES, 1, Path("/logs"))
    assert command[0] == "srun"
    assert command[-1] == "/cluster/node.sh"
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--no-kill"} <= set(command)
    assert "--output=/logs/%N.log" in command


def test_all_components_of_a_heterogeneous_job() -> None:
    command = srun_command(Path("/cluster/node.sh"), NODES, 2, Path("/logs"))
    assert "--het-group=0,1" in command
    assert not [part for part in command if part.startswith(("--nodes", "--ntasks="))]


def test_a_step_takes_all_of_a_node_whatever_the_batch_script_was_given() -> None:
    kept = {"SLURM_JOB_ID": "7", "HOME": "/home/me"}
    given = {"SLURM_CPUS_PER_TASK": "1", "SLURM_NTASKS": "1", "SLURM_MEM_PER_NODE": "100"}
    assert inherited({**kept, **given}) == kept
