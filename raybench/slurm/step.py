"""The Slurm step that starts Ray: a script, once on each node of the job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

BATCH_ONLY = ("SLURM_CPUS_PER", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_MEM_")
"""How many CPUs and tasks a step of the batch script's own would have: Ray takes all of a node."""


def srun_command(script: Path, nodes: Sequence[str], components: int, logs: Path) -> list[str]:
    """Return the command that runs a script once on each node of the job.

    Args:
        script: what to run.
        nodes: the job's nodes.
        components: of how many components the job consists.
        logs: the folder of the nodes' logs, ``<node>.log``.
    """
    command = ["srun", "--overlap", "--ntasks-per-node=1", "--cpu-bind=none", "--mem=0"]
    command += ["--no-kill", "--kill-on-bad-exit=0", f"--output={logs}/%N.log"]
    if components > 1:
        command.append("--het-group=" + ",".join(map(str, range(components))))
    else:
        command += [f"--nodes={len(nodes)}", f"--ntasks={len(nodes)}"]
    return [*command, str(script)]


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a step takes over of the batch script's environment."""
    return {name: value for name, value in environ.items() if not name.startswith(BATCH_ONLY)}
