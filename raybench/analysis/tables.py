"""Running time, accuracy, speedup and more: models down, hardware × dataset across.

Trials are pooled in a cell only if they are repeats of one measurement. Where a field of the
identity varies within a (model, dataset, hardware), as in a grid over batch sizes, each of its
values has tables of its own (``configurations``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from raybench.analysis import notes
from raybench.analysis.columns import MOST
from raybench.analysis.configurations import Configuration, Key, configurations, mismatches
from raybench.analysis.stability import unsteady
from raybench.analysis.statistics import Mean, Ratio, geometric_mean, mean, ratio_of_means, verdicts
from raybench.catalog.hardware import Hardware
from raybench.errors import SpecError, nearest

State = Literal[
    "measured", "unmeasured", "failed", "interrupted", "missing", "not comparable", "absent"
]
"""``unmeasured``: it completed, but without this figure; ``absent``: it was never planned."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A figure that a table shows.

    Attributes:
        title: the table's heading.
        unit: ``s``, ``%`` (of a fraction), ``×`` (a ratio) …
        decimals: shown for a single run; means show what their interval supports.
        meaning: what a reader has to know of it, or "".
    """

    title: str
    unit: str
    decimals: int = 4
    meaning: str = ""


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
    verdict: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, to be rendered by ``raybench.report.text``.

    Attributes:
        name: ``running-time``, ``accuracy``, ``speedup`` …
        configuration: what its trials have in common beside other tables' trials, or "".
        baseline: the hardware that ratios are over, or None.
        models: the rows.
        columns: (hardware, dataset).
        cells: by (model, dataset, hardware).
        means: geometric means over the cells of a hardware, for ratios.
        notes: what a reader has to know of these figures.
    """

    name: str
    quantity: Quantity
    configuration: str
    baseline: Hardware | None = None
    models: tuple[str, ...]
    columns: tuple[tuple[Hardware, str], ...]
    cells: Mapping[Key, Cell]
    means: Mapping[Hardware, Cell]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the tables depend on beside the trials.

    Attributes:
        baseline: the hardware that speedups are over; None is the slowest.
        allow_mismatch: fields of the identity that may differ nevertheless.
        prices: price of an hour on the hardware of each label.
        currency: of the prices.
        target_accuracy: for the time to an accuracy, 0 to 1.
    """

    baseline: Hardware | None = None
    allow_mismatch: Collection[str] = ()
    prices: Mapping[str, float] | None = None
    currency: str = ""
    target_accuracy: float | None = None


DEFAULT_TABLES = ("running-time", "accuracy", "speedup")

_ENERGY = "the energy of all timed epochs, evaluation included, over the images trained on"

QUANTITIES: dict[str, Quantity] = {
    "running-time": Quantity(title="Running time", unit="s"),
    "accuracy": Quantity(title="Accuracy", unit="%"),
    "speedup": Quantity(title="Speedup", unit="×"),
    "improvement": Quantity(title="Improvement (speedup − 1)", unit="×"),
    "images-per-s": Quantity(title="Training images per second", unit="1/s", decimals=2),
    "compute-only-images-per-s": Quantity(
        title="Training images per second, compute only",
        unit="1/s",
        decimals=2,
        meaning="of the same training step on a batch that is already on the device",
    ),
    "energy-per-image": Quantity(title="Energy per training image", unit="J", meaning=_ENERGY),
    "images-per-joule": Quantity(title="Training images per joule", unit="1/J", meaning=_ENERGY),
    "mfu": Quantity(
        title="Model FLOPs utilisation",
        unit="%",
        decimals=2,
        meaning="operations that training the model takes, over what the datasheet's peak of that "
        "precision would do in the same time",
    ),
    "cost": Quantity(title="Cost", unit=""),
    "time-to-accuracy": Quantity(
        title="Time to accuracy",
        unit="s",
        meaning="training and evaluation up to the end of the first epoch that reaches it",
    ),
}
"""Every table that there is, by the name that ``--table`` takes."""


def make_tables(
    frame: pd.DataFrame,
    names: Sequence[str] = DEFAULT_TABLES,
    options: Options | None = None,
) -> list[Table]:
    """Make tables of a frame of ``raybench.analysis.frame``, for each configuration in it.

    Raises:
        SpecError: a table, the baseline or a field is unknown, or an option is lacking.
    """
    options = options or Options()
    for name in names:
        if name not in QUANTITIES:
            raise SpecError(
                f"unknown table {name!r}. {nearest(name, QUANTITIES)}".rstrip(),
                allowed=", ".join(QUANTITIES),
            )
    found = configurations(frame, options.allow_mismatch)
    unknown = set(options.prices or ()) - set(frame["hardware"])
    if unknown:
        raise SpecError(
            f"a price for {', '.join(sorted(unknown))}, which has no results",
            allowed=", ".join(sorted(set(frame["hardware"]))),
        )
    check_baseline(options.baseline, {hardware for group in found for hardware in group.hardware})
    return [make_table(name, group, options) for group in found for name in names]


def check_baseline(baseline: Hardware | None, known: Collection[Hardware]) -> None:
    """Refuse a baseline that has no results.

    Raises:
        SpecError: with the nearest.
    """
    if baseline is not None and baseline not in known:
        names = [str(hardware) for hardware in sorted(known)]
        raise SpecError(
            f"no results on the baseline '{baseline}'. {nearest(str(baseline), names)}".rstrip(),
            allowed=", ".join(names),
        )


def make_table(name: str, group: Configuration, options: Options) -> Table:
    """Make one table of one configuration, whose baseline is known to have results."""
    if name in ("speedup", "improvement"):
        return _ratio_table(name, group, options)
    quantity, values = _values(name, group.frame, options)
    whole = name == "time-to-accuracy"
    cells = {key: _mean_cell(group, key, values, whole=whole) for key in group.keys}
    said = [quantity.meaning] if quantity.meaning else []
    said += notes.of_group(group, options.allow_mismatch)
    if name == "running-time":
        said += unsteady(group)
    unmeasured = [key for key in group.keys if cells[key].state == "unmeasured"]
    if unmeasured:
        why = _UNMEASURED.get(name, "not measured in")
        said.append(f"n/a: {why} {notes.named(map(group.title, unmeasured))}")
    if any(cell.low is not None for cell in cells.values()):
        said.append("±: 95 % interval of the mean over independent repeats (Student's t)")
    return Table(
        name=name,
        quantity=quantity,
        configuration=group.name,
        models=group.models,
        columns=tuple((h, d) for h in group.hardware for d in group.datasets),
        cells=cells,
        means={},
        notes=tuple(said),
    )


_UNMEASURED = {
    "cost": "no price was given for",
    "time-to-accuracy": "not reached by every trial of",
}


def _mean_cell(group: Configuration, key: Key, values: Sequence[float], *, whole: bool) -> Cell:
    """Pool a cell's trials; ``whole`` refuses the mean of those alone that have the figure."""
    state = group.state(key)
    if state != "measured":
        return Cell(state=state)
    samples = [values[i] for i in group.completed[key] if abs(values[i]) < MOST]
    if not samples or (whole and len(samples) < len(group.completed[key])):
        return Cell(state="unmeasured")
    found: Mean = mean(samples)
    if found.half_width is None:
        return Cell(state="measured", value=found.value, n=found.n)
    low, high = found.value - found.half_width, found.value + found.half_width
    return Cell(state="measured", value=found.value, low=low, high=high, n=found.n)


