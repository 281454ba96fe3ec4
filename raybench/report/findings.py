"""The sentence of each finding: ``raybench.report.notes.sentence`` says findings too."""

from __future__ import annotations

import math

from raybench.analysis import findings
from raybench.analysis.statistics import Ratio
from raybench.catalog.models import MODELS
from raybench.report.labels import dataset_title
from raybench.report.notes import sentence


def shown(ratio: Ratio | float, decimals: int = 2) -> str:
    """Return ``2.61 [2.55, 2.67]``, or ``2.61`` for a single run or a figure."""
    value, interval = (ratio, None) if isinstance(ratio, float) else (ratio.value, ratio.interval)
    ends = f" [{interval[0]:.{decimals}f}, {interval[1]:.{decimals}f}]" if interval else ""
    return f"{value:.{decimals}f}{ends}"


HEADINGS: dict[type[findings.Finding], str] = {
    findings.LighterModel: "Does a lighter model gain less?",
    findings.TimeOverFlops: "What does not grow with a model's FLOPs",
}
"""What findings across models are about."""


def about(finding: findings.Finding) -> str:
    """Return the heading that a finding's sentence stands under."""
    if not isinstance(finding, findings.CellFinding):
        return HEADINGS[type(finding)]
    model, dataset = MODELS.title(finding.cell.model), dataset_title(finding.cell.dataset)
    return f"{model} on {dataset}, {finding.cell.hardware} over {finding.baseline}"


@sentence.register
def _(found: findings.StepShare) -> str:
    here, there, theirs = found.step, found.baseline_step, found.baseline_overhead
    overhead = here.overhead or 0.0
    step = f"a step on {found.cell.hardware} ({here.step_ms:.3g} ms)"
    if found.conclusion == "unclear":
        return (
            f"what part of {step} is compute cannot be told from these repeats "
            f"({1 - overhead:.0%} ± {here.overhead_half_width:.0%})"
        )
    if found.conclusion == "shorter than compute":
        return (
            f"{step} is shorter than the same step on a resident batch "
            f"({here.compute_ms:.3g} ms), so that no part of it can be called overhead"
        )
    whose = f"{found.baseline} ({there.step_ms or 0:.3g} ms)"
    if found.conclusion == "compute":
        said = f"{min(1 - overhead, 1):.0%} of {step} is compute"
        beside = f", on {whose} {min(1 - (theirs or 0), 1):.0%}"
    else:
        said = f"{overhead:.0%} of {step} is not compute{_parts(found)}"
        beside = f". On {whose} {max(theirs or 0, 0):.0%} is not"
    return said if theirs is None else said + beside


def _parts(found: findings.StepShare) -> str:
    """Name the parts that are not compute, if they are known and fit into the step."""
    if found.step.input_ms is None:
        return " (its phases are unknown)"
    if not found.step.add_up:
        return " (its phases, timed apart, come to more than a step: they do not say which part)"
    on_cpu = found.cell.hardware.cpu_threads is not None
    names = {
        "data": "data loading",
        "transfer": "transfer",
        "preprocess": "preprocessing",
        "rest": "the rest" if on_cpu else "kernel launch overhead and the host",
    }
    shares = ((name, found.step.shares.get(part, 0)) for part, name in names.items())
    return f": {', '.join(f'{name} {share:.0%}' for name, share in shares if share >= 0.01)}"


@sentence.register
def _(found: findings.WithoutInput) -> str:
    return (
        "without input on either side, training would be "
        f"{shown(found.without_input)} times as fast instead of {shown(found.training)}"
    )


@sentence.register
def _(found: findings.WithoutOverhead) -> str:
    figures = f"{shown(found.compute_only)} for compute alone, {shown(found.training)} for training"
    if found.conclusion == "hardly changes":
        return f"overhead hardly changes the speedup: {figures}"
    if found.conclusion == "unclear":
        return f"whether overhead changes the speedup cannot be told from these repeats: {figures}"
    single = "" if found.training.interval and found.compute_only.interval else " (single runs)"
    return f"overhead {found.conclusion} the speedup{single}: {figures}"


