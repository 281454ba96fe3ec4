"""The mean of each cell's repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from raybench.analysis.configurations import Configuration, Key
from raybench.analysis.notes import Note
from raybench.analysis.quantities import Quantity
from raybench.analysis.row import MOST
from raybench.analysis.statistics import Verdict, mean
from raybench.catalog.hardware import Hardware

State = Literal[
    "measured", "unmeasured", "failed", "interrupted", "missing", "not comparable", "absent"
]
"""``unmeasured``: it completed, but without this figure; ``absent``: it was never planned."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of a table, unrounded.

    Attributes:
        state: whether there is a figure, or why not.
        value: the mean or ratio.
        low, high: its 95 % interval, None for a single run.
        n: independent repeats; of the side with fewer for a ratio.
        verdict: of a ratio with an interval.
    """

    state: State
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a table is made of.

    Attributes:
        cells: by (model, dataset, hardware), in the order of the configuration's.
        means: geometric means over the cells of a hardware, for ratios.
        notes: what a reader has to know of these figures alone.
    """

    cells: Mapping[Key, Cell]
    means: Mapping[Hardware, Cell] = field(default_factory=dict)
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class MeanIntervals(Note):
    """Some means have an interval."""


@dataclass(frozen=True, kw_only=True)
class Unmeasured(Note):
    """Cells that completed without this figure, and why."""

    reason: str
    cells: tuple[Key, ...]


def mean_figures(group: Configuration, quantity: Quantity, values: Sequence[float]) -> Figures:
    """Pool the trials of each cell; ``values`` has the quantity of each row of the frame."""
    cells = {key: _mean(group, key, quantity, values) for key in group.keys}
    notes: list[Note] = []
    unmeasured = tuple(key for key, cell in cells.items() if cell.state == "unmeasured")
    if unmeasured:
        notes.append(Unmeasured(reason=quantity.unmeasured, cells=unmeasured))
    if any(cell.low is not None for cell in cells.values()):
        notes.append(MeanIntervals())
    return Figures(cells=cells, notes=tuple(notes))


def _mean(group: Configuration, key: Key, quantity: Quantity, values: Sequence[float]) -> Cell:
    state = group.state(key)
    if state != "measured":
        return Cell(state=state)
    samples = [values[i] for i in group.completed[key] if abs(values[i]) < MOST]
    whole = len(samples) == len(group.completed[key])
    if not samples or (quantity.of_every_trial and not whole):
        return Cell(state="unmeasured")
    found = mean(samples)
    if found.half_width is None:
        return Cell(state="measured", value=found.value, n=found.n)
    low, high = found.value - found.half_width, found.value + found.half_width
    return Cell(state="measured", value=found.value, low=low, high=high, n=found.n)
