"""Which hardware this process may use, and whether it is what the spec's label promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pynvml

from raybench.catalog.hardware import ADD_A_ROW, cpu_threads, label_of
from raybench.errors import HardwareError
from raybench.settings import Settings
from raybench.system.cpus import allowed_cpus, cpu_model, thread_limit
from raybench.system.facts import HardwareFacts
from raybench.system.gpus import GpuFacts, facts_of, nvml_handle, nvml_session, visible_gpus

if TYPE_CHECKING:
    import torch

UNVERIFIED_HARDWARE = "RAYBENCH_UNVERIFIED_HARDWARE"
"""Set to 1 on a node whose label came from Slurm's GRES alone; records say ``verified: false``."""

OF_A_GPU = ("compute_capability", "memory_bytes", "uuid", "mig", "mps")
"""Fields of ``HardwareFacts`` that a CPU has none of."""


def gpu_names() -> list[str]:
    """Return the names of the GPUs visible to this process, or [] without a driver."""
    return [gpu.name for gpu in visible_gpus()]


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
            hint=f"{ADD_A_ROW}, or give --hardware (cpu:{allowed_cpus()} runs on the processor)",
        )
    return label


def is_simulated(requested: str) -> bool:
    """Whether a GPU's label runs on the CPU here, to rehearse a cluster that has no GPU."""
    return cpu_threads(requested) is None and Settings().simulated_gpu


def describe_hardware(
    requested: str,
    device: torch.device,
    *,
    verify: bool,
    workers: int = 0,
    nvml: Any = pynvml,
) -> tuple[HardwareFacts, dict[str, str]]:
    """Compare the device with the label that promised it.

    Args:
        requested: the spec's label.
        device: where the trial runs.
        verify: refuse a device that contradicts the label, rather than note it.
        workers: the dataloader's processes, which share the N threads of ``cpu:N`` with torch.
        nvml: where to ask for GPUs.

    Returns:
        What was found, and why a field of it is null.

    Raises:
        HardwareError: the device contradicts the label, and ``verify`` is true.
    """
    if device.type == "cpu":
        return _describe_cpu(requested, verify, workers)
    return compare_gpu(requested, _gpu_facts(device, nvml), verify=verify)


def _describe_cpu(
    requested: str, verify: bool, workers: int
) -> tuple[HardwareFacts, dict[str, str]]:
    import torch  # noqa: PLC0415 - asking for GPUs must not load torch

    model = cpu_model() or "a CPU of unknown model"
    used = int(min(torch.get_num_threads(), thread_limit()))
    detected = f"{model}, {used} thread{'s' * (used != 1)}"
    detected += f" and {workers} worker{'s' * (workers != 1)}" if workers else ""
    simulated = is_simulated(requested)
    problem = None if simulated else _cpu_problem(requested, model, used, workers)
    if problem and verify:
        raise HardwareError(
            problem,
            allowed=f"cpu:1 to cpu:{allowed_cpus()} on this machine",
            hint="take a label that fits, ask Slurm for what the label needs (--cpus-per-task, "
            "--gres), or set verify_hardware=false",
        )
    facts = HardwareFacts(
        requested=requested,
        detected=f"simulated on {detected}" if simulated else detected,
        verified=not simulated and problem is None,
        compute_capability=None,
    )
    return facts, dict.fromkeys(OF_A_GPU, "a CPU has none")


def _cpu_problem(requested: str, model: str, used: int, workers: int) -> str | None:
    """Return how this CPU, with the threads in use, contradicts the label; None if it keeps it."""
    promised, allowed = cpu_threads(requested), allowed_cpus()
    if promised is None:
        return f"{requested} was promised, but the trial runs on {model}"
    if allowed < promised:
        return f"{requested} was promised, but this process may use {allowed} CPU(s)"
    if used + workers != promised:
        return f"{requested} was promised, but torch uses {used} thread(s), workers {workers}"
    return None


def _gpu_facts(device: torch.device, nvml: Any) -> GpuFacts:
    """Return what NVML says of the device, or what torch does where NVML cannot be used."""
    with nvml_session(nvml) as available:
        handle = nvml_handle(device, nvml) if available else None
        if handle is not None:
            return facts_of(nvml, handle)
    import torch  # noqa: PLC0415

    found = torch.cuda.get_device_properties(device)
    return GpuFacts(
        name=found.name,
        uuid=None,
        compute_capability=(found.major, found.minor),
        memory_bytes=found.total_memory,
        mig=None,
        mps=None,
    )


def compare_gpu(
    requested: str, gpu: GpuFacts, *, verify: bool
) -> tuple[HardwareFacts, dict[str, str]]:
    """Compare a GPU's own name with the label that promised it, as ``describe_hardware`` does."""
    fitting = label_of(gpu.name)
    if fitting != requested and verify:
        raise HardwareError(
            f"{requested} was promised, but the device calls itself {gpu.name!r}",
            allowed=fitting or "no label: a part of a GPU, or a type that raybench does not know",
            hint="use the label that fits, mend the node's GRES, "
            "or set verify_hardware=false to measure it all the same",
        )
    capability = gpu.compute_capability
    facts = HardwareFacts(
        requested=requested,
        detected=gpu.name,
        verified=fitting == requested and not Settings().unverified_hardware,
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        memory_bytes=gpu.memory_bytes,
        uuid=gpu.uuid,
        mig=gpu.mig,
        mps=gpu.mps,
    )
    return facts, {name: "NVML does not say" for name, value in facts if value is None}
