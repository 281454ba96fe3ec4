"""What Slurm gave a job: its nodes, and what each of them has."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping

from raybench.errors import ClusterError
from raybench.launch.batch.resources import NodeResources, node_resources
from raybench.system.cpus import allowed_cpus
from raybench.system.verify import gpu_names

Hostnames = Callable[[str], list[str]]


def scontrol(*arguments: str) -> str:
    """Return what ``scontrol`` prints.

    Raises:
        ClusterError: it fails, or is not there.
    """
    try:
        return subprocess.run(
            ["scontrol", *arguments], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip()
        raise ClusterError(f"scontrol {' '.join(arguments)} failed: {reason}") from None


def hostnames(short: str) -> list[str]:
    """Return the names of the nodes that Slurm writes in short, such as ``p100-[1-2,4]``."""
    return scontrol("show", "hostnames", short).split()


def node_address(node: str) -> str:
    """Return Slurm's address of a node."""
    match = re.search(r"\bNodeAddr=(\S+)", scontrol("show", "node", node))
    if match is None:
        raise ClusterError(f"Slurm knows no address of {node}")
    return match[1]


def gpus_on_node(job_details: str, node: str, names_of: Hostnames = hostnames) -> dict[str, int]:
    """Return the GPUs of a node by GRES type.

    Args:
        job_details: the text of ``scontrol show job --details``.
        node: the node's name.
        names_of: writes out a short form of nodes.

    Returns:
        counts by type; a GRES without a type counts under ``""``.

    >>> gpus_on_node("  Nodes=a1 CPU_IDs=0 Mem=0 GRES=gpu:p100:4(IDX:0-3)", "a1")
    {'p100': 4}
    """
    found: dict[str, int] = {}
    for short, gres in re.findall(r"^\s*Nodes=(\S+) .*?GRES=(\S*)", job_details, re.MULTILINE):
        if node not in (names_of(short) if re.search(r"[\[,]", short) else [short]):
            continue
        for kind, count in re.findall(r"gpu(?::([^:(,]+))?:(\d+)(?:\([^)]*\))?", gres):
            found[kind] = found.get(kind, 0) + int(count)
    return found


def resources_of_node(environ: Mapping[str, str]) -> NodeResources:
    """Return what this node offers Ray, by what Slurm and NVML say.

    Args:
        environ: the environment of a step's task on it.

    Raises:
        HardwareError: GPUs of no known type, or of several.
    """
    visible = [index for index in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if index]
    details = scontrol("show", "job", "--details", environ["SLURM_JOB_ID"])
    return node_resources(
        cpus=int(environ.get("SLURM_CPUS_ON_NODE") or allowed_cpus()),
        gpus=int(environ.get("SLURM_GPUS_ON_NODE") or len(visible)),
        types=gpus_on_node(details, environ["SLURMD_NODENAME"]),
        names=gpu_names(),
    )