def _ratio_table(name: str, group: Configuration, options: Options) -> Table:
    """Divide the baseline's mean time by the hardware's, cell by cell."""
    baseline = options.baseline or group.slowest
    compared = tuple(hardware for hardware in group.hardware if hardware != baseline)
    times = group.frame["running_time_s"].tolist()
    cells: dict[Key, Cell] = {}
    ratios: dict[Key, Ratio] = {}
    refused: dict[tuple[str, ...], list[Key]] = {}
    for key in group.keys:
        model, dataset, hardware = key
        over = Key(model, dataset, baseline)
        if hardware == baseline:
            continue
        states = [group.state(key), group.state(over)]
        differing = mismatches(group, key, over, options.allow_mismatch)
        if states != ["measured", "measured"]:
            cells[key] = Cell(state=next(state for state in states if state != "measured"))
        elif differing:
            cells[key] = Cell(state="not comparable")
            refused.setdefault(tuple(differing), []).append(key)
        else:
            sides = ([times[i] for i in group.completed[k]] for k in (over, key))
            ratios[key] = ratio_of_means(*sides)
    cells.update(zip(ratios, _ratio_cells(list(ratios.values())), strict=True))
    cells = {key: cells[key] for key in group.keys if key in cells}
    means = {}
    for hardware in compared:
        of_hardware = [ratio for key, ratio in ratios.items() if key.hardware == hardware]
        if of_hardware:
            means[hardware] = _ratio_cells([geometric_mean(of_hardware)])[0]
    if name == "improvement":
        cells = {key: _less_one(cell) for key, cell in cells.items()}
        means = {hardware: _less_one(cell) for hardware, cell in means.items()}
    return Table(
        name=name,
        quantity=QUANTITIES[name],
        configuration=group.name,
        baseline=baseline,
        models=group.models,
        columns=tuple((h, d) for h in compared for d in group.datasets),
        cells=cells,
        means=means,
        notes=(
            *_ratio_notes(name, options, baseline, list(ratios.values())),
            *notes.refusals(group, refused),
            *notes.apart_in_time(group, ((k, k._replace(hardware=baseline)) for k in ratios)),
            *notes.of_group(group, options.allow_mismatch),
        ),
    )


