"""Which hardware this process may use, and whether it is what the spec's label promises.

GPUs are seen through NVML, which needs no CUDA context: asking costs milliseconds, takes no memory
on the GPU and is safe before a fork.
"""

from __future__ import annotations

import ctypes
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pynvml

from raybench.catalog.hardware import cpu_threads, label_of
from raybench.errors import HardwareError
from raybench.record import HardwareFacts

if TYPE_CHECKING:
    import torch

SIMULATED_GPU = "RAYBENCH_SIMULATED_GPU"
"""Set to 1, a GPU's label runs on the CPU, for rehearsing a cluster; records say so."""

UNVERIFIED_HARDWARE = "RAYBENCH_UNVERIFIED_HARDWARE"
"""Set to 1 on a host whose label came from Slurm's GRES alone; records say ``verified: false``."""

NO_NVML = "NVML cannot be used on this host"


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """One GPU, or slice of one, as NVML describes it.

    Attributes:
        name: the device's own name.
        uuid: ``GPU-…``, or ``MIG-…`` for a slice.
        compute_capability: (major, minor), or None where NVML does not say.
        memory_bytes: of the device or slice, likewise.
        mig: whether it is a slice (multi-instance GPU).
        mps: whether a multi-process service shares it, or None where NVML does not say.
    """

    name: str
    uuid: str
    compute_capability: tuple[int, int] | None
    memory_bytes: int | None
    mig: bool
    mps: bool | None


@contextmanager
def nvml_session(nvml: Any = pynvml) -> Iterator[bool]:
    """Hold NVML open; gives whether there is a driver to ask at all."""
    try:
        nvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        nvml.nvmlShutdown()


def gpu_names(nvml: Any = pynvml, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the names of the GPUs visible to this process, or [] without a driver."""
    return [gpu.name for gpu in visible_gpus(nvml, environ)]


def visible_gpus(nvml: Any = pynvml, environ: Mapping[str, str] = os.environ) -> list[GpuFacts]:
    """Return the GPUs that CUDA would let this process use, without starting CUDA.

    ``CUDA_VISIBLE_DEVICES`` is read as CUDA reads it: indices, UUIDs or their beginnings, slices'
    UUIDs; what stands behind the first entry that does not exist is not visible.
    """
    with nvml_session(nvml) as available:
        if not available:
            return []
        handles = _all_handles(nvml)
        chosen = environ.get("CUDA_VISIBLE_DEVICES")
        if chosen is None:
            return [_facts(nvml, _first_slice(nvml, handle)) for handle in handles]
        visible = []
        for entry in chosen.split(","):
            handle = _handle(nvml, handles, entry.strip())
            if handle is None:
                break
            visible.append(_facts(nvml, handle))
        return visible


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
            cure="add a row to raybench/catalog/hardware.csv, or give --hardware "
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
    nvml: Any = pynvml,
    environ: Mapping[str, str] = os.environ,
) -> tuple[HardwareFacts, dict[str, str]]:
    """Compare the device with the label that promised it.

    Args:
        requested: the spec's label.
        device: where the trial runs.
        verify: refuse a device that contradicts the label, rather than note it.
        nvml: where to ask for GPUs.
        environ: the environment variables.

    Returns:
        What was found, and why a figure is null.

    Raises:
        HardwareError: the device contradicts the label, and ``verify`` is true.
    """
    if device.type == "cpu":
        return _describe_cpu(requested, verify, environ)
    return _describe_gpu(requested, device, verify, nvml, environ)


def _describe_cpu(
    requested: str, verify: bool, environ: Mapping[str, str]
) -> tuple[HardwareFacts, dict[str, str]]:
    import torch  # noqa: PLC0415 - asking for GPUs must not load torch

    model = cpu_model() or "a CPU of unknown model"
    promised, allowed = cpu_threads(requested), allowed_cpus()
    used = min(torch.get_num_threads(), _thread_limit(environ))
    detected = f"{model}, {used} thread{'s' * (used != 1)}"
    problem = None
    if is_simulated(requested, environ):
        detected = f"simulated on {detected}"
    elif promised is None:
        problem = f"{requested} was promised, but the trial runs on {model}"
    elif allowed < promised:
        problem = f"{requested} was promised, but this process may use {allowed} CPU(s)"
    elif used != promised:
        problem = f"{requested} was promised, but torch uses {used} thread(s)"
    if problem and verify:
        raise HardwareError(
            problem,
            allowed=f"cpu:1 to cpu:{allowed} on this host",
            cure="take a label that fits, ask Slurm for what the label needs (--cpus-per-task, "
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
    import torch  # noqa: PLC0415

    found = torch.cuda.get_device_properties(device)
    with nvml_session(nvml) as available:
        handle = nvml_handle(device, nvml) if available else None
        seen = None if handle is None else _facts(nvml, handle)
    name = seen.name if seen else found.name
    fits = label_of(name) == requested
    if not fits and verify:
        raise HardwareError(
            f"{requested} was promised, but the device calls itself {name!r}",
            allowed=label_of(name) or "no label of raybench/catalog/hardware.csv fits this device",
            cure="use the label that fits, mend the node's resources, "
            "or set verify_hardware=false to measure it all the same",
        )
    facts = HardwareFacts(
        requested=requested,
        detected=name,
        verified=fits and environ.get(UNVERIFIED_HARDWARE) != "1",
        compute_capability=f"{found.major}.{found.minor}",
        memory_bytes=found.total_memory,
        uuid=seen.uuid if seen else None,
        mig=seen.mig if seen else None,
        mps=seen.mps if seen else None,
    )
    reason = "this driver does not say" if seen else NO_NVML
    nulls = [name for name in ("uuid", "mig", "mps") if getattr(facts, name) is None]
    return facts, {f"hardware.{name}": reason for name in nulls}


def nvml_handle(device: torch.device, nvml: Any = pynvml) -> Any | None:
    """Return NVML's handle of a CUDA device, or None; needs an open session.

    CUDA and NVML number devices differently (``CUDA_VISIBLE_DEVICES``, ``CUDA_DEVICE_ORDER``);
    the UUID names the same device to both.
    """
    identity = _cuda_uuid(device.index or 0)
    if identity is None:
        return None
    candidates = (
        _ask(nvml.nvmlDeviceGetHandleByUUID, f"{kind}-{identity}") for kind in ("GPU", "MIG")
    )
    return next((handle for handle in candidates if handle is not None), None)


def whole_gpu(handle: Any, nvml: Any = pynvml) -> Any:
    """Return the GPU that a MIG slice is cut from, or the GPU itself; needs an open session."""
    # A GPU or driver from before there were slices does not know the question.
    if _ask(nvml.nvmlDeviceIsMigDeviceHandle, handle):
        return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    return handle


def _cuda_uuid(index: int) -> str | None:
    """Return the UUID of a CUDA device from the driver, since torch 2.0 does not tell it."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    ordinal, buffer = ctypes.c_int(), ctypes.create_string_buffer(16)
    # The second version names a MIG slice, the first the GPU that it is cut from.
    get_uuid = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    failed = (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(ordinal), index)
        or get_uuid(buffer, ordinal)
    )
    return None if failed else str(uuid.UUID(bytes=buffer.raw))


