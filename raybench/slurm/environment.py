"""What Slurm and the batch script hand over by environment variables, each read here once.

What a user or a site sets is in ``raybench.settings``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from raybench.errors import ClusterError

BATCH_ONLY = ("SLURM_CPUS_PER", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_MEM_")
"""How many CPUs and tasks a step of the batch script's own would have: Ray takes all of a node."""


@dataclass(frozen=True, kw_only=True)
class JobEnvironment:
    """Where the batch script runs.

    Attributes:
        job: Slurm's id of the job.
        node: the name of the first node, on which the script runs.
        node_lists: the nodes in Slurm's short form, one text a component of the job.
        home: the folder of the batch scripts.
        started_s: when the batch script began, in seconds of Unix time.
    """

    job: str
    node: str
    node_lists: tuple[str, ...]
    home: Path
    started_s: float

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> JobEnvironment:
        """Read it.

        Raises:
            ClusterError: this is not inside a batch script of a Slurm job.
        """
        size = int(environ.get("SLURM_HET_SIZE") or 1)
        lists = (
            [f"SLURM_JOB_NODELIST_HET_GROUP_{group}" for group in range(size)]
            if size > 1
            else ["SLURM_JOB_NODELIST"]
        )
        return cls(
            job=_given(environ, "SLURM_JOB_ID"),
            node=_given(environ, "SLURMD_NODENAME"),
            node_lists=tuple(_given(environ, name) for name in lists),
            home=Path(_given(environ, "RAYBENCH_HOME")),
            started_s=_seconds(environ.get("RAYBENCH_BATCH_STARTED", "")),
        )


@dataclass(frozen=True, kw_only=True)
class StepEnvironment:
    """What the batch script tells the step that starts Ray on each node.

    A field is the variable ``RAYBENCH_<FIELD>``; node.sh reads some of them too.

    Attributes:
        job: Slurm's id of the job.
        run: a name that no other run has, for folders.
        head: ``address:port`` of the cluster.
        head_node: the node that is to be the head; empty if it is in another job.
        head_ports: the head's ports, by service.
        dashboard: whether the head takes jobs.
        state: the job's private folder, on a file system that all nodes share.
        logs: the folder of the run's logs.
    """

    job: str
    run: str
    head: str
    head_node: str
    head_ports: Mapping[str, int]
    dashboard: bool
    state: Path
    logs: Path

    def variables(self) -> dict[str, str]:
        """Return the environment variables that hold it."""
        return {
            **{_variable(field.name): str(getattr(self, field.name)) for field in fields(self)},
            _variable("head_ports"): json.dumps(dict(self.head_ports)),
            _variable("dashboard"): "1" if self.dashboard else "0",
        }

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> StepEnvironment:
        """Read it.

        Raises:
            ClusterError: this is not inside the step that the batch script starts.
        """
        given = {field.name: _given(environ, _variable(field.name)) for field in fields(cls)}
        return cls(
            job=given["job"],
            run=given["run"],
            head=given["head"],
            head_node=given["head_node"],
            head_ports=json.loads(given["head_ports"]),
            dashboard=given["dashboard"] == "1",
            state=Path(given["state"]),
            logs=Path(given["logs"]),
        )

    def joined(self, node: str) -> Path:
        """Return the file that says that the batch script has seen a node in the cluster."""
        return self.state / f"joined-{node}"

    def failed(self, node: str) -> Path:
        """Return the file that says that a node does not join."""
        return self.state / f"failed-{node}"

    @contextmanager
    def failure_is_seen(self, node: str) -> Iterator[None]:
        """Let the batch script know at once if this node fails, whatever it is."""
        try:
            yield
        except BaseException:
            self.failed(node).touch()
            raise


def for_step(environ: Mapping[str, str], step: StepEnvironment) -> dict[str, str]:
    """Return the environment of the step that starts Ray, from the batch script's."""
    inherited = {n: value for n, value in environ.items() if not n.startswith(BATCH_ONLY)}
    return {**inherited, **step.variables()}


def for_ray(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Ray and of trials, without what only starts them."""
    ours = {_variable(field.name) for field in fields(StepEnvironment)}
    ours.add("RAYBENCH_BATCH_STARTED")
    return {name: value for name, value in environ.items() if name not in ours}


def _variable(field: str) -> str:
    return f"RAYBENCH_{field.upper()}"


def _seconds(epoch_real_time: str) -> float:
    """Return bash's EPOCHREALTIME, which old ones lack and some locales write with a comma."""
    return float(epoch_real_time.replace(",", ".")) if epoch_real_time else time.time()


def _given(environ: Mapping[str, str], name: str) -> str:
    try:
        return environ[name]
    except KeyError:
        raise ClusterError(
            f"{name} is not set: this runs inside a Slurm job only",
            hint="sbatch cluster/start_ray.sbatch",
        ) from None
