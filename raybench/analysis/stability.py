"""Samples that are not stable, as footnotes."""

from __future__ import annotations

import math
import statistics as exact
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    samples = _Samples(group)
    return [
        *_unstable_repeats(samples),
        *_drifting_epochs(samples["epoch_times_s"]),
        *_two_kinds_of_steps(samples),
        *_throttled(samples["throttle_reasons"]),
        *_co_located(samples),
    ]


class _Samples:
    """What the completed trials of each cell hold, by column."""

    def __init__(self, group: Configuration) -> None:
        self._group = group

    def __getitem__(self, column: str) -> dict[Key, list[Any]]:
        values = self._group.trials[column]
        measured = ((key, self._group.completed.get(key)) for key in self._group.keys)
        return {key: [values[i] for i in rows] for key, rows in measured if rows}

    def isolated(self, cells: Iterable[Key]) -> bool:
        """Whether every trial of these cells asked for a node for itself."""
        isolation = self["isolation"]
        return all(each == "node" for key in cells for each in isolation[key])


def _unstable_repeats(samples: _Samples) -> Iterator[Note]:
    spreads = [
        Share(cell=key, fraction=exact.stdev(times) / exact.fmean(times))
        for key, times in samples["running_time_s"].items()
        if len(times) > 2
    ]
    spreads = [spread for spread in spreads if spread.fraction > MOST_SPREAD]
    if spreads:
        isolated = samples.isolated(spread.cell for spread in spreads)
        yield UnstableRepeats(spreads=tuple(spreads), isolated=isolated)


def _drifting_epochs(epoch_times: Mapping[Key, Sequence[Sequence[float] | None]]) -> Iterator[Note]:
    slower, faster = [], []
    for key, trials in epoch_times.items():
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


def _two_kinds_of_steps(samples: _Samples) -> Iterator[Note]:
    """Tell two kinds of steps by quantiles: two narrow heaps with the quartiles in different ones.

    Of a uniform distribution the tails take up 0.4 of what lies between the quartiles, of a
    normal one 0.7; of two separate heaps next to nothing.
    """
    columns = [samples[name] for name in QUANTILES]
    found = []
    for key in columns[0]:
        for p05, p25, p50, p75, p95 in zip(*(column[key] for column in columns), strict=True):
            between, tail = p75 - p25, max(p25 - p05, p95 - p75)
            if math.isfinite(between) and between > 0.1 * p50 and tail < 0.25 * between:
                found.append(StepKinds(cell=key, short_ms=p25, long_ms=p75))
                break
    if found:
        yield TwoKindsOfSteps(steps=tuple(found))


def _throttled(reasons: Mapping[Key, Sequence[str | None]]) -> Iterator[Note]:
    alike: dict[tuple[str, ...], list[Key]] = {}
    for key, texts in reasons.items():
        kinds = sorted({kind for text in texts for kind in (text or "").split()})
        if kinds:
            alike.setdefault(tuple(kinds), []).append(key)
    for found, cells in alike.items():
        held = [bool(text) for key in cells for text in reasons[key]]
        yield Throttled(cells=tuple(cells), trials=sum(held), completed=len(held), reasons=found)


def _co_located(samples: _Samples) -> Iterator[Note]:
    most = {
        key: max((each for each in beside if isinstance(each, int)), default=0)
        for key, beside in samples["co_located_trials"].items()
    }
    cells = tuple(key for key, trials in most.items() if trials)
    if cells:
        yield CoLocated(cells=cells, most=max(most.values()), isolated=samples.isolated(cells))
