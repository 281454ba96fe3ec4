"""Samples that are not stable, as footnotes."""

from __future__ import annotations

import math
import statistics as exact
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from raybench.analysis.configurations import Configuration, Key
from raybench.analysis.notes import Note

MOST_SPREAD = 0.05
"""Standard deviation of the repeats over their mean, above which they are called unstable."""

MOST_DRIFT = 0.05
"""Relative change from the first to the last third of a trial's epochs, likewise."""

QUANTILES = ("step_p05_ms", "step_p25_ms", "step_p50_ms", "step_p75_ms", "step_p95_ms")


@dataclass(frozen=True, kw_only=True)
class Share:
    """A fraction that was found in a cell."""

    cell: Key
    fraction: float


@dataclass(frozen=True, kw_only=True)
class UnstableRepeats(Note):
    """Cells whose repeats spread: their standard deviation over their mean.

    ``isolated``: every trial of these cells had its node for itself.
    """

    spreads: tuple[Share, ...]
    isolated: bool


@dataclass(frozen=True, kw_only=True)
class SlowerEpochs(Note):
    """Cells whose epochs grow slower towards the end, by this."""

    changes: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class FasterEpochs(Note):
    """Cells whose epochs grow faster towards the end, by this."""

    changes: tuple[Share, ...]


@dataclass(frozen=True, kw_only=True)
class StepKinds:
    """About how long the shorter and the longer steps of a cell take, in milliseconds."""

    cell: Key
    short_ms: float
    long_ms: float


@dataclass(frozen=True, kw_only=True)
class TwoKindsOfSteps(Note):
    """Cells whose steps are of two kinds."""

    steps: tuple[StepKinds, ...]


@dataclass(frozen=True, kw_only=True)
class Throttled(Note):
    """Cells in so many of whose trials the clocks were held down, for these reasons."""

    cells: tuple[Key, ...]
    trials: int
    completed: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CoLocated(Note):
    """Cells beside whose trials others ran on the host, up to so many at once.

    ``isolated``: every trial of these cells should have had its node for itself.
    """

    cells: tuple[Key, ...]
    most: int
    isolated: bool


def of_configuration(group: Configuration) -> list[Note]:
    """Find the cells whose repeats, epochs, steps or clocks are not stable."""
    detectors = (
        *(_unstable_repeats, _drifting_epochs, _two_kinds_of_steps),
        *(_throttled, _co_located),
    )
    return [note for detect in detectors for note in detect(group)]


def _isolated(group: Configuration, cells: Iterable[Key]) -> bool:
    """Whether every trial of these cells asked for a node for itself."""
    isolation = group.samples("isolation")
    return all(each == "node" for key in cells for each in isolation[key])


def _unstable_repeats(group: Configuration) -> Iterator[Note]:
    spreads = {
        key: exact.stdev(times) / exact.fmean(times)
        for key, times in group.samples("running_time_s").items()
        if len(times) > 2
    }
    found = {key: spread for key, spread in spreads.items() if spread > MOST_SPREAD}
    if found:
        shares = (Share(cell=key, fraction=spread) for key, spread in found.items())
        yield UnstableRepeats(spreads=tuple(shares), isolated=_isolated(group, found))


def _drifting_epochs(group: Configuration) -> Iterator[Note]:
    slower, faster = [], []
    for key, trials in group.samples("epoch_times_s").items():
        changes = [_drift(times) for times in trials if times and len(times) > 2]
        drift = exact.median(changes) if changes else 0.0
        if drift > MOST_DRIFT and min(changes) > 0:
            slower.append(Share(cell=key, fraction=drift))
        if drift < -MOST_DRIFT and max(changes) < 0:
            faster.append(Share(cell=key, fraction=-drift))
    if slower:
        yield SlowerEpochs(changes=tuple(slower))
    if faster:
        yield FasterEpochs(changes=tuple(faster))


def _drift(times: Sequence[float]) -> float:
    """Return by how much the last third of a trial's epochs is slower than the first."""
    third = len(times) // 3
    return exact.fmean(times[-third:]) / exact.fmean(times[:third]) - 1


def _two_kinds_of_steps(group: Configuration) -> Iterator[Note]:
    """Tell two kinds of steps by quantiles: two narrow heaps with the quartiles in different ones.

    Of a uniform distribution the tails take up 0.4 of what lies between the quartiles, of a
    normal one 0.7; of two separate heaps next to nothing.
    """
    columns = [group.samples(name) for name in QUANTILES]
    found = []
    for key in columns[0]:
        for p05, p25, p50, p75, p95 in zip(*(column[key] for column in columns), strict=True):
            between, tail = p75 - p25, max(p25 - p05, p95 - p75)
            if math.isfinite(between) and between > 0.1 * p50 and tail < 0.25 * between:
                found.append(StepKinds(cell=key, short_ms=p25, long_ms=p75))
                break
    if found:
        yield TwoKindsOfSteps(steps=tuple(found))


def _throttled(group: Configuration) -> Iterator[Note]:
    reasons = group.samples("throttle_reasons")
    alike: dict[tuple[str, ...], list[Key]] = {}
    for key, texts in reasons.items():
        kinds = {kind for text in texts for kind in (text or "").split()}
        alike.setdefault(tuple(sorted(kinds)), []).append(key)
    alike.pop((), None)
    for found, cells in alike.items():
        held = [bool(text) for key in cells for text in reasons[key]]
        yield Throttled(cells=tuple(cells), trials=sum(held), completed=len(held), reasons=found)


def _co_located(group: Configuration) -> Iterator[Note]:
    most = {
        key: max((each for each in beside if isinstance(each, int)), default=0)
        for key, beside in group.samples("co_located_trials").items()
    }
    cells = tuple(key for key, trials in most.items() if trials)
    if cells:
        yield CoLocated(cells=cells, most=max(most.values()), isolated=_isolated(group, cells))
