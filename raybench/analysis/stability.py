"""Samples that are not steady, each with what to do next."""

from __future__ import annotations

import math
import statistics as exact
from collections.abc import Sequence

from raybench.analysis.configurations import Configuration
from raybench.analysis.notes import named

MOST_SPREAD = 0.05
"""Standard deviation of the repeats over their mean, above which they are called unsteady."""

MOST_DRIFT = 0.05
"""Relative change from the first to the last third of a trial's epochs, likewise."""

ALONE = "keep other programs off the host"

QUANTILES = ("step_p05_ms", "step_p25_ms", "step_p50_ms", "step_p75_ms", "step_p95_ms")


def unsteady(group: Configuration) -> list[str]:
    """Name the cells whose repeats, epochs, steps or clocks are not steady, with the next step."""
    times = group.frame["running_time_s"].tolist()
    epochs = group.frame["epoch_times_s"].tolist()
    steps = list(zip(*(group.frame[name].tolist() for name in QUANTILES), strict=True))
    throttled = group.frame["throttle_reasons"].tolist()
    beside = group.frame["co_located_trials"].tolist()
    alone = group.frame["isolation"].tolist()
    said: dict[str, list[str]] = {}
    for key in group.keys:
        rows = group.completed.get(key, [])
        hint = ALONE if any(alone[i] == "node" for i in rows) else "measure with isolation=node"
        checks = (
            _spread([times[i] for i in rows], hint),
            _drift([epochs[i] for i in rows if epochs[i]]),
            _two_kinds([steps[i] for i in rows]),
            _throttling([throttled[i] for i in rows if throttled[i]], len(rows)),
            _company([beside[i] for i in rows if isinstance(beside[i], int)], hint),
        )
        for check in filter(None, checks):
            said.setdefault(check, []).append(group.title(key))
    return [f"unsteady: {named(titles)}: {check}" for check, titles in said.items()]


def _spread(times: Sequence[float], hint: str) -> str | None:
    if len(times) < 3:
        return None
    spread = exact.stdev(times) / exact.fmean(times)
    if spread <= MOST_SPREAD:
        return None
    return f"repeats spread by {spread:.0%} (standard deviation over mean). Add repeats, and {hint}"


def _drift(epochs: Sequence[Sequence[float]]) -> str | None:
    changes = []
    for times in epochs:
        third = len(times) // 3
        if third:
            changes.append(exact.fmean(times[-third:]) / exact.fmean(times[:third]) - 1)
    if not changes or not (all(c > 0 for c in changes) or all(c < 0 for c in changes)):
        return None
    drift = exact.median(changes)
    if abs(drift) <= MOST_DRIFT:
        return None
    if drift < 0:
        return f"epochs grow {-drift:.0%} faster towards the end. Raise warmup_steps"
    return (
        f"epochs grow {drift:.0%} slower towards the end. "
        "Look at clocks and temperature, and at what else runs on the host"
    )


def _two_kinds(steps: Sequence[tuple[float, ...]]) -> str | None:
    """Tell two kinds of steps by quantiles: two narrow heaps with the quartiles in different ones.

    Of a uniform distribution the tails take up 0.4 of what lies between the quartiles, of a
    normal one 0.7; of two separate heaps next to nothing.
    """
    for p05, p25, p50, p75, p95 in steps:
        between, tail = p75 - p25, max(p25 - p05, p95 - p75)
        if math.isfinite(between) and between > 0.1 * p50 and tail < 0.25 * between:
            return (
                f"steps are of two kinds, of about {p25:.3g} and {p75:.3g} ms. "
                "If data_wait is the difference, give it more num_workers; else look for company"
            )
    return None


def _throttling(reasons: Sequence[str], trials: int) -> str | None:
    if not reasons:
        return None
    kinds = ", ".join(sorted({kind for text in reasons for kind in text.split()}))
    return (
        f"clocks were held down in {len(reasons)} of {trials} trials ({kinds}). "
        "Compare with sm_clock_mhz, or measure on a cooler node"
    )


def _company(beside: Sequence[int], hint: str) -> str | None:
    if not any(beside):
        return None
    return (
        f"other trials ran on the host, up to {max(beside)} at once. To see what they cost, {hint}"
    )
