"""The clock of an epoch: whole seconds on the host, single steps on the device's own time.

An epoch starts and ends with the device synchronised. In between, a step costs one mark: an event
recorded on a GPU's stream, a reading of the host's monotonic clock on a CPU. Marks are read after
the epoch; their events are made before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch


class Timeline(Protocol):
    """A device's own time, on which marks are set."""

    def prepare(self, marks: int) -> None:
        """Make room for marks 0 to ``marks`` − 1, outside the timed region."""

    def synchronize(self) -> None:
        """Wait until the device has done all that it was given."""

    def mark(self, index: int) -> None:
        """Set mark ``index`` at the present end of the device's queue."""

    def times_ms(self, marks: int) -> npt.NDArray[np.float64]:
        """Return the times of marks 0 to ``marks`` − 1 in ms after mark 0 [marks]."""


class HostTimeline:
    """The host's monotonic clock: a CPU has done its work when the call returns."""

    def __init__(self, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now_ns = now_ns
        self._marks: list[int] = []

    def prepare(self, marks: int) -> None:
        """Make room for the marks."""
        self._marks = [0] * marks

    def synchronize(self) -> None:
        """Nothing is queued on a CPU."""

    def mark(self, index: int) -> None:
        """Read the clock."""
        self._marks[index] = self._now_ns()

    def times_ms(self, marks: int) -> npt.NDArray[np.float64]:
        """Return the times of the marks in ms after mark 0 [marks]."""
        nanoseconds = np.asarray(self._marks[:marks], dtype=np.int64)
        times_ms: npt.NDArray[np.float64] = (nanoseconds - nanoseconds[0]) / 1e6
        return times_ms


class CudaTimeline:
    """Events on the current stream of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: list[Any] = []

    def prepare(self, marks: int) -> None:
        """Make the events that are missing; those of the last epoch are used again."""
        while len(self._events) < marks:
            self._events.append(torch.cuda.Event(enable_timing=True))

    def synchronize(self) -> None:
        """Wait for all streams of the device."""
        torch.cuda.synchronize(self._device)

    def mark(self, index: int) -> None:
        """Record an event."""
        self._events[index].record()

    def times_ms(self, marks: int) -> npt.NDArray[np.float64]:
        """Return the times of the events in ms after event 0 [marks]; the device is idle by now."""
        first = self._events[0]
        return np.asarray([first.elapsed_time(event) for event in self._events[:marks]])


def timeline_of(device: torch.device) -> Timeline:
    """Return the timeline of a device."""
    return CudaTimeline(device) if device.type == "cuda" else HostTimeline()


class EpochClock:
    """Times a stretch of steps as a whole and one by one.

    Args:
        timeline: the device's own time.
        now_ns: the host's monotonic clock, in nanoseconds.
    """

    def __init__(
        self, timeline: Timeline, now_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._timeline = timeline
        self._now_ns = now_ns
        self._start_ns = 0
        self._steps = 0

    def start(self, steps: int) -> None:
        """Start the clock, with the device synchronised, for at most ``steps`` steps."""
        self._timeline.prepare(steps + 1)
        self._steps = 0
        self._timeline.synchronize()
        self._start_ns = self._now_ns()
        self._timeline.mark(0)

    def step_done(self) -> None:
        """Mark the end of a step: all that costs anything inside the timed region."""
        self._steps += 1
        self._timeline.mark(self._steps)

    def stop_s(self) -> float:
        """Stop the clock with the device synchronised, and return the seconds since its start."""
        self._timeline.synchronize()
        return (self._now_ns() - self._start_ns) / 1e9

    def steps_ms(self) -> npt.NDArray[np.float64]:
        """Return the time of each step in ms [steps]; read it after ``stop_s``."""
        return np.diff(self._timeline.times_ms(self._steps + 1))


class PhaseClock:
    """Times the phases of a step one after the other, each ended by synchronising the device.

    Synchronising makes a step slower than it is; so this is for a short pass of its own.
    """

    def __init__(
        self, timeline: Timeline, now_ns: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self._timeline = timeline
        self._now_ns = now_ns
        self._last_ns = 0
        self._samples_ms: dict[str, list[float]] = {}

    def start(self) -> None:
        """Start the first phase of a step, with the device synchronised."""
        self._timeline.synchronize()
        self._last_ns = self._now_ns()

    def done(self, phase: str) -> None:
        """End the phase with the device synchronised; the next one starts at once."""
        self._timeline.synchronize()
        now_ns = self._now_ns()
        self._samples_ms.setdefault(phase, []).append((now_ns - self._last_ns) / 1e6)
        self._last_ns = now_ns

    def samples_ms(self) -> dict[str, list[float]]:
        """Return each phase's times in ms, a step an entry."""
        return self._samples_ms
