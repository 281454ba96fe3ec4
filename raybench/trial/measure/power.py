"""The device, watched: power, energy, clocks, temperature, utilisation and throttling by NVML."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pynvml

from raybench.record.noted import Missing, Noted, noted
from raybench.record.schema import DeviceTelemetry, Range
from raybench.system.gpus import NO_NVML, nvml_handle, whole_gpu

if TYPE_CHECKING:
    import torch

SAMPLED: dict[str, Callable[[Any, Any], float]] = {
    "power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "utilization": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "sm_clock_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
    "memory_clock_mhz": lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_MEM),
    "temperature_c": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(
        gpu, pynvml.NVML_TEMPERATURE_GPU
    ),
}
"""Figures that become ranges, by their names in the record, each with the question to NVML."""

OF_THE_WHOLE_GPU = ("energy_j", "power_w", "utilization")
"""Figures that NVML has only for a whole GPU, so that on a slice they are the neighbours' too."""

NEVER_ZERO = ("power_w", "sm_clock_mhz", "memory_clock_mhz", "temperature_c")
"""Figures that virtual GPUs report as 0 for want of a measurement."""

THROTTLE_REASONS = {
    pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting: "applications_clocks_setting",
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "sw_power_cap",
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hw_slowdown",
    pynvml.nvmlClocksThrottleReasonSyncBoost: "sync_boost",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "sw_thermal_slowdown",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hw_thermal_slowdown",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "hw_power_brake_slowdown",
    pynvml.nvmlClocksThrottleReasonDisplayClockSetting: "display_clock_setting",
}
"""Bits of NVML's mask; an idle GPU's low clocks (bit 0) are no throttling."""


