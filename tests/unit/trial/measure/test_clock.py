"""The clock, driven by a scripted device whose times are known."""

from __future__ import annotations

import pytest
from scripted_device import ScriptedDevice

from raybench.trial.measure.clock import EpochClock, HostTimeline, PhaseClock


def test_an_epoch_takes_what_the_device_takes_not_what_launching_takes() -> None:
    device = ScriptedDevice()
    clock = EpochClock(device, device.now_ns)
    device.launch(500.0)  # still running when the epoch wants to start: not part of it
    clock.start(3)
    for kernel_ms in (10.0, 20.0, 30.0):
        device.launch(kernel_ms, launch_ms=0)
        clock.step_done()
    assert clock.stop_s() == pytest.approx(0.060)
    assert clock.steps_ms() == pytest.approx([10, 20, 30])


def test_a_wait_of_the_host_is_part_of_its_step() -> None:
    device = ScriptedDevice()
    clock = EpochClock(device, device.now_ns)
    clock.start(2)
    for wait_ms in (0.0, 40.0):
        device.host_waits(wait_ms)
        device.launch(10.0, launch_ms=0)
        clock.step_done()
    # The wait began while the first kernel still ran.
    assert clock.steps_ms() == pytest.approx([10, 40])
    assert clock.stop_s() == pytest.approx(0.050)


def test_fewer_steps_than_room_for_them_are_read_as_they_were() -> None:
    device = ScriptedDevice()
    clock = EpochClock(device, device.now_ns)
    clock.start(10)
    device.launch(5.0, launch_ms=0)
    clock.step_done()
    clock.stop_s()
    assert clock.steps_ms() == pytest.approx([5])


def test_an_epoch_can_follow_another_on_the_same_clock() -> None:
    device = ScriptedDevice()
    clock = EpochClock(device, device.now_ns)
    for kernel_ms in (7.0, 9.0):
        clock.start(1)
        device.launch(kernel_ms, launch_ms=0)
        clock.step_done()
        assert clock.stop_s() == pytest.approx(kernel_ms / 1e3)
        assert clock.steps_ms() == pytest.approx([kernel_ms])


def test_phases_are_told_apart_by_synchronising_between_them() -> None:
    device = ScriptedDevice()
    clock = PhaseClock(device, device.now_ns)
    for step in (1.0, 2.0):
        clock.start()
        device.host_waits(3.0 * step)
        clock.done("data_wait")
        device.launch(10.0 * step, launch_ms=0)
        clock.done("forward")
        device.launch(20.0 * step, launch_ms=0)
        clock.done("backward")
        device.host_waits(100.0)  # between steps: part of none
    samples = clock.samples_ms()
    assert samples["data_wait"] == pytest.approx([3, 6])
    assert samples["forward"] == pytest.approx([10, 20])
    assert samples["backward"] == pytest.approx([20, 40])


def test_the_hosts_timeline_reads_its_clock_at_each_mark() -> None:
    times_ns = iter([0, 2_000_000, 5_000_000])
    timeline = HostTimeline(lambda: next(times_ns))
    timeline.prepare(3)
    for index in range(3):
        timeline.mark(index)
    assert timeline.times_ms(3) == pytest.approx([0, 2, 5])
