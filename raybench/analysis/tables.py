"""Running time, accuracy, speedup and more: models down, hardware × dataset across.

Trials are pooled in a cell only if they are repeats of one measurement. Where a field of the
identity varies within a (model, dataset, hardware), as in a grid over batch sizes, each of its
values has tables of its own (``configurations``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raybench.analysis import notes, stability
from raybench.analysis.cells import Cell, mean_figures, ratio_figures
from raybench.analysis.configurations import Configuration, Key, configurations
from raybench.analysis.notes import Note
from raybench.analysis.quantities import DEFAULT_TABLES, QUANTITIES, Options, Quantity
from raybench.analysis.trials import Trials
from raybench.catalog.hardware import Hardware
from raybench.errors import SpecError, unknown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, to be rendered by ``raybench.report``: models down, (hardware, dataset) across.

    Ratios have a baseline, and geometric means over the cells of a hardware. The notes are on
    these figures alone.
    """

    quantity: Quantity
    configuration: str
    baseline: Hardware | None = None
    models: tuple[str, ...]
    columns: tuple[tuple[Hardware, str], ...]
    cells: Mapping[Key, Cell]
    means: Mapping[Hardware, Cell]
    notes: tuple[Note, ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """The tables of one configuration, and what a reader has to know of all of them."""

    configuration: str
    tables: tuple[Table, ...]
    notes: tuple[Note, ...]


def make_tables(
    frame: pd.DataFrame | Trials,
    names: Sequence[str] = DEFAULT_TABLES,
    options: Options | None = None,
) -> list[Section]:
    """Make tables of a frame of ``raybench.analysis.frame``, a section for each configuration.

    Raises:
        SpecError: a table, the baseline or a field is unknown, or an option is lacking.
    """
    options = options or Options()
    for name in names:
        if name not in QUANTITIES:
            raise unknown("unknown table", name, QUANTITIES)
    trials = Trials.of(frame)
    found = configurations(trials, options.allow_mismatch)
    labels = set(trials["hardware"])
    unpriced = set(options.prices or ()) - labels
    if unpriced:
        raise SpecError(
            f"a price for {', '.join(sorted(unpriced))}, which has no results",
            allowed=", ".join(sorted(labels)),
        )
    check_baseline(options.baseline, found)
    return [
        Section(
            configuration=group.name,
            tables=tuple(make_table(name, group, options) for name in names),
            notes=notes_of(group, options),
        )
        for group in found
    ]


def notes_of(group: Configuration, options: Options) -> tuple[Note, ...]:
    """Return what a reader has to know of all figures of a configuration."""
    found = notes.of_configuration(group, options.allow_mismatch)
    return (*found, *stability.of_configuration(group))


def check_baseline(baseline: Hardware | None, groups: Sequence[Configuration]) -> None:
    """Refuse a baseline that has no results.

    Raises:
        SpecError: with the nearest.
    """
    known = {hardware for group in groups for hardware in group.hardware}
    if baseline is not None and baseline not in known:
        names = [str(hardware) for hardware in sorted(known)]
        raise unknown("no results on the baseline", str(baseline), names)


def make_table(name: str, group: Configuration, options: Options) -> Table:
    """Make one table of one configuration, whose baseline is known to have results."""
    quantity = QUANTITIES[name]
    values = quantity.values(group.trials, options)
    quantity = quantity.with_options(options)
    baseline = None
    if quantity.less is None:
        figures = mean_figures(group, quantity, values)
    else:
        baseline = options.baseline or group.slowest
        figures = ratio_figures(group, quantity.less, values, options)
    hardware = (each for each in group.hardware if each != baseline)
    return Table(
        quantity=quantity,
        configuration=group.name,
        baseline=baseline,
        models=group.models,
        columns=tuple((each, dataset) for each in hardware for dataset in group.datasets),
        cells=figures.cells,
        means=figures.means,
        notes=tuple(figures.notes),
    )