@sentence.register
def _(found: findings.DatasheetExpectation) -> str:
    expected = {"peak FLOPs": found.flops, "memory bandwidth": found.bandwidth}
    listed = [f"{ratio:.2f} by {what}" for what, ratio in expected.items() if ratio is not None]
    place = {
        "above": "is above both" if len(listed) > 1 else "is above",
        "below": "is below both" if len(listed) > 1 else "is below",
        "between": "is between them",
        "unclear": "cannot be told from that",
    }[found.conclusion]
    compute = shown(found.compute_only)
    return (
        f"datasheets lead one to expect {' and '.join(listed)}; compute alone, {compute}, {place}"
    )


@sentence.register
def _(found: findings.LighterModel) -> str:
    light, heavy = found.light, found.heavy
    speedups = (found.light_speedup, found.heavy_speedup)
    both = " and ".join(shown(speedup.running_time) for speedup in speedups)
    said = (
        f"{dataset_title(light.dataset)}, {light.hardware} over {found.baseline}: "
        f"{MODELS.title(light.model)} (lighter) and {MODELS.title(heavy.model)} gain {both}"
    )
    if found.verdict is None:
        return f"{said}; single runs cannot tell whether that differs"
    if found.verdict == "not distinguishable":
        return f"{said}, which these repeats do not distinguish"
    relation = "less" if found.verdict == "slower" else "more"
    said += f": the lighter model gains {relation}"
    alone = [shown(each.compute_only) for each in speedups if each.compute_only]
    if len(alone) < 2:
        return f"{said}; compute alone was not measured, so that the cause stays open"
    cause = {
        "not overhead alone": f"still {relation}: overhead is not the whole cause",
        "open": "which these repeats do not distinguish either: the cause stays open",
        "overhead fits": "which is not distinguishable: it fits overhead as the cause",
        "overhead outweighs": "the other way round: overhead outweighs what the hardware does",
    }[found.conclusion]
    return f"{said}; by compute alone {' and '.join(alone)}, {cause}"


@sentence.register
def _(found: findings.TimeOverFlops) -> str:
    where = f"{dataset_title(found.dataset)} on {found.hardware}, {found.models} models"
    intercept = _within(found.intercept, found.intercept_half_width)
    slope = _within(found.slope, found.slope_half_width)
    said = f"{where}: {intercept} ms an image and {slope} ms more for each GFLOP"
    if found.conclusion == "two runs":
        return f"{said}; two runs give no interval"
    if found.conclusion == "falls":
        less = _within(-found.slope, found.slope_half_width)
        return (
            f"{where}: the models with more FLOPs take less time ({less} ms an image for each "
            "GFLOP), so that FLOPs are not what it depends on here"
        )
    if found.conclusion == "unclear":
        return f"{said}: these repeats do not show that time grows with FLOPs"
    part = {
        "proportional": "; a part that does not grow with FLOPs cannot be told from 0",
        "constant part": ": the former does not grow with FLOPs",
        "faster": "; below 0, so that time grows faster than FLOPs over these models",
    }[found.conclusion]
    if found.models == 2:
        return f"{said}{part} (two models cannot show whether it is a line)"
    return f"{said}{part} (±: by how far the models lie from a line)"


def _within(value: float, half_width: float | None) -> str:
    """Return ``0.55 ± 0.05``, both to what the interval supports; ``0.55`` without one."""
    if half_width is None:
        return _plain(value)
    if not 1e-9 < half_width < 1e9:
        return f"{_plain(value)} ± {_plain(half_width)}"
    decimals = max(1 - math.floor(math.log10(half_width)), 0)
    return f"{value:,.{decimals}f} ± {half_width:,.{decimals}f}"


def _plain(value: float) -> str:
    """Return three significant digits without an exponent, for any usual size."""
    return f"{float(f'{value:.3g}'):,.10g}"
