"""A device whose times are known: for tests that drive a clock and want exact figures back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class ScriptedDevice:
    """A device with a queue: launching takes the host little, the kernels run behind it.

    Host time and device time are counted in ns; nothing here depends on the real clock.
    """

    def __init__(self) -> None:
        self.host_ns = 1_000
        self.idle_from_ns = 0
        self.marks: list[int] = []

    def launch(self, kernel_ms: float, launch_ms: float = 0.01) -> None:
        self.host_ns += round(launch_ms * 1e6)
        self.idle_from_ns = max(self.idle_from_ns, self.host_ns) + round(kernel_ms * 1e6)

    def host_waits(self, wait_ms: float) -> None:
        self.host_ns += round(wait_ms * 1e6)

    def now_ns(self) -> int:
        return self.host_ns

    # The timeline of the device.

    def prepare(self, marks: int) -> None:
        self.marks = [-1] * marks

    def synchronize(self) -> None:
        self.host_ns = max(self.host_ns, self.idle_from_ns)

    def mark(self, index: int) -> None:
        self.marks[index] = max(self.host_ns, self.idle_from_ns)

    def times_ms(self, marks: int) -> npt.NDArray[np.float64]:
        return (np.asarray(self.marks[:marks]) - self.marks[0]) / 1e6
