"""Why the speedup is what it is: where a training step's time goes on each hardware.

A step's length is that of the timed epochs (batch over images/s). Its compute is the same step on
a batch that is already on the device. Data, transfer and preprocessing are medians of a short
pass after the timed epochs; what remains is launch gaps and the host. Speedups here are those of
training; evaluation is in the running time only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from raybench.analysis import notes, sentences
from raybench.analysis.columns import MOST
from raybench.analysis.configurations import Configuration, Key, configurations, mismatches
from raybench.analysis.stability import unsteady
from raybench.analysis.statistics import Line, Ratio, line_through, mean, ratio_of_means
from raybench.analysis.tables import Options, check_baseline
from raybench.catalog.hardware import Hardware

NOTABLE = sentences.NOTABLE

INPUT = ("data_wait_ms", "transfer_ms", "preprocess_ms")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Where a training step goes, as means over the repeats; None where it is unknown.

    Attributes:
        n: repeats.
        step_ms: of the timed epochs.
        data_ms, transfer_ms, preprocess_ms: what comes before the compute.
        compute_ms: the same step on a batch that is already there.
        utilization: fraction of the time in which a kernel ran.
        overhead_half_width: of the 95 % interval of ``overhead`` over the repeats; None for one.
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
        """Data, transfer and preprocessing together, of which one at least is known."""
        known = [p for p in (self.data_ms, self.transfer_ms, self.preprocess_ms) if p is not None]
        return math.fsum(known) if known and self.data_ms is not None else None

    @property
    def rest_ms(self) -> float | None:
        """Launch gaps and the host; below 0 where the parts overlap."""
        if self.step_ms is None or self.compute_ms is None or self.input_ms is None:
            return None
        return self.step_ms - self.compute_ms - self.input_ms

    @property
    def add_up(self) -> bool:
        """Whether the parts fit into the step, within a twentieth of it."""
        rest, step = self.rest_ms, self.step_ms
        return rest is not None and step is not None and rest >= -NOTABLE * step


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The speedup of one cell over the baseline, and those that it may be set against.

    Attributes:
        running_time: training and evaluation, as in the speedup table.
        training: of the images/s of training.
        without_input: of training, were data, transfer and preprocessing taken off both sides.
        compute_only: of the step on a batch that is already there.
        flops, bandwidth: that of the datasheets' peaks; None where one gives no figure.
    """

    running_time: Ratio
    training: Ratio | None
    without_input: Ratio | None
    compute_only: Ratio | None
    flops: float | None
    bandwidth: float | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What can be said of one configuration.

    Attributes:
        configuration: what sets it apart from others, or "".
        baseline: the hardware that speedups are over.
        parts: where a step goes, for each measured cell.
        gains: for each cell that may be divided by the baseline's.
        lines: training milliseconds per image over GFLOPs per image on a (dataset, hardware): with
            two models through all their repeats, with more through each model's mean.
        sentences: what the numbers support, in plain words, by what they are about.
        notes: what a reader has to know of them.
    """

    configuration: str
    baseline: Hardware
    parts: Mapping[Key, Parts]
    gains: Mapping[Key, Gain]
    lines: Mapping[tuple[str, Hardware], Line]
    sentences: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def explain(frame: pd.DataFrame, options: Options | None = None) -> list[Explanation]:
    """Explain the speedups of a frame of ``raybench.analysis.frame``, by configuration.

    Raises:
        SpecError: the baseline or an allowed field is unknown.
    """
    options = options or Options()
    found = configurations(frame, options.allow_mismatch)
    check_baseline(options.baseline, {hardware for group in found for hardware in group.hardware})
    return [_explain(group, options) for group in found]


def _explain(group: Configuration, options: Options) -> Explanation:
    baseline = options.baseline or group.slowest
    measured = [key for key in group.keys if group.completed.get(key)]
    samples = _Samples(group)
    parts = {key: samples.parts(key) for key in measured}
    gains: dict[Key, Gain] = {}
    refused: dict[tuple[str, ...], list[Key]] = {}
    for key in measured:
        over = key._replace(hardware=baseline)
        if key.hardware == baseline or over not in parts:
            continue
        differing = mismatches(group, key, over, options.allow_mismatch)
        if differing:
            refused.setdefault(tuple(differing), []).append(key)
        else:
            gains[key] = samples.gain(key, over, parts)
    lines = samples.lines(measured)
    found = sentences.of_gains(baseline, parts, gains)
    found["Does a lighter model gain less?"] = sentences.of_models(
        group, baseline, gains, samples.flops
    )
    found["What does not grow with a model's FLOPs"] = sentences.of_lines(lines, samples.models_of)
    return Explanation(
        configuration=group.name,
        baseline=baseline,
        parts=parts,
        gains=gains,
        lines=lines,
        sentences={name: tuple(said) for name, said in found.items() if said},
        notes=(
            *notes.refusals(group, refused),
            *notes.apart_in_time(group, ((k, k._replace(hardware=baseline)) for k in gains)),
            *notes.of_group(group, options.allow_mismatch),
            *unsteady(group),
        ),
    )


class _Samples:
    """The repeats of each cell, as plain lists."""

    def __init__(self, group: Configuration) -> None:
        self.group = group
        names = ("used_batch_size", "running_time_s", "images_per_s", "compute_only_images_per_s")
        wanted = (*names, *INPUT, "utilization", "flops_per_image", "device", "used_precision")
        self.columns = {name: group.frame[name].tolist() for name in wanted}
        self.flops: dict[str, float] = {}
        self.models_of: dict[tuple[str, Hardware], int] = {}

    def values(self, name: str, key: Key) -> list[float]:
        """Return a figure of each repeat, if every one has a plausible one."""
        found = [self.columns[name][i] for i in self.group.completed[key]]
        return found if all(0 <= value < MOST for value in found) else []

    def step_ms(self, name: str, key: Key) -> list[float]:
        """Turn each repeat's images/s into milliseconds of a full batch."""
        batch = self.values("used_batch_size", key)
        rates = self.values(name, key)
        if not rates or min(rates) < 1 / MOST:
            return []
        return [1000 * size / rate for size, rate in zip(batch, rates, strict=True)]

    def parts(self, key: Key) -> Parts:
        """Return where a cell's step goes."""
        data, transfer, preprocess = (_mean(self.values(name, key)) for name in INPUT)
        steps = self.step_ms("images_per_s", key)
        compute = self.step_ms("compute_only_images_per_s", key)
        each = (
            [1 - c / step for c, step in zip(compute, steps, strict=True)]
            if compute and steps
            else []
        )
        return Parts(
            n=len(self.group.completed[key]),
            step_ms=_mean(steps),
            data_ms=data,
            transfer_ms=transfer,
            preprocess_ms=preprocess,
            compute_ms=_mean(compute),
            utilization=_mean(self.values("utilization", key)),
            overhead_half_width=mean(each).half_width if each else None,
        )

    def gain(self, key: Key, over: Key, parts: Mapping[Key, Parts]) -> Gain:
        """Return the speedups of a cell over the baseline's."""

        def ratio(name: str) -> Ratio | None:
            times = [self.step_ms(name, side) for side in (over, key)]
            return ratio_of_means(*times) if all(times) else None

        without = [self._without_input_ms(side, parts[side]) for side in (over, key)]
        return Gain(
            running_time=ratio_of_means(
                self.values("running_time_s", over), self.values("running_time_s", key)
            ),
            training=ratio("images_per_s"),
            without_input=ratio_of_means(*without) if all(without) else None,
            compute_only=ratio("compute_only_images_per_s"),
            flops=self._peaks(key, over, "flops"),
            bandwidth=self._peaks(key, over, "bandwidth"),
        )

    def _without_input_ms(self, key: Key, parts: Parts) -> list[float]:
        """Take the input off each repeat's step, if its parts are clear and add up."""
        if not parts.add_up or not parts.overhead_is_clear:
            return []
        known = [found for name in INPUT if (found := self.values(name, key))]
        steps = self.step_ms("images_per_s", key)
        left = [step - math.fsum(input_ms) for step, *input_ms in zip(steps, *known, strict=True)]
        return left if min(left) > 0 else []

    def _peaks(self, key: Key, over: Key, figure: str) -> float | None:
        peaks = []
        for side in (key, over):
            position = self.group.completed[side][0]
            gpu = side.hardware.gpu
            device = self.columns["device"][position]
            if gpu is None or not isinstance(device, str):
                return None
            sheet = gpu.datasheet(device)
            precision = self.columns["used_precision"][position]
            peaks.append(
                sheet.peak_tflops(precision) if figure == "flops" else sheet.memory_gb_per_s
            )
        ours, theirs = peaks
        return ours / theirs if ours and theirs else None

    def lines(self, measured: Sequence[Key]) -> dict[tuple[str, Hardware], Line]:
        """Fit time per image over FLOPs per image, on each (dataset, hardware)."""
        points: dict[tuple[str, Hardware], dict[float, list[float]]] = {}
        for key in measured:
            flops = self.values("flops_per_image", key)
            rates = self.values("images_per_s", key)
            if not flops or not rates or min(*flops, *rates) < 1 / MOST:
                continue
            self.flops[key.model] = flops[0]
            models = points.setdefault((key.dataset, key.hardware), {})
            models.setdefault(flops[0] / 1e9, []).extend(1000 / rate for rate in rates)
        several = {where: models for where, models in points.items() if len(models) > 1}
        self.models_of = {where: len(models) for where, models in several.items()}
        return {where: _line(models) for where, models in several.items()}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _line(models: Mapping[float, Sequence[float]]) -> Line:
    """Fit milliseconds over GFLOPs, of which each model has several repeats.

    Two models lie on a line, and only their repeats can be off it. How far more models lie from a
    line is told by each model once, however often it was measured.
    """
    if len(models) == 2:
        points = [(gflops, time) for gflops, times in models.items() for time in times]
    else:
        points = [(gflops, math.fsum(times) / len(times)) for gflops, times in models.items()]
    return line_through(*zip(*points, strict=True))
