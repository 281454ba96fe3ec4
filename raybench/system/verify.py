"""Which hardware this process may use, and whether it is what the spec's label promises."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pynvml

from raybench.catalog.hardware import cpu_threads, label_of
from raybench.errors import HardwareError
from raybench.system.cpus import _thread_limit, allowed_cpus, cpu_model
from raybench.system.facts import HardwareFacts
from raybench.system.gpus import GpuFacts, facts_of, nvml_handle, nvml_session, visible_gpus

if TYPE_CHECKING:
    import torch

SIMULATED_GPU = "RAYBENCH_SIMULATED_GPU"
"""Set to 1, a GPU's label runs on the CPU, for rehearsing a cluster; records say so."""

UNVERIFIED_HARDWARE = "RAYBENCH_UNVERIFIED_HARDWARE"
"""Set to 1 on a host whose label came from Slurm's GRES alone; records say ``verified: false``."""


def gpu_names(nvml: Any = pynvml, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of the GPUs visible to this process, or [] without a driver."""
    return [gpu.name for gpu in visible_gpus(nvml, environ)]


def default_hardware() -> str:
    """Return the label of the first visible GPU, or ``cpu:N`` for the N CPUs that are allowed.

    Raises:
        HardwareError: the GPU is of a type that the table does not hold.
    """
    names = gpu_names()
    if not names:
        return f"cpu:{allowed_cpus()}"
    label = label_of(names[0])
    if label is None:
        raise HardwareError(
            f"this machine's GPU calls itself {names[0]!r}, which no label fits",
            hint="add a row to raybench/catalog/hardware.csv, or give --hardware "
            f"(cpu:{allowed_cpus()} runs on the processor)",
        )
    return label


def is_simulated(requested: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a GPU's label runs on the CPU here, to rehearse a cluster that has no GPU."""
    return cpu_threads(requested) is None and environ.get(SIMULATED_GPU) == "1"


def describe_hardware(
    requested: str,
    device: torch.device,
    *,
    verify: bool,
    workers: int = 0,
    nvml: Any = pynvml,
    environ: Mapping[str, str] = os.environ,
) -> tuple[HardwareFacts, dict[str, str]]:
    """Compare the device with the label that promised it.

    Args:
        requested: the spec's label.
        device: where the trial runs.
        verify: refuse a device that contradicts the label, rather than note it.
        workers: the dataloader's processes, which share the N threads of ``cpu:N`` with torch.
        nvml: where to ask for GPUs.
        environ: the environment variables.

    Returns:
        What was found, and why a figure is null.

    Raises:
        HardwareError: the device contradicts the label, and ``verify`` is true.
    """
    if device.type == "cpu":
        return _describe_cpu(requested, verify, workers, environ)
    return _describe_gpu(requested, device, verify, nvml, environ)


def _describe_cpu(
    requested: str, verify: bool, workers: int, environ: Mapping[str, str]
) -> tuple[HardwareFacts, dict[str, str]]:
    import torch  # noqa: PLC0415 - asking for GPUs must not load torch

    model = cpu_model() or "a CPU of unknown model"
    promised, allowed = cpu_threads(requested), allowed_cpus()
    used = min(torch.get_num_threads(), _thread_limit(environ))
    detected = f"{model}, {used} thread{'s' * (used != 1)}"
    detected += f" and {workers} worker{'s' * (workers != 1)}" if workers else ""
    problem = None
    if is_simulated(requested, environ):
        detected = f"simulated on {detected}"
    elif promised is None:
        problem = f"{requested} was promised, but the trial runs on {model}"
    elif allowed < promised:
        problem = f"{requested} was promised, but this process may use {allowed} CPU(s)"
    elif used + workers != promised:
        problem = f"{requested} was promised, but torch uses {used} thread(s), workers {workers}"
    if problem and verify:
        raise HardwareError(
            problem,
            allowed=f"cpu:1 to cpu:{allowed} on this host",
            hint="take a label that fits, ask Slurm for what the label needs (--cpus-per-task, "
            "--gres), or set verify_hardware=false",
        )
    facts = HardwareFacts(
        requested=requested,
        detected=detected,
        verified=promised is not None and problem is None,
        compute_capability=None,
    )
    names = ("compute_capability", "memory_bytes", "uuid", "mig", "mps")
    return facts, {f"hardware.{name}": "a CPU has none" for name in names}


def _describe_gpu(
    requested: str,
    device: torch.device,
    verify: bool,
    nvml: Any,
    environ: Mapping[str, str],
) -> tuple[HardwareFacts, dict[str, str]]:
    with nvml_session(nvml) as available:
        handle = nvml_handle(device, nvml) if available else None
        if handle is not None:
            return compare_gpu(requested, facts_of(nvml, handle), verify=verify, environ=environ)
    import torch  # noqa: PLC0415

    found = torch.cuda.get_device_properties(device)
    facts = GpuFacts(
        name=found.name,
        uuid=None,
        compute_capability=(found.major, found.minor),
        memory_bytes=found.total_memory,
        mig=None,
        mps=None,
    )
    return compare_gpu(requested, facts, verify=verify, environ=environ)


def compare_gpu(
    requested: str, gpu: GpuFacts, *, verify: bool, environ: Mapping[str, str] = os.environ
) -> tuple[HardwareFacts, dict[str, str]]:
    """Compare a GPU's own name with the label that promised it, as ``describe_hardware`` does."""
    fitting = label_of(gpu.name)
    if fitting != requested and verify:
        raise HardwareError(
            f"{requested} was promised, but the device calls itself {gpu.name!r}",
            allowed=fitting
            or "no label: a part of a GPU, or a type that "
            "raybench/catalog/hardware.csv does not hold",
            hint="use the label that fits, mend the node's GRES, "
            "or set verify_hardware=false to measure it all the same",
        )
    capability = gpu.compute_capability
    facts = HardwareFacts(
        requested=requested,
        detected=gpu.name,
        verified=fitting == requested and environ.get(UNVERIFIED_HARDWARE) != "1",
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        memory_bytes=gpu.memory_bytes,
        uuid=gpu.uuid,
        mig=gpu.mig,
        mps=gpu.mps,
    )
    nulls = [name for name, value in facts if value is None]
    return facts, {f"hardware.{name}": "NVML does not say on this host" for name in nulls}
