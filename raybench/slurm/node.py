"""What srun runs on each node of the job, by ``node.sh``: its resources, then Ray.

python -m raybench.slurm.node resources       print what this node has, as JSON
python -m raybench.slurm.node start JSON      run Ray with it, until Slurm ends it
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from raybench.errors import ClusterError, RaybenchError
from raybench.launch.batch.network import choose_ports, outward_address
from raybench.launch.batch.node import NodeRun, allow_open_files
from raybench.launch.batch.ray_start import ray_start_arguments
from raybench.launch.batch.resources import NodeResources, check_torch
from raybench.launch.batch.workdir import check_temp_dir
from raybench.settings import Settings
from raybench.slurm.allocation import gpus_on_node, resources_of_node, scontrol
from raybench.slurm.environment import StepEnvironment, for_ray
from raybench.system.cpus import allowed_cpus
from raybench.system.ray_gcs import JOB_LABEL, NODE_LABEL
from raybench.system.verify import UNVERIFIED_HARDWARE, gpu_names


def find_resources(environ: Mapping[str, str]) -> NodeResources:
    """Ask Slurm and NVML what this node has for the job."""
    details = scontrol("show", "job", "--details", environ["SLURM_JOB_ID"])
    types = gpus_on_node(details, environ["SLURMD_NODENAME"])
    return resources_of_node(environ, types, gpu_names(), allowed_cpus())


def start(resources: NodeResources, environ: Mapping[str, str]) -> None:
    """Start Ray and stay until Slurm, or Ray, ends.

    Raises:
        HardwareError: torch cannot use the GPUs.
        ClusterError: Ray does not start, or ended.
    """
    node, step = environ["SLURMD_NODENAME"], StepEnvironment.read(environ)
    with step.failure_is_seen(node):
        say(f"{node}: {resources}")
        variables = for_ray(environ)
        if resources.gpus and resources.verified:
            check_torch()
        elif resources.gpus:
            say(f"no NVIDIA driver: {resources.label} is what Slurm's GRES says, marked unverified")
            variables[UNVERIFIED_HARDWARE] = "1"
        allow_open_files()
        node_run(resources, node, step, variables).stay()


def node_run(
    resources: NodeResources, node: str, step: StepEnvironment, variables: Mapping[str, str]
) -> NodeRun:
    """Return Ray on this node, yet to be started.

    Raises:
        ClusterError: the temporary folder's path is too long, or no ports are free.
    """
    temp_dir = Settings().tmpdir / step.run
    check_temp_dir(temp_dir)
    is_head = node == step.head_node
    head_address = step.head.rpartition(":")[0]

    def arguments() -> list[str]:
        return ray_start_arguments(
            resources=resources,
            # The head's were chosen by the batch script, which runs there.
            ports=step.head_ports if is_head else choose_ports(int(step.job)),
            own_address=head_address if is_head else outward_address(head_address),
            head=step.head,
            is_head=is_head,
            dashboard=step.dashboard,
            temp_dir=temp_dir,
            labels={JOB_LABEL: step.job, NODE_LABEL: node},
        )

    return NodeRun(
        node=node,
        temp_dir=temp_dir,
        logs=step.logs / "ray" / node,
        joined=step.joined(node),
        variables=variables,
        arguments=arguments,
        say=say,
    )


def say(text: str) -> None:
    """Write a line to this node's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands, and say what went wrong, if anything."""
    try:
        match list(arguments):
            case ["resources"]:
                print(json.dumps(asdict(find_resources(os.environ))))
            case ["start", given]:
                start(NodeResources(**json.loads(given)), os.environ)
            case _:
                raise ClusterError(
                    f"not a command for a node: {' '.join(arguments)}",
                    allowed="resources, or start JSON",
                )
    except RaybenchError as error:
        print(f"raybench: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