class DeviceSampler:
    """Watches one GPU from a thread; on a CPU it does nothing.

    Args:
        device: where the trial runs.
        interval_s: from one sample to the next.
        nvml: where to ask; tests give recorded values.
        find: finds NVML's handle of the device.
        now: the clock of the samples, in seconds.

    Samples are kept inside windows only, one window for each timed epoch. A window's energy is
    what the GPU's own counter counted in it, or, where the GPU has no counter, the integral of the
    sampled power by trapezoids, with a sample at both of the window's ends.

    NVML's power is an average over the last second on GPUs from Ampere on (the A100 excepted), and
    the counter moves in steps of up to 0.1 s: windows should last seconds.
    """

    def __init__(
        self,
        device: torch.device,
        interval_s: float = 0.05,
        *,
        nvml: Any = pynvml,
        find: Callable[[torch.device, Any], Any | None] = nvml_handle,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._nvml, self._now, self._interval_s = nvml, now, interval_s
        self._absent: Missing | None = None
        self._reasons: dict[str, Missing] = {}
        self._values: dict[str, list[float]] = defaultdict(list)
        self._throttled: set[str] = set()
        self._power: list[tuple[float, float]] = []
        self._counted_j = self._integrated_j = 0.0
        self._samples = 0
        self._lock = threading.Lock()
        self._open, self._closing = threading.Event(), threading.Event()
        self._handle = self._find(device, find)
        self._thread: threading.Thread | None = None
        if self._handle is not None:
            self._thread = threading.Thread(target=self._watch, name="nvml-sampler", daemon=True)
            self._thread.start()

    def _find(self, device: torch.device, find: Callable[[torch.device, Any], Any]) -> Any | None:
        if device.type != "cuda":
            self._absent = Missing("measured on a CPU, which NVML does not see")
            return None
        try:
            self._nvml.nvmlInit()
        except pynvml.NVMLError as error:
            self._absent = Missing(f"{NO_NVML}: {error}")
            return None
        handle = find(device, self._nvml)
        if handle is None:
            self._absent = Missing("NVML does not know this CUDA device")
            self._nvml.nvmlShutdown()
            return None
        gpu = whole_gpu(handle, self._nvml)
        if gpu is not handle:
            why = Missing("a MIG slice: NVML has it for the whole GPU only")
            self._reasons = dict.fromkeys(OF_THE_WHOLE_GPU, why)
        return gpu

    @contextmanager
    def window(self) -> Iterator[None]:
        """Watch for as long as this is entered: once for each timed epoch."""
        if self._handle is None:
            yield
            return
        counted = self._counter_j()
        with self._lock:
            self._power = []
            self._sample()
        self._open.set()
        try:
            yield
        finally:
            self._open.clear()
            with self._lock:
                self._sample()
                self._integrated_j += _integral(self._power)
            until = self._counter_j()
            if counted is not None and until is not None:
                self._counted_j += until - counted

    def close(self) -> None:
        """Stop watching; what was seen stays."""
        if self._thread is None:
            return
        self._closing.set()
        self._open.set()
        self._thread.join()
        self._thread = None
        self._nvml.nvmlShutdown()

    def telemetry(self) -> Noted[DeviceTelemetry] | Missing:
        """Return what was seen in all windows."""
        if self._absent is not None:
            return self._absent
        if not self._samples:
            return Missing("no epoch was timed")
        energy_j, method = self._energy()
        ranges = {name: self._reasons.get(name) or _range(self._values[name]) for name in SAMPLED}
        throttled = self._reasons.get("throttle_reasons") or tuple(sorted(self._throttled))
        return noted(
            DeviceTelemetry,
            energy_j=energy_j,
            energy_method=method,
            throttle_reasons=throttled,
            samples=self._samples,
            **ranges,
        )

    def _energy(self) -> tuple[float | Missing, str | Missing]:
        """Return joules, and how they were had."""
        if "energy_j" not in self._reasons and self._counted_j > 0:
            return self._counted_j, "counter"
        if "power_w" not in self._reasons:
            return self._integrated_j, "integrated_power"
        return self._reasons["power_w"], self._reasons["power_w"]

    def _watch(self) -> None:
        due = self._now()
        while self._open.wait() and not self._closing.is_set():
            # From deadline to deadline: slow answers must not stretch the interval.
            due = max(due + self._interval_s, self._now())
            self._closing.wait(max(0.0, due - self._now()))
            with self._lock:
                if self._open.is_set() and not self._closing.is_set():
                    self._sample()

    def _sample(self) -> None:
        """Ask for each figure once; one that the GPU does not have is not asked for again."""
        now = self._now()
        self._samples += 1
        answers = {name: self._ask(name, question) for name, question in SAMPLED.items()}
        power_w = answers["power_w"]
        if power_w is not None:
            self._power.append((now, power_w))
        mask = self._ask("throttle_reasons", _throttle_mask)
        bits = int(mask or 0)
        self._throttled.update(name for bit, name in THROTTLE_REASONS.items() if bits & bit)

    def _counter_j(self) -> float | None:
        return self._ask("energy_j", _counted_j)

    def _ask(self, figure: str, question: Callable[[Any, Any], float]) -> float | None:
        """Keep and return the answer; the first refusal becomes the reason of a null."""
        if figure in self._reasons:
            return None
        try:
            value = float(question(self._nvml, self._handle))
        except pynvml.NVMLError as error:
            self._reasons[figure] = Missing(f"NVML: {error}")
            return None
        if value == 0 and figure in NEVER_ZERO:
            self._reasons[figure] = Missing(
                "NVML says 0, which a device that measures it cannot say"
            )
            return None
        self._values[figure].append(value)
        return value


def _throttle_mask(nvml: Any, gpu: Any) -> float:
    return float(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu))


def _counted_j(nvml: Any, gpu: Any) -> float:
    return float(nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)) / 1000


def _integral(samples: list[tuple[float, float]]) -> float:
    """Return joules from (seconds, watts) by trapezoids."""
    return sum(
        (later - earlier) * (before + after) / 2
        for (earlier, before), (later, after) in itertools.pairwise(samples)
    )


def _range(values: list[float]) -> Range:
    return Range(mean=sum(values) / len(values), min=min(values), max=max(values))
