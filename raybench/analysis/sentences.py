"""Plain sentences on speedups, each only where the numbers bear it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from raybench.analysis.configurations import Configuration, Key, dataset_title
from raybench.analysis.statistics import Line, Ratio, quotient, verdicts
from raybench.catalog.hardware import Hardware
from raybench.catalog.models import model_title

if TYPE_CHECKING:
    from raybench.analysis.explain import Gain, Parts

NOTABLE = 0.05
"""Parts of a step, and differences between speedups, below are not worth a sentence of cause."""


def shown(ratio: Ratio, decimals: int = 2) -> str:
    """Return ``2.61 [2.55, 2.67]``, or ``2.61`` for a single run."""
    if ratio.interval is None:
        return f"{ratio.value:.{decimals}f}"
    low, high = ratio.interval
    return f"{ratio.value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def of_gains(
    baseline: Hardware, parts: Mapping[Key, Parts], gains: Mapping[Key, Gain]
) -> dict[str, list[str]]:
    """Say of each cell what holds its speedup back, and what the datasheets would lead to."""
    said = {}
    for key, gain in gains.items():
        over = key._replace(hardware=baseline)
        found = (
            _where_it_goes(key, parts[key], over, parts[over]),
            _without_input(gain),
            _without_overhead(gain),
            _datasheets(gain),
        )
        model, dataset = model_title(key.model), dataset_title(key.dataset)
        said[f"{model} on {dataset}, {key.hardware} over {baseline}"] = [s for s in found if s]
    return said


def _where_it_goes(key: Key, parts: Parts, over: Key, others: Parts) -> str | None:
    overhead, theirs = parts.overhead, others.overhead
    if not parts.step_ms or parts.compute_ms is None or overhead is None:
        return None
    step = f"a step on {key.hardware} ({parts.step_ms:.3g} ms)"
    if not parts.overhead_is_clear:
        return (
            f"what part of {step} is compute cannot be told from these repeats "
            f"({1 - overhead:.0%} ± {parts.overhead_half_width:.0%})"
        )
    if overhead < -NOTABLE:
        return (
            f"{step} is shorter than the same step on a resident batch "
            f"({parts.compute_ms:.3g} ms), so that no part of it can be called overhead"
        )
    if overhead < NOTABLE:
        said = f"{min(1 - overhead, 1):.0%} of {step} is compute"
    else:
        said = f"{overhead:.0%} of {step} is not compute{_split(key, parts, parts.step_ms)}"
    if theirs is None or theirs < -NOTABLE or not others.overhead_is_clear:
        return said
    whose = f"{over.hardware} ({others.step_ms:.3g} ms)"
    if overhead < NOTABLE:
        return f"{said}, on {whose} {min(1 - theirs, 1):.0%}"
    return f"{said}. On {whose} {max(theirs, 0):.0%} is not"


def _split(key: Key, parts: Parts, step_ms: float) -> str:
    """Name the parts that are not compute, if they are known and fit into the step."""
    if parts.input_ms is None:
        return " (its phases are unknown)"
    if not parts.add_up:
        return " (its phases, timed apart, come to more than a step: they do not say which part)"
    on_cpu = key.hardware.cpu_threads is not None
    named = {
        "waiting for data": parts.data_ms,
        "transfer": parts.transfer_ms,
        "preprocessing": parts.preprocess_ms,
        "the rest" if on_cpu else "launch gaps and the host": parts.rest_ms,
    }
    shares = (
        f"{what} {milliseconds / step_ms:.0%}"
        for what, milliseconds in named.items()
        if milliseconds is not None and milliseconds / step_ms >= 0.01
    )
    return f": {', '.join(shares)}"


def _without_input(gain: Gain) -> str | None:
    if gain.without_input is None or gain.training is None:
        return None
    change = gain.without_input.value / gain.training.value - 1
    if abs(change) < NOTABLE:
        return None
    return (
        "without input on either side, training would be "
        f"{shown(gain.without_input)} times as fast instead of {shown(gain.training)}"
    )


def _without_overhead(gain: Gain) -> str | None:
    if gain.compute_only is None or gain.training is None:
        return None
    change = gain.compute_only.value / gain.training.value - 1
    measured = f"{shown(gain.compute_only)} for compute alone, {shown(gain.training)} for training"
    if abs(change) < NOTABLE and not (_wide(gain.compute_only) or _wide(gain.training)):
        return f"overhead hardly changes the speedup: {measured}"
    if _overlap(gain.compute_only, gain.training):
        return f"whether overhead changes the speedup cannot be told from these repeats: {measured}"
    single = "" if gain.training.interval and gain.compute_only.interval else " (single runs)"
    direction = "lowers" if change > 0 else "raises"
    return f"overhead {direction} the speedup{single}: {measured}"


def _wide(ratio: Ratio) -> bool:
    """Whether an interval is too wide to say that nothing changes."""
    return ratio.interval is not None and ratio.interval[1] > (1 + 4 * NOTABLE) * ratio.interval[0]


def _overlap(one: Ratio, other: Ratio) -> bool:
    if one.interval is None or other.interval is None:
        return False
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]


def _datasheets(gain: Gain) -> str | None:
    expected = {"peak FLOPs": gain.flops, "memory bandwidth": gain.bandwidth}
    known = {what: value for what, value in expected.items() if value is not None}
    if not known or gain.compute_only is None:
        return None
    low, high = gain.compute_only.interval or (gain.compute_only.value,) * 2
    least, most = min(known.values()), max(known.values())
    listed = " and ".join(f"{ratio:.2f} by {what}" for what, ratio in known.items())
    if low > most:
        place = "is above" if len(known) == 1 else "is above both"
    elif high < least:
        place = "is below" if len(known) == 1 else "is below both"
    elif least < low and high < most:
        place = "is between them"
    else:
        place = "cannot be told from that"
    compute = shown(gain.compute_only)
    return f"datasheets lead one to expect {listed}; compute alone, {compute}, {place}"


def of_models(
    group: Configuration, baseline: Hardware, gains: Mapping[Key, Gain], flops: Mapping[str, float]
) -> list[str]:
    """Say whether the lightest model gains less than the heaviest, and whether by overhead."""
    pairs = []
    for hardware in group.hardware:
        for dataset in group.datasets:
            found = [k for k in gains if (k.dataset, k.hardware) == (dataset, hardware)]
            known = sorted((k for k in found if k.model in flops), key=lambda k: flops[k.model])
            if len(known) > 1 and flops[known[0].model] < flops[known[-1].model]:
                pairs.append((known[0], known[-1]))
    quotients = [
        quotient(gains[light].running_time, gains[heavy].running_time) for light, heavy in pairs
    ]
    return [
        _lighter(light, heavy, baseline, gains, verdict)
        for (light, heavy), verdict in zip(pairs, verdicts(quotients), strict=True)
    ]


def _lighter(
    light: Key, heavy: Key, baseline: Hardware, gains: Mapping[Key, Gain], verdict: str | None
) -> str:
    names = f"{model_title(light.model)} (lighter) and {model_title(heavy.model)}"
    both = [shown(gains[key].running_time) for key in (light, heavy)]
    where = f"{dataset_title(light.dataset)}, {light.hardware} over {baseline}"
    said = f"{where}: {names} gain {' and '.join(both)}"
    if verdict is None:
        return f"{said}; single runs cannot tell whether that differs"
    if verdict == "not distinguishable":
        return f"{said}, which these repeats do not distinguish"
    relation = "less" if verdict == "slower" else "more"
    said += f": the lighter model gains {relation}"
    compute = [gains[key].compute_only for key in (light, heavy)]
    if compute[0] is None or compute[1] is None:
        return f"{said}; compute alone was not measured, so that the cause stays open"
    said += f"; by compute alone {shown(compute[0])} and {shown(compute[1])}, "
    return said + _cause(verdict, relation, compute[0], compute[1])


def _cause(verdict: str, relation: str, light: Ratio, heavy: Ratio) -> str:
    """Say whether the models differ by compute alone as they do in all."""
    (alone,) = verdicts([quotient(light, heavy)])
    if alone == verdict:
        return f"still {relation}: overhead is not the whole cause"
    if alone is None or (alone == "not distinguishable" and (_wide(light) or _wide(heavy))):
        return "which these repeats do not distinguish either: the cause stays open"
    if alone == "not distinguishable":
        return "which is not distinguishable: it fits overhead as the cause"
    return "the other way round: overhead outweighs what the hardware does"


def of_lines(
    lines: Mapping[tuple[str, Hardware], Line], models: Mapping[tuple[str, Hardware], int]
) -> list[str]:
    """Say what part of an image's time does not grow with a model's FLOPs."""
    said = []
    for (dataset, hardware), line in lines.items():
        count = models[dataset, hardware]
        where = f"{dataset_title(dataset)} on {hardware}, {count} models"
        if line.intercept_half_width is None or line.slope_half_width is None:
            said.append(
                f"{where}: {_plain(line.intercept)} ms an image and {_plain(line.slope)} ms more "
                "for each GFLOP; two runs give no interval"
            )
            continue
        intercept = _within(line.intercept, line.intercept_half_width)
        slope = _within(line.slope, line.slope_half_width)
        found = f"{where}: {intercept} ms an image and {slope} ms more for each GFLOP"
        if line.slope < -line.slope_half_width:
            less = _within(-line.slope, line.slope_half_width)
            said.append(
                f"{where}: the models with more FLOPs take less time ({less} ms an image for each "
                "GFLOP), so that FLOPs are not what it depends on here"
            )
            continue
        if abs(line.slope) <= line.slope_half_width:
            said.append(f"{found}: these repeats do not show that time grows with FLOPs")
            continue
        if abs(line.intercept) <= line.intercept_half_width:
            found += "; a part that does not grow with FLOPs cannot be told from 0"
        elif line.intercept < 0:
            found += "; below 0, so that time grows faster than FLOPs over these models"
        else:
            found += ": the former does not grow with FLOPs"
        if count == 2:
            found += " (two models cannot show whether it is a line)"
        else:
            found += " (±: by how far the models lie from a line)"
        said.append(found)
    return said


def _within(value: float, half_width: float) -> str:
    """Return ``0.55 ± 0.05``, both to what the interval supports."""
    if not 1e-9 < half_width < 1e9:
        return f"{_plain(value)} ± {_plain(half_width)}"
    decimals = max(1 - math.floor(math.log10(half_width)), 0)
    return f"{value:,.{decimals}f} ± {half_width:,.{decimals}f}"


def _plain(value: float) -> str:
    """Return three significant digits without an exponent, for any usual size."""
    return f"{float(f'{value:.3g}'):,.10g}"
