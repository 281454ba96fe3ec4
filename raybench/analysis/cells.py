"""The figures of a table: the mean of each cell's repeats, or its ratio over a baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raybench.analysis import notes
from raybench.analysis.configurations import Configuration, Key, Mismatch, State, mismatches
from raybench.analysis.notes import Note
from raybench.analysis.quantities import Options, Quantity
from raybench.analysis.row import MOST
from raybench.analysis.statistics import (
    Ratio,
    Verdict,
    geometric_mean,
    mean,
    ratio_of_means,
    verdicts,
)
from raybench.catalog.hardware import Hardware


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of a table, unrounded, with its 95 % interval, which a single run has none of.

    ``n`` counts independent repeats; of the side with fewer for a ratio.
    """

    state: State
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    verdict: Verdict | None = None


class Figures(NamedTuple):
    """The cells of a table, the geometric mean of each hardware's ratios, and what to know."""

    cells: dict[Key, Cell]
    means: dict[Hardware, Cell]
    notes: list[Note]


@dataclass(frozen=True, kw_only=True)
class MeanIntervals(Note):
    """Some means have an interval."""


@dataclass(frozen=True, kw_only=True)
class Unmeasured(Note):
    """Cells that completed without this figure, and why."""

    reason: str
    cells: tuple[Key, ...]


@dataclass(frozen=True, kw_only=True)
class OverBaseline(Note):
    """Ratios are the mean running time on this hardware over that on the column's, less ``less``.

    ``chosen``: the reader named it; otherwise it is the slowest.
    """

    baseline: Hardware
    chosen: bool
    less: int


@dataclass(frozen=True, kw_only=True)
class RatioIntervals(Note):
    """So many ratios are judged together, on whether each is distinguishable from ``equal``."""

    equal: int
    cells: int


@dataclass(frozen=True, kw_only=True)
class SingleRuns(Note):
    """Some ratios have a side with a single run."""


def mean_figures(group: Configuration, quantity: Quantity, values: Sequence[float]) -> Figures:
    """Pool the trials of each cell; ``values`` has the quantity of each row of the group."""
    cells = {key: _mean(group, key, quantity, values) for key in group.keys}
    found: list[Note] = []
    unmeasured = tuple(key for key, cell in cells.items() if cell.state == "unmeasured")
    if unmeasured:
        found.append(Unmeasured(reason=quantity.unmeasured, cells=unmeasured))
    if any(cell.low is not None for cell in cells.values()):
        found.append(MeanIntervals())
    return Figures(cells, {}, found)


def _mean(group: Configuration, key: Key, quantity: Quantity, values: Sequence[float]) -> Cell:
    state = group.state(key)
    if state != "measured":
        return Cell(state=state)
    samples = [values[i] for i in group.completed[key] if abs(values[i]) < MOST]
    whole = len(samples) == len(group.completed[key])
    if not samples or (quantity.of_every_trial and not whole):
        return Cell(state="unmeasured")
    value, half_width = mean(samples)
    low, high = (None, None) if half_width is None else (value - half_width, value + half_width)
    return Cell(state="measured", value=value, low=low, high=high, n=len(samples))


def ratio_figures(
    group: Configuration, less: int, values: Sequence[float], options: Options
) -> Figures:
    """Divide the baseline's mean by the hardware's, in each cell of the other hardware.

    ``less`` is taken off each ratio; ``values`` has the quantity of each row of the group.
    """
    over = options.baseline or group.slowest
    found: dict[Key, Ratio | Cell] = {}
    refused: dict[Key, tuple[Mismatch, ...]] = {}
    for key in group.keys:
        if key.hardware == over:
            continue
        sides = (key, key.on(over))
        found[key] = _ratio(group, sides, values)
        differing = mismatches(group, *sides, options.allow_mismatch)
        if differing and isinstance(found[key], Ratio):
            found[key] = Cell(state="not comparable")
            refused[key] = differing
    ratios = {key: each for key, each in found.items() if isinstance(each, Ratio)}
    cells = dict(zip(ratios, _cells(list(ratios.values()), less), strict=True))
    judged = sum(cell.low is not None for cell in cells.values())
    means = {}
    for hardware in group.hardware:
        of_hardware = [ratio for key, ratio in ratios.items() if key.hardware == hardware]
        if of_hardware:
            (means[hardware],) = _cells([geometric_mean(of_hardware)], less)
    return Figures(
        {key: cells[key] if isinstance(each, Ratio) else each for key, each in found.items()},
        means,
        [
            OverBaseline(baseline=over, chosen=options.baseline is not None, less=less),
            *([RatioIntervals(equal=1 - less, cells=judged)] if judged else []),
            *([SingleRuns()] if judged < len(ratios) else []),
            *notes.refusals(refused, over),
            *notes.apart_in_time(group, ratios, over),
        ],
    )


def _ratio(group: Configuration, sides: tuple[Key, Key], values: Sequence[float]) -> Ratio | Cell:
    """Return the ratio of a cell and the baseline's, or the cell that says why there is none."""
    for side in sides:
        state = group.state(side)
        if state != "measured":
            return Cell(state=state)
    ours, theirs = ([values[i] for i in group.completed[side]] for side in sides)
    if not all(0 < value < MOST for value in (*ours, *theirs)):
        return Cell(state="unmeasured")
    return ratio_of_means(theirs, ours)


def _cells(ratios: Sequence[Ratio], less: int) -> list[Cell]:
    cells = []
    for ratio, verdict in zip(ratios, verdicts(ratios), strict=True):
        low, high = (None if end is None else end - less for end in ratio.interval or (None, None))
        value = ratio.value - less
        cells.append(
            Cell(state="measured", value=value, low=low, high=high, n=ratio.n, verdict=verdict)
        )
    return cells
