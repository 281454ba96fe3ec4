"""What Slurm and the batch script tell, for a job 7 on p100-1 and k80-1."""

from __future__ import annotations

from pathlib import Path

from raybench.launch.batch.step import StepEnvironment
from raybench.slurm.environment import JobEnvironment
from raybench.system.ray_gcs import JOB_LABEL, NODE_LABEL, RayNode

RECORDED = Path(__file__).parents[1] / "data" / "scontrol"

PORTS = {
    name: 10112 + place
    for place, name in enumerate(
        (
            "gcs",
            "dashboard",
            "node-manager",
            "object-manager",
            "dashboard-agent-listen",
            "dashboard-agent-grpc",
            "runtime-env-agent",
            "metrics-export",
        )
    )
}


def recorded_scontrol(*arguments: str) -> str:
    """Answer as Slurm 22.05 did on the virtual cluster."""
    answers = {
        ("show", "hostnames", "k80-1,p100-[1-2]"): "k80-1\np100-1\np100-2\n",
        ("show", "hostnames", "p100-[1-2]"): "p100-1\np100-2\n",
        ("show", "node", "k80-1"): (RECORDED / "node.txt").read_text(),
        ("show", "job", "--details", "7"): (RECORDED / "job-details.txt").read_text(),
    }
    return answers[arguments]


def job_environment(home: Path, **fields: object) -> JobEnvironment:
    given: dict[str, object] = {
        "job": "7",
        "node": "k80-1",
        "node_lists": ("k80-1,p100-[1-2]",),
        "home": home,
        "started_s": 0.0,
    }
    return JobEnvironment(**{**given, **fields})  # type: ignore[arg-type]


def step_environment(folder: Path, **fields: object) -> StepEnvironment:
    given: dict[str, object] = {
        "job": "7",
        "run": "rb7-0123abcd",
        "head": "10.77.0.13:10112",
        "head_node": "k80-1",
        "head_ports": PORTS,
        "dashboard": True,
        "state": folder,
        "logs": folder / "slurm-7",
    }
    return StepEnvironment(**{**given, **fields})  # type: ignore[arg-type]


def ray_node(name: str, job: str = "7", **resources: float) -> RayNode:
    """Return a node that has joined the cluster."""
    return RayNode(
        node_id=name, labels={JOB_LABEL: job, NODE_LABEL: name}, resources={"CPU": 3.0, **resources}
    )
