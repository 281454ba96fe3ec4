"""Why the speedup is what it is: where steps go, and speedups beside those expected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raybench.analysis import notes
from raybench.analysis.breakdown import NOTABLE, Samples, SpeedupBreakdown, StepBreakdown
from raybench.analysis.configurations import Configuration, Key, configurations, mismatches
from raybench.analysis.findings import (
    CellFinding,
    DatasheetExpectation,
    Finding,
    LighterModel,
    StepShare,
    TimeOverFlops,
    WithoutInput,
    WithoutOverhead,
)
from raybench.analysis.notes import Note
from raybench.analysis.quantities import Options
from raybench.analysis.statistics import quotient, t_quantile, verdicts
from raybench.analysis.tables import check_baseline, notes_of
from raybench.analysis.trials import Trials
from raybench.catalog.hardware import Hardware

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What can be said of one configuration, whose name is what sets it apart from others, or "".

    There are ``steps`` for each measured cell, ``speedups`` for each that may be divided by the
    baseline's, and findings by cell, then across models.
    """

    configuration: str
    baseline: Hardware
    steps: Mapping[Key, StepBreakdown]
    speedups: Mapping[Key, SpeedupBreakdown]
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]


def explain(frame: pd.DataFrame | Trials, options: Options | None = None) -> list[Explanation]:
    """Explain the speedups of a frame of ``raybench.analysis.frame``, by configuration.

    Raises:
        SpecError: the baseline or an allowed field is unknown.
    """
    options = options or Options()
    found = configurations(Trials.of(frame), options.allow_mismatch)
    check_baseline(options.baseline, found)
    return [_explain(group, options) for group in found]


def _explain(group: Configuration, options: Options) -> Explanation:
    baseline = options.baseline or group.slowest
    samples = Samples(group)
    steps = {key: samples.step(key) for key in group.keys if group.completed.get(key)}
    pairs = [key for key in steps if key.hardware != baseline and key.on(baseline) in steps]
    differing = {k: mismatches(group, k, k.on(baseline), options.allow_mismatch) for k in pairs}
    speedups = {
        key: samples.speedup(key, key.on(baseline), steps) for key in pairs if not differing[key]
    }
    points = {key: found for key in steps if (found := samples.ms_per_image(key))}
    return Explanation(
        configuration=group.name,
        baseline=baseline,
        steps=steps,
        speedups=speedups,
        findings=(
            *_of_cells(baseline, steps, speedups),
            *_of_models(group, baseline, speedups, points),
            *time_over_flops(points),
        ),
        notes=(
            *notes.refusals({key: found for key, found in differing.items() if found}, baseline),
            *notes.apart_in_time(group, speedups, baseline),
            *notes_of(group, options),
        ),
    )


def _of_cells(
    baseline: Hardware,
    steps: Mapping[Key, StepBreakdown],
    speedups: Mapping[Key, SpeedupBreakdown],
) -> Iterator[CellFinding]:
    """Find what holds each cell's speedup back, and what the datasheets would lead to."""
    for cell, speedup in speedups.items():
        if steps[cell].overhead is not None:
            other = steps[cell.on(baseline)]
            yield StepShare(cell=cell, baseline=baseline, step=steps[cell], baseline_step=other)
        training, compute, left = speedup.training, speedup.compute_only, speedup.without_input
        if left and training and abs(left.value / training.value - 1) >= NOTABLE:
            yield WithoutInput(cell=cell, baseline=baseline, training=training, without_input=left)
        if compute and training:
            yield WithoutOverhead(
                cell=cell, baseline=baseline, training=training, compute_only=compute
            )
        peaks = {"flops": speedup.flops, "bandwidth": speedup.bandwidth}
        if compute and any(peak is not None for peak in peaks.values()):
            yield DatasheetExpectation(cell=cell, baseline=baseline, **peaks, compute_only=compute)


def _of_models(
    group: Configuration,
    baseline: Hardware,
    speedups: Mapping[Key, SpeedupBreakdown],
    points: Mapping[Key, tuple[float, Sequence[float]]],
) -> list[LighterModel]:
    """Set the lightest model's speedup beside the heaviest's, wherever there are two."""
    gflops = {key.model: of_model for key, (of_model, _times) in points.items()}
    pairs = []
    for hardware in group.hardware:
        for dataset in group.datasets:
            cells = [Key(model, dataset, hardware) for model in group.models if model in gflops]
            known = sorted(filter(speedups.get, cells), key=lambda key: gflops[key.model])
            if len(known) > 1 and gflops[known[0].model] < gflops[known[-1].model]:
                pairs.append((known[0], known[-1]))
    sides = [(speedups[light], speedups[heavy]) for light, heavy in pairs]
    judged = verdicts([quotient(one.running_time, other.running_time) for one, other in sides])
    return [
        LighterModel(
            light=light,
            heavy=heavy,
            baseline=baseline,
            verdict=verdict,
            light_speedup=of_light,
            heavy_speedup=of_heavy,
        )
        for (light, heavy), (of_light, of_heavy), verdict in zip(pairs, sides, judged, strict=True)
    ]


def time_over_flops(points: Mapping[Key, tuple[float, Sequence[float]]]) -> list[TimeOverFlops]:
    """Fit how training time grows with FLOPs on each (dataset, hardware) with several models.

    ``points`` are GFLOPs per image of each cell, and milliseconds per image of its repeats.
    """
    models: dict[tuple[str, Hardware], dict[float, list[float]]] = {}
    for (_model, dataset, hardware), (gflops, times) in points.items():
        models.setdefault((dataset, hardware), {}).setdefault(gflops, []).extend(times)
    return [_line(*where, of_models) for where, of_models in models.items() if len(of_models) > 1]


def _line(
    dataset: str, hardware: Hardware, models: Mapping[float, Sequence[float]]
) -> TimeOverFlops:
    """Fit milliseconds over GFLOPs, of which each model has several repeats.

    Two models lie on a line, and only their repeats can be off it. How far more models lie from a
    line is told by each model once, however often it was measured.
    """
    from scipy.stats import linregress  # noqa: PLC0415 - slow to import, and needed here alone

    if len(models) == 2:
        points = [(gflops, time) for gflops, times in models.items() for time in times]
    else:
        points = [(gflops, math.fsum(times) / len(times)) for gflops, times in models.items()]
    fit = linregress(*zip(*points, strict=True))
    t = t_quantile(len(points) - 2) if len(points) > 2 else None
    return TimeOverFlops(
        dataset=dataset,
        hardware=hardware,
        models=len(models),
        intercept=float(fit.intercept),
        slope=float(fit.slope),
        intercept_half_width=None if t is None else t * float(fit.intercept_stderr),
        slope_half_width=None if t is None else t * float(fit.stderr),
    )
