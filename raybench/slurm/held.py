"""What the log of a job says of its cluster, and how to use one that is held."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raybench.errors import count
from raybench.launch.batch.workdir import RunningCluster
from raybench.system.ray_gcs import RayNode, gpus_by_label


def describe(nodes: Sequence[RayNode]) -> str:
    """Return ``3 nodes, 12 × P100, 8 × K80``."""
    gpus = gpus_by_label(nodes)
    return ", ".join(
        [count(len(nodes), "node"), *(f"{number} × {label}" for label, number in gpus.items())]
    )


def how_to_submit(
    running: RunningCluster, state: Path, nodes: Sequence[RayNode], components: int, home: Path
) -> str:
    """Return the commands by which the user submits single runs, on hardware that there is."""
    label = next(iter(sorted(gpus_by_label(nodes))), "cpu:1")
    asked = "--entrypoint-num-cpus=1"
    if label != "cpu:1":
        asked = (
            "--entrypoint-num-cpus=3 --entrypoint-num-gpus=1 \\\n"
            f"    --entrypoint-resources='{{\"{label}\": 1}}'"
        )
    port = running.dashboard.rpartition(":")[2]
    # Of a heterogeneous job, srun has to be told the component.
    component = "--het-group=0 " if components > 1 else ""
    return f"""
Ray is held for single runs until: scancel {running.job}

On a login node, once, with a tunnel to the head, through which only your token lets you in:
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={state / "token"}
  export RAY_API_SERVER_ADDRESS={running.dashboard}
  ssh -N -f -L {port}:127.0.0.1:{port} {running.head}
Where no node can be reached by ssh, put this before each command below instead of the last line:
  srun --jobid={running.job} {component}--overlap --nodes=1 --ntasks=1 --nodelist={running.head}

Then, for each run:
  raybench submit resnet18 mnist --hardware {label} -s epochs=1
or, the same by Ray's own command, with a CPU for each of num_workers and one more:
  ray job submit {asked} -- \\
    raybench run resnet18 mnist --hardware {label} -s epochs=1

Records are in {running.results}/runs.
More nodes join by: sbatch {home}/join_ray.sbatch {running.job}
"""
