"""Where a training step's time goes, and the speedups that its parts would have by themselves.

A step's length is that of the timed epochs (batch over images/s). Its compute is the same step on
a batch that is already on the device. Data, transfer and preprocessing are medians of a short
pass after the timed epochs; what remains is kernel launch overhead and the host. Speedups here are
those of training; evaluation is in the running time only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raybench.analysis.configurations import Configuration, Key
from raybench.analysis.row import MOST
from raybench.analysis.statistics import Ratio, mean, ratio_of_means

NOTABLE = 0.05
"""Parts of a step, and differences between speedups, below are not worth a finding of cause."""

INPUT = ("data_wait_ms", "transfer_ms", "preprocess_ms")


@dataclass(frozen=True, kw_only=True)
class StepBreakdown:
    """Where a training step goes, as means over ``n`` repeats; None where it is unknown.

    ``utilization`` is the fraction of the time in which a kernel ran, ``overhead_half_width`` that
    of the 95 % interval of ``overhead`` over the repeats.
    """

    n: int
    step_ms: float | None
    data_ms: float | None
    transfer_ms: float | None
    preprocess_ms: float | None
    compute_ms: float | None
    utilization: float | None
    overhead_half_width: float | None

    @property
    def overhead(self) -> float | None:
        """The fraction of a step that is not compute; below 0 where the step is the shorter."""
        if not self.step_ms or self.compute_ms is None:
            return None
        return 1 - self.compute_ms / self.step_ms

    @property
    def overhead_is_clear(self) -> bool:
        """Whether the repeats agree on the overhead: to a twentieth of a step, or on its sign."""
        if self.overhead is None:
            return False
        return (self.overhead_half_width or 0) <= max(abs(self.overhead), NOTABLE)

    @property
    def input_ms(self) -> float | None:
        """Data, transfer and preprocessing together; None if the wait for data is unknown."""
        known = [p for p in (self.data_ms, self.transfer_ms, self.preprocess_ms) if p is not None]
        return None if self.data_ms is None else math.fsum(known)

    @property
    def rest_ms(self) -> float | None:
        """Kernel launch overhead and the host; below 0 where the parts overlap."""
        if self.step_ms is None or self.compute_ms is None or self.input_ms is None:
            return None
        return self.step_ms - self.compute_ms - self.input_ms

    @property
    def add_up(self) -> bool:
        """Whether the parts fit into the step, within a twentieth of it."""
        rest, step = self.rest_ms, self.step_ms
        return rest is not None and step is not None and rest >= -NOTABLE * step

    @property
    def shares(self) -> dict[str, float]:
        """The fraction of a step that each part takes, of those that are known."""
        names, step = ("data", "transfer", "preprocess", "compute", "rest"), self.step_ms
        parts = {name: getattr(self, f"{name}_ms") for name in names}
        return {name: ms / step for name, ms in parts.items() if ms is not None and step}


@dataclass(frozen=True, kw_only=True)
class SpeedupBreakdown:
    """The speedup of one cell over the baseline, and those that it may be set against.

    ``without_input`` is that of training, were data, transfer and preprocessing taken off both
    sides; ``flops`` and ``bandwidth`` are the ratios of the datasheets' peaks.
    """

    running_time: Ratio
    training: Ratio | None
    without_input: Ratio | None
    compute_only: Ratio | None
    flops: float | None
    bandwidth: float | None


class Samples:
    """The repeats of each measured cell of a configuration, as plain lists."""

    def __init__(self, group: Configuration) -> None:
        names = ("executed_batch_size", "executed_precision", "device", "running_time_s")
        rates = ("images_per_s", "compute_only_images_per_s", "utilization", "flops_per_image")
        self._samples = {name: group.samples(name) for name in (*names, *rates, *INPUT)}

    def step(self, key: Key) -> StepBreakdown:
        """Return where a cell's step goes."""
        data, transfer, preprocess = (_mean(self._values(name, key)) for name in INPUT)
        steps = self._step_ms("images_per_s", key)
        compute = self._step_ms("compute_only_images_per_s", key)
        both = zip(compute, steps, strict=True) if compute and steps else ()
        overheads = [1 - alone / step for alone, step in both]
        return StepBreakdown(
            n=len(self._samples["device"][key]),
            step_ms=_mean(steps),
            data_ms=data,
            transfer_ms=transfer,
            preprocess_ms=preprocess,
            compute_ms=_mean(compute),
            utilization=_mean(self._values("utilization", key)),
            overhead_half_width=mean(overheads).half_width if overheads else None,
        )

    def speedup(self, key: Key, over: Key, steps: Mapping[Key, StepBreakdown]) -> SpeedupBreakdown:
        """Return the speedups of a cell over the baseline's."""
        sides = (over, key)
        flops, bandwidth = (
            ours / theirs if ours and theirs else None
            for ours, theirs in zip(self._peaks(key), self._peaks(over), strict=True)
        )
        return SpeedupBreakdown(
            running_time=ratio_of_means(*(self._values("running_time_s", s) for s in sides)),
            training=_ratio([self._step_ms("images_per_s", s) for s in sides]),
            without_input=_ratio([self._without_input_ms(s, steps[s]) for s in sides]),
            compute_only=_ratio([self._step_ms("compute_only_images_per_s", s) for s in sides]),
            flops=flops,
            bandwidth=bandwidth,
        )

    def ms_per_image(self, key: Key) -> tuple[float, list[float]] | None:
        """Return a cell's GFLOPs per training image, and each repeat's milliseconds per image."""
        flops, rates = (self._values(name, key) for name in ("flops_per_image", "images_per_s"))
        if not flops or not rates or min(*flops, *rates) < 1 / MOST:
            return None
        return flops[0] / 1e9, [1000 / rate for rate in rates]

    def _values(self, name: str, key: Key) -> list[float]:
        """Return a figure of each repeat, if every one has a plausible one."""
        found = self._samples[name][key]
        return found if all(0 <= value < MOST for value in found) else []

    def _step_ms(self, name: str, key: Key) -> list[float]:
        """Turn each repeat's images/s into milliseconds of a full batch."""
        sizes, rates = self._values("executed_batch_size", key), self._values(name, key)
        if not rates or min(rates) < 1 / MOST:
            return []
        return [1000 * size / rate for size, rate in zip(sizes, rates, strict=True)]

    def _without_input_ms(self, key: Key, step: StepBreakdown) -> list[float]:
        """Take the input off each repeat's step, if its parts are clear and add up."""
        if not step.add_up or not step.overhead_is_clear:
            return []
        known = [found for name in INPUT if (found := self._values(name, key))]
        steps = self._step_ms("images_per_s", key)
        left = [whole - math.fsum(input_ms) for whole, *input_ms in zip(steps, *known, strict=True)]
        return left if min(left) > 0 else []

    def _peaks(self, key: Key) -> tuple[float | None, float | None]:
        """Return the datasheet's peak FLOPs and memory bandwidth of a cell's device."""
        names = ("device", "executed_precision")
        device, precision = (self._samples[name][key][0] for name in names)
        if key.hardware.gpu is None or not isinstance(device, str):
            return None, None
        sheet = key.hardware.gpu.datasheet(device)
        return sheet.peak_tflops(precision), sheet.memory_gb_per_s


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _ratio(times: Sequence[Sequence[float]]) -> Ratio | None:
    return ratio_of_means(*times) if all(times) else None
