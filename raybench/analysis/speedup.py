"""Ratios over a baseline's hardware, cell by cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from raybench.analysis.configurations import Configuration, Key, Mismatch, mismatches
from raybench.analysis.means import Cell, Figures
from raybench.analysis.notes import Note, apart_in_time, refusals
from raybench.analysis.row import MOST
from raybench.analysis.statistics import Ratio, geometric_mean, ratio_of_means, verdicts
from raybench.catalog.hardware import Hardware


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


def ratio_figures(
    group: Configuration,
    values: Sequence[float],
    baseline: Hardware | None,
    *,
    less: int = 0,
    allow: Collection[str] = (),
) -> Figures:
    """Divide the baseline's mean by the hardware's, in each cell of the other hardware.

    Args:
        group: the configuration.
        values: of each row of its frame.
        baseline: None for the slowest.
        less: taken off each ratio.
        allow: fields of the identity that may differ.
    """
    over = baseline or group.slowest
    cells: dict[Key, Cell] = {}
    ratios: dict[Key, Ratio] = {}
    refused: list[tuple[Key, Key, tuple[Mismatch, ...]]] = []
    for key in group.keys:
        if key.hardware == over:
            continue
        sides = (key, key._replace(hardware=over))
        differing = mismatches(group, *sides, allow)
        found = _ratio(group, sides, values)
        if isinstance(found, Cell):
            cells[key] = found
        elif differing:
            cells[key] = Cell(state="not comparable")
            refused.append((*sides, differing))
        else:
            ratios[key] = found
    cells.update(zip(ratios, _cells(list(ratios.values()), less), strict=True))
    pairs = ((key, key._replace(hardware=over)) for key in ratios)
    return Figures(
        cells={key: cells[key] for key in group.keys if key in cells},
        means=_geometric_means(group, ratios, less),
        notes=(
            OverBaseline(baseline=over, chosen=baseline is not None, less=less),
            *_on_intervals(list(ratios.values()), less),
            *refusals(refused),
            *apart_in_time(group, pairs),
        ),
    )


def _ratio(group: Configuration, sides: tuple[Key, Key], values: Sequence[float]) -> Ratio | Cell:
    """Return the ratio of a cell and the baseline's, or the cell that says why there is none."""
    states = [group.state(side) for side in sides]
    if states != ["measured", "measured"]:
        return Cell(state=next(state for state in states if state != "measured"))
    ours, theirs = ([values[i] for i in group.completed[side]] for side in sides)
    if not all(0 < value < MOST for value in (*ours, *theirs)):
        return Cell(state="unmeasured")
    return ratio_of_means(theirs, ours)


def _cells(ratios: Sequence[Ratio], less: int) -> list[Cell]:
    cells = []
    for ratio, verdict in zip(ratios, verdicts(ratios), strict=True):
        measured = Cell(state="measured", value=ratio.value - less, n=ratio.n, verdict=verdict)
        if ratio.interval:
            low, high = ratio.interval
            measured = replace(measured, low=low - less, high=high - less)
        cells.append(measured)
    return cells


def _geometric_means(
    group: Configuration, ratios: Mapping[Key, Ratio], less: int
) -> dict[Hardware, Cell]:
    means = {}
    for hardware in group.hardware:
        of_hardware = [ratio for key, ratio in ratios.items() if key.hardware == hardware]
        if of_hardware:
            (means[hardware],) = _cells([geometric_mean(of_hardware)], less)
    return means


def _on_intervals(ratios: Sequence[Ratio], less: int) -> list[Note]:
    judged = sum(ratio.interval is not None for ratio in ratios)
    notes: list[Note] = [RatioIntervals(equal=1 - less, cells=judged)] if judged else []
    return [*notes, SingleRuns()] if judged < len(ratios) else notes
