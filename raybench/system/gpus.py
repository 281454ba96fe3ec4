"""The GPUs of this node as NVML describes them.

NVML needs no CUDA context: asking costs milliseconds, takes no memory on the GPU and is safe
before a fork.
"""

from __future__ import annotations

import ctypes
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pynvml

from raybench.system.variables import variable

if TYPE_CHECKING:
    import torch

NO_NVML = "NVML cannot be used here"


@dataclass(frozen=True, kw_only=True)
class GpuFacts:
    """One GPU, or slice of one, as NVML describes it; None where it does not.

    Attributes:
        name: the device's own name.
        uuid: ``GPU-…``, or ``MIG-…`` for a slice.
        compute_capability: (major, minor).
        memory_bytes: of the device or slice.
        mig: whether it is a slice (multi-instance GPU).
        mps: whether a multi-process service shares it.
    """

    name: str
    uuid: str | None
    compute_capability: tuple[int, int] | None
    memory_bytes: int | None
    mig: bool | None
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


def visible_gpus(nvml: Any = pynvml) -> list[GpuFacts]:
    """Return the GPUs that CUDA would let this process use, without starting CUDA."""
    return gpus_shown_by(variable("CUDA_VISIBLE_DEVICES"), nvml)


def gpus_shown_by(chosen: str | None, nvml: Any = pynvml) -> list[GpuFacts]:
    """Return the GPUs that a value of ``CUDA_VISIBLE_DEVICES`` shows, None where it is not set.

    It is read as CUDA reads it: indices, UUIDs or their beginnings, slices' UUIDs; what stands
    behind the first entry that does not exist is not visible.
    """
    with nvml_session(nvml) as available:
        if not available:
            return []
        handles = _all_handles(nvml)
        if chosen is None:
            return [facts_of(nvml, _first_slice(nvml, handle)) for handle in handles]
        visible = []
        for entry in chosen.split(","):
            handle = _handle(nvml, handles, entry.strip())
            if handle is None:
                break
            visible.append(facts_of(nvml, handle))
        return visible


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


def facts_of(nvml: Any, handle: Any) -> GpuFacts:
    """Return what NVML says of a GPU or slice; needs an open session."""
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
