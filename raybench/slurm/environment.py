"""What Slurm and the batch script tell a job by environment variables, each read here once.

What a user or a site sets is in ``raybench.settings``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raybench.errors import ClusterError


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
        lists = [f"SLURM_JOB_NODELIST_HET_GROUP_{group}" for group in range(size)]
        # Old versions of bash have no such clock, and some locales write it with a comma.
        started = environ.get("RAYBENCH_BATCH_STARTED", "").replace(",", ".")
        try:
            return cls(
                job=environ["SLURM_JOB_ID"],
                node=environ["SLURMD_NODENAME"],
                node_lists=tuple(
                    environ[name] for name in (lists if size > 1 else ["SLURM_JOB_NODELIST"])
                ),
                home=Path(environ["RAYBENCH_HOME"]),
                started_s=float(started or time.time()),
            )
        except KeyError as absent:
            raise ClusterError(
                f"{absent.args[0]} is not set: this runs inside a Slurm job only",
                hint="sbatch cluster/start_ray.sbatch",
            ) from None