def _ratio_cells(ratios: Sequence[Ratio]) -> list[Cell]:
    cells = []
    for ratio, verdict in zip(ratios, verdicts(ratios), strict=True):
        low, high = ratio.interval or (None, None)
        measured = Cell(state="measured", value=ratio.value, low=low, high=high, n=ratio.n)
        cells.append(replace(measured, verdict=verdict))
    return cells


def _less_one(cell: Cell) -> Cell:
    def less(value: float | None) -> float | None:
        return None if value is None else value - 1

    return replace(cell, value=less(cell.value), low=less(cell.low), high=less(cell.high))


def _ratio_notes(
    name: str, options: Options, baseline: Hardware, ratios: Sequence[Ratio]
) -> list[str]:
    less, equal = (", less 1", 0) if name == "improvement" else ("", 1)
    slowest = ", the slowest measured (--baseline chooses another)"
    said = [
        f"mean running time on {baseline}{'' if options.baseline else slowest}, "
        f"divided by that on the column's hardware{less}"
    ]
    judged = [ratio for ratio in ratios if ratio.interval]
    if judged:
        said.append(
            "[ ]: 95 % interval on the log scale (Welch); ≈: not distinguishable from "
            f"{equal} (5 %{holms(len(judged))})"
        )
    if len(judged) < len(ratios):
        said.append("a single run on either side has no interval and no verdict")
    return said


def holms(cells: int) -> str:
    """Say what verdicts were corrected for."""
    return f", Holm's correction for {cells} cells" if cells > 1 else ""


def _values(name: str, frame: pd.DataFrame, options: Options) -> tuple[Quantity, Sequence[float]]:
    """Return a quantity and its value for each row, NaN where it is unknown."""
    quantity = QUANTITIES[name]
    if name == "cost":
        return _cost(quantity, frame, options)
    if name == "time-to-accuracy":
        return _time_to_accuracy(quantity, frame, options)
    columns: dict[str, Callable[[], Any]] = {
        "running-time": lambda: frame["running_time_s"],
        "accuracy": lambda: frame["accuracy"],
        "images-per-s": lambda: frame["images_per_s"],
        "compute-only-images-per-s": lambda: frame["compute_only_images_per_s"],
        "energy-per-image": lambda: frame["energy_j"] / frame["trained_images"],
        "images-per-joule": lambda: frame["trained_images"] / frame["energy_j"],
        "mfu": lambda: frame["mfu"],
    }
    return quantity, columns[name]().tolist()


def _cost(
    quantity: Quantity, frame: pd.DataFrame, options: Options
) -> tuple[Quantity, Sequence[float]]:
    if not options.prices:
        raise SpecError("the cost table needs prices", hint="add --price P100=1.46/h")
    rows = zip(frame["hardware"], frame["running_time_s"], strict=True)
    costs = [options.prices.get(hardware, math.nan) * time / 3600 for hardware, time in rows]
    prices = (f"{price:g} an hour on {name}" for name, price in options.prices.items())
    meaning = f"the running time, at {', '.join(prices)}; setup and warm-up cost extra"
    return replace(quantity, unit=options.currency, meaning=meaning), costs


def _time_to_accuracy(
    quantity: Quantity, frame: pd.DataFrame, options: Options
) -> tuple[Quantity, Sequence[float]]:
    target = options.target_accuracy
    if target is None:
        raise SpecError("time-to-accuracy needs a target", hint="add --target-accuracy 0.9")
    values = []
    epochs = zip(frame["epoch_times_s"], frame["epoch_accuracies"], strict=True)
    for times, accuracies in epochs:
        reached = [i for i, value in enumerate(accuracies or ()) if value >= target]
        values.append(math.fsum(times[: reached[0] + 1]) if reached else math.nan)
    return replace(quantity, title=f"Time to an accuracy of {target:.4g}"), values
