"""NVML for tests: the functions that raybench calls, giving values that real GPUs gave.

Each ``Recorded`` below is what a public report shows of one device; None stands for NVML's refusal.
"""

# ruff: noqa: N802 - the functions bear NVML's own names
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml


@dataclass(eq=False)
class Recorded:
    """One GPU, or slice, as somebody saw it."""

    name: str
    uuid: str = "GPU-00000000-0000-0000-0000-000000000000"
    capability: tuple[int, int] | None = None
    memory_bytes: int | None = None
    power_mw: float | None = None
    utilization_percent: int | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    throttle_mask: int | None = None
    energy_mj: Callable[[], int] | None = None
    slices: list[Recorded] = field(default_factory=list)
    whole: Recorded | None = None
    processes: Mapping[int, str] = field(default_factory=dict)


def tesla_k80() -> Recorded:
    """A molecular-dynamics benchmark: https://github.com/openmm/openmm/issues/2386 (2019)."""
    return Recorded(
        name="Tesla K80",
        capability=(3, 7),
        memory_bytes=11441 << 20,
        power_mw=84_000,
        utilization_percent=100,
        temperature_c=62,
    )


def tesla_p100() -> Recorded:
    """``nvidia-smi -q``: https://github.com/facebookresearch/PyTorch-BigGraph/issues/151 (2020)."""
    return Recorded(
        name="Tesla P100-PCIE-16GB",
        uuid="GPU-ec315101-2c81-1317-1df0-43cfb01564c1",
        capability=(6, 0),
    )


def titan_rtx(energy_mj: Callable[[], int]) -> Recorded:
    """280 W at work, 16 522 288 mJ in 60 s: https://github.com/powerapi-ng/pyJoules/issues/23."""
    return Recorded(name="TITAN RTX", capability=(7, 5), power_mw=280_000, energy_mj=energy_mj)


def a10g() -> Recorded:
    """Idle: testdata/a10g.xml of plugins/inputs/nvidia_smi in influxdata/telegraf (2023)."""
    return Recorded(
        name="NVIDIA A10G",
        uuid="GPU-9a9a6c50-2a47-2f51-a902-b82c3b127e94",
        capability=(8, 6),
        memory_bytes=23028 << 20,
        power_mw=25_580,
        utilization_percent=0,
        sm_clock_mhz=210,
        memory_clock_mhz=405,
        temperature_c=17,
        throttle_mask=pynvml.nvmlClocksThrottleReasonGpuIdle,
    )


def virtual_p4() -> Recorded:
    """A virtual GPU, which says 0 of much: testdata/tesla_p4.xml, as above (2022)."""
    return Recorded(
        name="GRID P4-1Q",
        uuid="GPU-1b1ea7c7-1c4b-ed49-1c72-26c65f2dd207",
        memory_bytes=1024 << 20,
        utilization_percent=0,
        sm_clock_mhz=0,
        memory_clock_mhz=0,
        temperature_c=0,
    )


def sliced_a100() -> Recorded:
    """Two slices: collector/nvidia_smi/testdata/a100-sxm4-mig.xml in netdata/netdata (2023).

    That file does not tell the slices' names and UUIDs; these follow NVIDIA's MIG user guide.
    """
    gpu = Recorded(
        name="NVIDIA A100-SXM4-40GB",
        uuid="GPU-27b94a00-ed54-5c24-b1fd-1054085de32a",
        capability=(8, 0),
        memory_bytes=40960 << 20,
        power_mw=66_920,
        sm_clock_mhz=1410,
        memory_clock_mhz=1215,
        temperature_c=36,
        throttle_mask=0,
    )
    gpu.slices = [
        Recorded(
            name="NVIDIA A100-SXM4-40GB MIG 3g.20gb",
            uuid=f"MIG-5fa93d5c-21fa-53f6-8a2f-c6e21d4bab0{index}",
            memory_bytes=19968 << 20,
            whole=gpu,
        )
        for index in (0, 1)
    ]
    return gpu


def _given(value: Any, code: int = pynvml.NVML_ERROR_NOT_SUPPORTED) -> Any:
    if value is None:
        raise pynvml.NVMLError(code)
    return value


class FakeNvml:
    """A node with these GPUs, None being another job's, or without a driver.

    ``readings`` counts samples of power.
    """

    def __init__(self, *gpus: Recorded | None, driver: str | None = "418.67") -> None:
        self.gpus, self.driver = gpus, driver
        self.sessions = self.readings = 0
        self.on_reading: Callable[[], None] = lambda: None

    def all(self) -> Iterator[Recorded]:
        for gpu in filter(None, self.gpus):
            yield gpu
            yield from gpu.slices

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Refuse, as a device without it does, what NVML knows and none of the reports shows."""
        if not hasattr(pynvml, name):
            raise AttributeError(name)
        return lambda *_: _given(None)

    def nvmlInit(self) -> None:
        _given(self.driver, pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        self.sessions += 1

    def nvmlShutdown(self) -> None:
        self.sessions -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return _given(self.driver)

    def nvmlDeviceGetCount(self) -> int:
        assert self.sessions > 0
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Recorded:
        return _given(self.gpus[index], pynvml.NVML_ERROR_NO_PERMISSION)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Recorded:
        found = [device for device in self.all() if device.uuid == uuid]
        return _given(found[0] if found else None, pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetName(self, device: Recorded) -> str:
        return device.name

    def nvmlDeviceGetUUID(self, device: Recorded) -> str:
        return device.uuid

    def nvmlDeviceGetCudaComputeCapability(self, device: Recorded) -> tuple[int, int]:
        return _given(device.capability)

    def nvmlDeviceGetMemoryInfo(self, device: Recorded) -> Any:
        return SimpleNamespace(total=_given(device.memory_bytes))

    def nvmlDeviceGetMigMode(self, device: Recorded) -> tuple[int, int]:
        return _given((1, 1) if device.slices else None)

    def nvmlDeviceGetMaxMigDeviceCount(self, device: Recorded) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Recorded, index: int) -> Recorded:
        slices = dict(enumerate(device.slices, start=1))  # the first place is empty
        return _given(slices.get(index), pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceIsMigDeviceHandle(self, device: Recorded) -> int:
        return int(device.whole is not None)

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, device: Recorded) -> Recorded:
        return _given(device.whole)

    def nvmlDeviceGetComputeRunningProcesses(self, device: Recorded) -> list[Any]:
        return [SimpleNamespace(pid=pid) for pid in device.processes]

    def nvmlSystemGetProcessName(self, pid: int) -> str:
        return next(gpu.processes[pid] for gpu in self.all() if pid in gpu.processes)

    def nvmlDeviceGetPowerUsage(self, device: Recorded) -> float:
        self.readings += 1
        self.on_reading()
        return _given(device.power_mw)

    def nvmlDeviceGetTotalEnergyConsumption(self, device: Recorded) -> int:
        return _given(device.energy_mj)()

    def nvmlDeviceGetUtilizationRates(self, device: Recorded) -> Any:
        return SimpleNamespace(gpu=_given(device.utilization_percent))

    def nvmlDeviceGetClockInfo(self, device: Recorded, which: int) -> int:
        clocks = {
            pynvml.NVML_CLOCK_SM: device.sm_clock_mhz,
            pynvml.NVML_CLOCK_MEM: device.memory_clock_mhz,
        }
        return _given(clocks[which])

    def nvmlDeviceGetTemperature(self, device: Recorded, which: int) -> int:
        assert which == pynvml.NVML_TEMPERATURE_GPU
        return _given(device.temperature_c)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, device: Recorded) -> int:
        return _given(device.throttle_mask)
