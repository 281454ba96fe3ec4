"""The sampler, fed with what real GPUs said; no GPU is there."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from fake_nvml import (
    FakeNvml,
    Recorded,
    a10g,
    sliced_a100,
    tesla_k80,
    titan_rtx,
    virtual_p4,
)
from hypothesis import given
from hypothesis import strategies as st

from raybench.record.noted import Missing, Noted
from raybench.record.schema import DeviceTelemetry
from raybench.trial.measure.power import DeviceSampler, _integral

CUDA = torch.device("cuda", 0)
NEVER = 3600.0
"""An interval in which only the window's two ends are sampled."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def watching(
    device: Recorded, clock: Clock, interval_s: float = NEVER
) -> Iterator[tuple[DeviceSampler, FakeNvml]]:
    nvml = FakeNvml(device.whole or device)
    sampler = DeviceSampler(
        CUDA, interval_s, nvml=nvml, find=lambda _device, _nvml: device, now=clock
    )
    try:
        yield sampler, nvml
    finally:
        sampler.close()
        assert nvml.sessions == 0


def telemetry_of(
    device: Recorded, clock: Clock, *windows_s: float
) -> tuple[DeviceTelemetry, dict[str, str]]:
    with watching(device, clock) as (sampler, _):
        for seconds in windows_s:
            with sampler.window():
                clock.now += seconds
            clock.now += 10  # between windows nothing counts
    found = sampler.telemetry()
    assert isinstance(found, Noted)
    for name, value in found.part:
        assert (value is None) == (name in found.reasons), name
    return found.part, found.reasons


def test_a_cpu_has_none() -> None:
    sampler = DeviceSampler(torch.device("cpu"))
    with sampler.window():
        pass
    sampler.close()
    assert sampler.telemetry() == Missing("measured on a CPU, which NVML does not see")


def test_no_driver_and_an_unknown_device_are_reasons() -> None:
    for nvml in (FakeNvml(driver=None), FakeNvml()):
        sampler = DeviceSampler(CUDA, nvml=nvml, find=lambda _device, _nvml: None)
        with sampler.window():
            pass
        sampler.close()
        found = sampler.telemetry()
        assert isinstance(found, Missing)
        assert "NVML" in found.reason
        assert nvml.sessions == 0


def test_no_window_is_a_reason() -> None:
    with watching(tesla_k80(), Clock()) as (sampler, _):
        assert sampler.telemetry() == Missing("no epoch was timed")


def test_the_counter_counts_inside_windows_only() -> None:
    # 16522.288 J in the 60 s at work and, by the same report, 952.494 J in 60 s of idling.
    counter = iter((1_000_000, 17_522_288, 18_474_782, 34_997_070))
    telemetry, _ = telemetry_of(titan_rtx(lambda: next(counter)), Clock(), 60, 60)
    assert telemetry.energy_method == "counter"
    assert telemetry.energy_j == pytest.approx(2 * 16522.288)


def test_without_a_counter_power_is_integrated() -> None:
    telemetry, reasons = telemetry_of(tesla_k80(), Clock(), 30, 12)
    assert telemetry.energy_method == "integrated_power"
    assert telemetry.energy_j == pytest.approx(84 * 42)
    assert telemetry.power_w is not None
    assert telemetry.power_w.mean == 84
    assert telemetry.utilization is not None
    assert telemetry.utilization.max == 1
    assert "Not Supported" in reasons["sm_clock_mhz"]
    assert telemetry.samples == 4


def test_counter_and_integral_agree_on_recorded_values() -> None:
    counter = iter((0, 16_522_288))
    counted, _ = telemetry_of(titan_rtx(lambda: next(counter)), Clock(), 60)
    integrated, _ = telemetry_of(titan_rtx(lambda: 5), Clock(), 60)  # a counter that stands still
    assert integrated.energy_method == "integrated_power"
    assert counted.energy_j == pytest.approx(integrated.energy_j, rel=0.02)


def test_an_idle_gpu_is_not_throttled() -> None:
    telemetry, _ = telemetry_of(a10g(), Clock(), 1)
    assert telemetry.throttle_reasons == ()
    assert telemetry.sm_clock_mhz is not None
    assert telemetry.sm_clock_mhz.mean == 210


def test_throttling_is_named() -> None:
    gpu = a10g()
    gpu.throttle_mask = 0x4 | 0x20  # SW power cap, SW thermal slowdown: nvmlClocksThrottleReasons
    telemetry, _ = telemetry_of(gpu, Clock(), 1)
    assert telemetry.throttle_reasons == ("sw_power_cap", "sw_thermal_slowdown")


def test_a_virtual_gpu_s_zeros_are_no_measurements() -> None:
    telemetry, reasons = telemetry_of(virtual_p4(), Clock(), 1)
    assert telemetry.temperature_c is telemetry.sm_clock_mhz is telemetry.energy_j is None
    assert telemetry.utilization is not None
    assert "NVML says 0" in reasons["temperature_c"]
    assert "Not Supported" in reasons["energy_j"]


def test_a_slice_has_no_power_of_its_own() -> None:
    telemetry, reasons = telemetry_of(sliced_a100().slices[0], Clock(), 1)
    assert telemetry.energy_j is telemetry.power_w is telemetry.utilization is None
    assert "MIG" in reasons["power_w"]
    assert telemetry.temperature_c is not None
    assert telemetry.temperature_c.mean == 36


def test_the_thread_samples_inside_windows_only() -> None:
    seen, inside, outside = threading.Event(), threading.Event(), []
    with watching(tesla_k80(), Clock(), interval_s=0.01) as (sampler, nvml):

        def on_reading() -> None:
            outside.extend([] if inside.is_set() else ["outside"])
            if nvml.readings >= 10:
                seen.set()

        nvml.on_reading = on_reading
        for _ in range(2):
            inside.set()
            with sampler.window():
                assert seen.wait(60)
            inside.clear()
            seen.clear()
            time.sleep(0.05)  # time enough for a straggler, if there could be one
    found = sampler.telemetry()
    assert isinstance(found, Noted)
    assert found.part.samples == nvml.readings >= 12
    assert not outside


def test_a_window_that_ends_by_an_error_is_closed() -> None:
    clock = Clock()
    with watching(tesla_k80(), clock) as (sampler, _):
        with contextlib.suppress(ZeroDivisionError), sampler.window():
            clock.now += 2
            raise ZeroDivisionError
        clock.now += 10
        found = sampler.telemetry()
        assert isinstance(found, Noted)
        assert found.part.energy_j == 168


def test_the_integral_is_made_of_trapezoids() -> None:
    assert _integral([(0, 0), (10, 100)]) == 500
    assert _integral([(0, 50), (2, 150), (3, 0)]) == 275
    assert _integral([(7, 300)]) == _integral([]) == 0


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e3)),
        min_size=2,
        max_size=20,
        unique_by=lambda s: s[0],
    )
)
def test_the_integral_lies_between_the_extremes_of_power(
    samples: list[tuple[float, float]],
) -> None:
    samples.sort()
    duration = samples[-1][0] - samples[0][0]
    watts = [power for _, power in samples]
    slack = 1e-6 * duration * 1e3
    assert min(watts) * duration - slack <= _integral(samples) <= max(watts) * duration + slack