def _all_handles(nvml: Any) -> list[Any]:
    """Return the GPUs that may be used: another job's, or a broken one, gives no handle."""
    indices = range(nvml.nvmlDeviceGetCount())
    handles = (_ask(nvml.nvmlDeviceGetHandleByIndex, index) for index in indices)
    return [handle for handle in handles if handle is not None]


def _handle(nvml: Any, handles: Sequence[Any], entry: str) -> Any | None:
    """Return the device that one entry of ``CUDA_VISIBLE_DEVICES`` names."""
    if entry.isdecimal():
        index = int(entry)
        return _first_slice(nvml, handles[index]) if index < len(handles) else None
    if entry.startswith("GPU-"):
        same = [handle for handle in handles if nvml.nvmlDeviceGetUUID(handle).startswith(entry)]
        return _first_slice(nvml, same[0]) if len(same) == 1 else None
    if entry.startswith("MIG-"):
        return _ask(nvml.nvmlDeviceGetHandleByUUID, entry)
    return None


def _first_slice(nvml: Any, handle: Any) -> Any:
    """Return the first slice of a GPU that is cut into slices, which is what CUDA gives for it."""
    if not _ask(nvml.nvmlDeviceGetMigMode, handle, default=(0, 0))[0]:
        return handle
    for index in range(_ask(nvml.nvmlDeviceGetMaxMigDeviceCount, handle, default=0)):
        found = _ask(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        if found is not None:
            return found
    return handle


def _facts(nvml: Any, handle: Any) -> GpuFacts:
    memory = _ask(nvml.nvmlDeviceGetMemoryInfo, handle)
    whole = whole_gpu(handle, nvml)
    capability = _ask(nvml.nvmlDeviceGetCudaComputeCapability, whole)
    return GpuFacts(
        name=nvml.nvmlDeviceGetName(handle),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        compute_capability=None if capability is None else (capability[0], capability[1]),
        memory_bytes=None if memory is None else int(memory.total),
        mig=whole is not handle,
        mps=_shared_by_mps(nvml, whole),
    )


def _shared_by_mps(nvml: Any, handle: Any) -> bool | None:
    """Whether a server of CUDA's multi-process service holds the GPU."""
    processes = _ask(nvml.nvmlDeviceGetComputeRunningProcesses, handle)
    if processes is None:
        return None
    names = [_ask(nvml.nvmlSystemGetProcessName, process.pid) for process in processes]
    return any("nvidia-cuda-mps-server" in name for name in names if name)


def _ask(question: Any, *arguments: Any, default: Any = None) -> Any:
    """Return NVML's answer, or ``default`` where this device or driver has none."""
    try:
        return question(*arguments)
    except pynvml.NVMLError:
        return default


def allowed_cpus() -> int:
    """Return how many CPUs this process may use: its affinity, and its cgroup's quota."""
    return max(1, int(min(len(os.sched_getaffinity(0)), _cgroup_cpus())))


def _cgroup_cpus(
    own: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")
) -> float:
    """Return the smallest CPU quota of this process's cgroup and those above it, in CPUs."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return float("inf")
    quotas = [float("inf")]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / controllers if controllers else mount
        folder = root / path.lstrip("/")
        while folder.is_relative_to(root):
            quotas.append(_quota(folder))
            folder = folder.parent
    return min(quotas)


def _quota(folder: Path) -> float:
    """Return a cgroup's quota in CPUs, of version 2 or 1; infinity where it sets none."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return float("inf")
    return float("inf") if quota in ("max", "-1") else int(quota) / int(period)


def _thread_limit(environ: Mapping[str, str]) -> float:
    """Return OpenMP's own cap on threads, which torch does not know of."""
    limit = environ.get("OMP_THREAD_LIMIT", "")
    return int(limit) if limit.isdecimal() and int(limit) else float("inf")


def cpu_model() -> str | None:
    """Return the processor's name, or None where the kernel does not tell it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu"):
            return value.strip()
    return None
