"""What a Slurm host offers Ray, and what a Ray cluster inside a Slurm job needs.

Everything here is decided by its arguments, save what asks NVML, torch, the network or Ray by name.
The scripts in ``cluster/`` put it to use: ``job.py`` in the batch script, ``host.py`` on each host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raybench.catalog.hardware import GPUS, label_of
from raybench.errors import HardwareError
from raybench.schedule.resources import NODE
from raybench.system.kernels import check_gpus, environment_for


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What one host offers Ray.

    Attributes:
        cpus: processors that Slurm gave the job on this host.
        gpus: GPUs that Slurm gave the job on this host.
        label: their type as in ``raybench.catalog.hardware``, or None without a GPU.
        verified: whether the GPUs said so themselves; False if only Slurm's GRES type says so.
    """

    cpus: int
    gpus: int = 0
    label: str | None = None
    verified: bool = True

    @property
    def resources(self) -> dict[str, float]:
        """Ray's custom resources: the GPU label as often as there are GPUs, and the host once."""
        resources: dict[str, float] = {NODE: 1}
        if self.label is not None:
            resources[self.label] = self.gpus
        return resources


def gres_on_host(job_details: str, host: str) -> dict[str, int]:
    """Return the GPUs of ``host`` by GRES type, from the text of ``scontrol show job --details``.

    A GRES without a type counts under ``""``.

    >>> gres_on_host("Nodes=a1 CPU_IDs=0 Mem=0 GRES=gpu:p100:4(IDX:0-3)", "a1")
    {'p100': 4}
    """
    found: dict[str, int] = {}
    for names, gres in re.findall(r"^\s*Nodes=(\S+) .*?GRES=(\S*)", job_details, re.MULTILINE):
        if host not in expand_hosts(names):
            continue
        for kind, count in re.findall(r"gpu(?::([^:(,]+))?:(\d+)(?:\([^)]*\))?", gres):
            found[kind] = found.get(kind, 0) + int(count)
    return found


def expand_hosts(names: str) -> list[str]:
    """Return the hosts of Slurm's short form.

    >>> expand_hosts("p100-[1-2,4],k80-1")
    ['p100-1', 'p100-2', 'p100-4', 'k80-1']
    """
    hosts: list[str] = []
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", names):
        match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
        if match is None:
            hosts.append(part)
            continue
        before, ranges, after = match.groups()
        for span in ranges.split(","):
            first, _, last = span.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts.extend(expand_hosts(f"{before}{number:0{len(first)}}{after}"))
    return hosts


def label_of_gres(gres_type: str) -> str | None:
    """Return the hardware label that a GRES type means, or None.

    >>> label_of_gres("tesla_p100-pcie"), label_of_gres("a100_80g"), label_of_gres("gpu")
    ('P100', 'A100', None)
    """
    folded = gres_type.casefold()
    for label in GPUS:
        if label.casefold() == folded:
            return label
    return label_of(re.sub(r"[_\-.]+", " ", gres_type).upper())


def host_offer(environ: Mapping[str, str], gres: Mapping[str, int], names: Sequence[str]) -> Offer:
    """Decide what a host offers.

    Args:
        environ: the environment of a Slurm step's task on that host.
        gres: its GPUs by GRES type, from ``gres_on_host``.
        names: the GPUs' own names; none where there is no driver.

    Raises:
        HardwareError: GPUs of no known type, or of more than one: Ray could not tell them apart.
    """
    cpus = int(environ.get("SLURM_CPUS_ON_NODE") or os.cpu_count() or 1)
    visible = environ.get("CUDA_VISIBLE_DEVICES", "")
    given = int(environ.get("SLURM_GPUS_ON_NODE") or 0) or len(
        list(filter(None, visible.split(",")))
    )
    if not given:
        return Offer(cpus=cpus)
    if names:
        labels = {name: label_of(name) for name in names}
        given = len(names)
    else:
        labels = {kind: label_of_gres(kind) for kind in gres}
    known = sorted({label for label in labels.values() if label})
    unknown = sorted(kind or "(no GRES type)" for kind, label in labels.items() if not label)
    if unknown or not known:
        raise HardwareError(
            f"no label is known for this host's GPUs: {', '.join(unknown) or 'Slurm names none'}",
            allowed=", ".join(sorted(GPUS)),
            hint="add a row to raybench/catalog/hardware.csv, or give the GRES a type in gres.conf",
        )
    if len(known) > 1:
        raise HardwareError(
            f"this host's GPUs are of several types, {' and '.join(known)}, "
            "which Ray cannot tell apart",
            hint=f"ask Slurm for one type on it, such as --gres=gpu:{known[0].lower()}:1",
        )
    return Offer(cpus=cpus, gpus=given, label=known[0], verified=bool(names))


def check_torch() -> str | None:
    """Train one small convolution on every visible GPU.

    Returns:
        what does not work and which environment would do, or None if all is well.
    """
    import torch

    checks = check_gpus()
    for check in checks:
        if check.problem is None:
            continue
        major, minor = check.compute_capability
        environment = environment_for(check.compute_capability)
        hint = (
            f"cluster/environments/create.sh {environment}"
            if environment
            else "none of cluster/environments has kernels for it"
        )
        return (
            f"torch {torch.__version__} cannot run a convolution on {check.name} "
            f"(sm_{major}{minor}): {check.problem}\nhint:    {hint}"
        )
    if not checks:
        return f"torch {torch.__version__} sees no GPU, though Slurm gave this job one"
    return None
