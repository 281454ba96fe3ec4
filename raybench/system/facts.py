"""What was found of hardware, software and neighbours: parts of a segment of the record."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class HardwareFacts(_Part):
    """The hardware that was promised, and what was found."""

    requested: str
    """the label in the spec"""
    detected: str | None
    """the device's own name"""
    verified: bool
    """whether the device's own name agrees with the label"""
    compute_capability: str | None
    """of the GPU, such as 6.0"""
    memory_bytes: int | None = None
    """of the GPU"""
    uuid: str | None = None
    """of the GPU"""
    mig: bool | None = None
    """whether it is a slice of a GPU (multi-instance GPU)"""
    mps: bool | None = None
    """whether a multi-process service shares it"""


class EnvironmentFacts(_Part):
    """Where the trial ran, and with which software."""

    hostname: str
    """of the node"""
    torch: str
    """version, with its build"""
    torch_commit: str | None
    """commit that torch was built from"""
    torchvision: str
    """version"""
    cuda: str | None
    """version that torch was built with"""
    cudnn: str | None
    """version that torch uses"""
    driver: str | None
    """version of NVIDIA's driver"""
    ray: str | None
    """version"""
    python: str
    """version"""
    raybench: str
    """version"""
    commit: str | None
    """of raybench's checkout, with + where it had changes"""
    os: str
    """kernel's name and release"""
    cpu: str | None
    """model of the processor"""
    cpu_count: int
    """processors of the node"""
    allowed_cpus: int
    """processors that the process might use: its affinity and its cgroup's quota"""
    host_memory_bytes: int
    """host memory of the node"""
    threads: int
    """threads that torch used"""
    affinity: tuple[int, ...]
    """processors that the process was allowed to run on"""
    slurm: dict[str, str] | None
    """job, partition, nodes and GRES, under Slurm"""
    flags: dict[str, JsonValue]
    """torch's switches that change speed or results, as they were during the timed epochs"""
    variables: dict[str, str]
    """environment variables that change speed or results"""


class Contention(_Part):
    """What else ran on the node."""

    co_located_trials: int | None
    """the most trials of raybench that were seen running beside this one on its node"""
    load_average: float | None
    """the node's load average over the last minute, at the end of the timed epochs"""
