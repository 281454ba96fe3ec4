"""Published results, and one's own compared with them: CSV files of hardware, model, dataset,
running_time_s, accuracy (0 to 1).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raybench.analysis.configurations import Configuration, Key, configurations, known
from raybench.analysis.notes import Note
from raybench.analysis.quantities import Options
from raybench.analysis.row import MOST
from raybench.analysis.tables import make_table
from raybench.analysis.trials import Trials, tidy
from raybench.catalog.hardware import Hardware
from raybench.errors import SpecError, printable, unknown

if TYPE_CHECKING:
    import pandas as pd

REFERENCES = Path(__file__).with_name("references")

MOST_ROWS = 10_000
"""A file with more rows is no table of published results."""

_Label = Annotated[
    str,
    Field(pattern=r"^[\w.][\w.:+ -]{0,63}$", description="letters, digits and . : + - _"),
]


class _Row(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    hardware: _Label
    model: _Label
    dataset: _Label
    running_time_s: float = Field(gt=0, le=MOST, description="seconds above 0")
    accuracy: float = Field(ge=0, le=1, description="a fraction from 0 to 1")


_COLUMNS = ", ".join(_Row.model_fields)


@dataclass(frozen=True, kw_only=True)
class PublishedResults:
    """Published results, their source, and the fields of the spec that are known of them."""

    trials: Trials
    source: str
    workload: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """One's own figure, in seconds or a ratio, with its 95 % interval, beside the published one."""

    quantity: str
    configuration: str
    key: Key
    own: float
    low: float | None
    high: float | None
    published: float

    @property
    def ratio(self) -> float:
        """Own over published."""
        return self.own / self.published


@dataclass(frozen=True, kw_only=True)
class WorkloadDifference(Note):
    """A field of one's own specs that is not what was published; None is no limit."""

    field: str
    own: tuple[str, ...]
    published: str | None


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """One's own results beside published ones: what both have, and how the workload differs."""

    source: str
    cells: tuple[ComparedCell, ...]
    differences: tuple[WorkloadDifference, ...]


PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "li2022": (
        "Juncen Li, Benchmark Deep Neural Network Models, Northeastern University, 2022: "
        "single runs, batch 10, 10 epochs, 224×224",
        {
            **{"batch_size": 10, "epochs": 10, "image_size": 224},
            **{"precision": "fp32", "execution": "eager", "train_limit": None, "eval_limit": None},
        },
    )
}
"""References that come with raybench: their source, and what is known of the workload."""


def load_published(name: str) -> PublishedResults:
    """Read a reference by its name in ``PUBLISHED``, or a CSV file by its path.

    Raises:
        SpecError: there is no such reference, or the file is none.
    """
    where = printable(name)
    source, workload = PUBLISHED.get(name, (where, {}))
    path = REFERENCES / f"{name}.csv" if name in PUBLISHED else Path(name)
    if not path.is_file():
        also = f", or a CSV file with the columns {_COLUMNS}"
        raise unknown("no reference", where, PUBLISHED, also)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = _rows(csv.DictReader(file), where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"cannot read {where}: {printable(str(error))}") from None
    texts = {"status": "completed", "source": where, "reason": "", "warnings": ""}
    trials = tidy([{**texts, **row.model_dump()} for row in rows])
    return PublishedResults(trials=trials, source=source, workload=workload)


def _rows(reader: csv.DictReader[str], where: str) -> list[_Row]:
    lacking = [name for name in _Row.model_fields if name not in (reader.fieldnames or ())]
    if lacking:
        wrong = f"{where}: not a reference, it lacks the columns {', '.join(lacking)}"
        raise SpecError(wrong, allowed=f"a CSV file with {_COLUMNS}")
    rows: list[_Row] = []
    for row in reader:
        if len(rows) == MOST_ROWS:
            raise SpecError(f"{where}: more than {MOST_ROWS:,} rows, not a table of results")
        try:
            rows.append(_Row.model_validate({name: row[name] for name in _Row.model_fields}))
        except ValidationError as error:
            name = str(error.errors()[0]["loc"][0])
            raise SpecError(
                f"{where}, line {reader.line_num}: {name} is {(row[name] or '')[:80]!r}",
                allowed=_Row.model_fields[name].description,
            ) from None
    if not rows:
        raise SpecError(f"{where}: no rows", allowed="a row for each published result")
    return rows


def compare_with_published(
    frame: pd.DataFrame | Trials, published: PublishedResults, options: Options
) -> PublishedComparison:
    """Compare one's own running times and speedups with the published ones, cell by cell."""
    trials = Trials.of(frame)
    (theirs,) = configurations(published.trials)
    found = []
    for group in configurations(trials, options.allow_mismatch):
        baseline = _common_baseline(group, published, options)
        chosen = replace(options, baseline=baseline)
        for name in ["running-time", *(["speedup"] if baseline else [])]:
            figures = make_table(name, theirs, chosen).cells
            for key, own in make_table(name, group, chosen).cells.items():
                figure = figures[key].value if key in figures else None
                if own.value is None or figure is None:
                    continue
                found.append(
                    ComparedCell(
                        quantity=name,
                        configuration=group.name,
                        key=key,
                        own=own.value,
                        low=own.low,
                        high=own.high,
                        published=figure,
                    )
                )
    return PublishedComparison(
        source=published.source, cells=tuple(found), differences=_differences(trials, published)
    )


def _common_baseline(
    group: Configuration, published: PublishedResults, options: Options
) -> Hardware | None:
    """Return the baseline that was asked for, or the slowest published one that was measured."""
    common = set(group.hardware) & {Hardware(label) for label in published.trials["hardware"]}
    if len(common) < 2:
        return None
    if options.baseline in common:
        return options.baseline
    labels = {each.label for each in common}
    rows = [i for i, label in enumerate(published.trials["hardware"]) if label in labels]
    return configurations(published.trials.take(rows))[0].slowest


def _differences(trials: Trials, published: PublishedResults) -> tuple[WorkloadDifference, ...]:
    found = []
    for name, value in published.workload.items():
        own = tuple(sorted({str(v) for v in trials[name] if known(v) is not None}))
        theirs = None if value is None else str(value)
        if own != (() if theirs is None else (theirs,)):
            found.append(WorkloadDifference(field=name, own=own, published=theirs))
    return tuple(found)
