"""What a node of a batch job offers Ray, and whether torch can use its GPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raybench.catalog.hardware import GPUS, label_of
from raybench.errors import HardwareError
from raybench.schedule.resources import NODE
from raybench.system.kernels import check_gpus, environment_for


@dataclass(frozen=True, kw_only=True)
class NodeResources:
    """What one node offers Ray.

    Attributes:
        cpus: processors that the scheduler gave the job on this node.
        gpus: GPUs that the scheduler gave the job on this node.
        label: their type as in ``raybench.catalog.hardware``, or None without a GPU.
        verified: whether the GPUs said so themselves; False if only the scheduler does.
    """

    cpus: int
    gpus: int = 0
    label: str | None = None
    verified: bool = True

    @property
    def custom(self) -> dict[str, float]:
        """Ray's custom resources: the GPU label as often as there are GPUs, and the node once."""
        resources: dict[str, float] = {NODE: 1}
        if self.label is not None:
            resources[self.label] = self.gpus
        return resources

    def __str__(self) -> str:
        return f"{self.cpus} CPUs, " + (f"{self.gpus} × {self.label}" if self.label else "no GPU")


def label_of_type(gpu_type: str) -> str | None:
    """Return the hardware label that a scheduler's name of a GPU type means, or None.

    >>> label_of_type("tesla_p100-pcie"), label_of_type("a100_80g"), label_of_type("gpu")
    ('P100', 'A100', None)
    """
    folded = gpu_type.casefold()
    for label in GPUS:
        if label.casefold() == folded:
            return label
    return label_of(re.sub(r"[_\-.]+", " ", gpu_type).upper())


def node_resources(
    *, cpus: int, gpus: int, types: Mapping[str, int], names: Sequence[str]
) -> NodeResources:
    """Decide what a node offers.

    Args:
        cpus: processors that the scheduler gave the job on this node.
        gpus: GPUs that it gave the job on this node.
        types: the same GPUs by the scheduler's names of their types; "" for none.
        names: the GPUs' own names; none where there is no driver.

    Raises:
        HardwareError: GPUs of no known type, or of more than one: Ray could not tell them apart.
    """
    if not gpus:
        return NodeResources(cpus=cpus)
    labels = (
        {name: label_of(name) for name in names}
        if names
        else {gpu_type: label_of_type(gpu_type) for gpu_type in types}
    )
    known = sorted({label for label in labels.values() if label})
    unknown = sorted(name or "(no type)" for name, label in labels.items() if not label)
    if unknown or not known:
        raise HardwareError(
            "no label is known for this node's GPUs: "
            f"{', '.join(unknown) or 'the scheduler names none'}",
            allowed=", ".join(sorted(GPUS)),
            hint="add a row to the file that RAYBENCH_HARDWARE names, or give the GPUs a type in "
            "the scheduler's configuration (Slurm: gres.conf)",
        )
    if len(known) > 1:
        raise HardwareError(
            f"this node's GPUs are of several types, {' and '.join(known)}, "
            "which Ray cannot tell apart",
            hint=f"ask for one type on it, such as --gres=gpu:{known[0].lower()}:1",
        )
    return NodeResources(cpus=cpus, gpus=len(names) or gpus, label=known[0], verified=bool(names))


def check_torch() -> None:
    """Train one small convolution on every visible GPU.

    Raises:
        HardwareError: torch sees no GPU, or cannot use one; the hint names an environment.
    """
    import torch  # noqa: PLC0415 - takes seconds

    checks = check_gpus()
    if not checks:
        raise HardwareError(
            f"torch {torch.__version__} sees no GPU, though the scheduler gave this job one"
        )
    for check in checks:
        if check.problem is None:
            continue
        major, minor = check.compute_capability
        environment = environment_for(check.compute_capability)
        raise HardwareError(
            f"torch {torch.__version__} cannot run a convolution on {check.name} "
            f"(sm_{major}{minor}): {check.problem}",
            hint=f"environments/create.sh {environment}, and name it in site.env"
            if environment
            else "leave this GPU out: no torch that raybench runs on has kernels for it",
        )
