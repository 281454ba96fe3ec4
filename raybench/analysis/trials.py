"""What was measured, as columns of plain lists: all that the analysis reads.

pandas takes longer to import than the tables take to make; a frame is for who wants one
(``raybench.analysis.frame``).
"""

from __future__ import annotations

import functools
import gc
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from raybench.analysis.columns import COLUMNS
from raybench.analysis.row import Row
from raybench.errors import RecordError, ResultsError, first_lines, printable
from raybench.record.scan import Unreadable, experiments, scan
from raybench.record.store import Experiment

if TYPE_CHECKING:
    import pandas as pd


class Trials:
    """A row for each trial, with the columns of ``COLUMNS``.

    Whatever is unknown is None, but NaN in a column of numbers.
    """

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:
        self._columns = columns
        self.count = len(columns["trial_id"])

    def __getitem__(self, name: str) -> list[Any]:
        return self._columns[name]

    def take(self, rows: Sequence[int]) -> Trials:
        """Return the trials of these rows."""
        return Trials({name: [each[i] for i in rows] for name, each in self._columns.items()})

    @classmethod
    def of(cls, trials: Trials | pd.DataFrame) -> Trials:
        """Return the trials of a frame, or as they are."""
        if isinstance(trials, Trials):
            return trials
        columns = {
            name: trials[name].tolist() if c.dtype == "number" else list(map(_plain, trials[name]))
            for name, c in COLUMNS.items()
        }
        return cls(columns)


def _plain(value: Any) -> Any:
    """Return a value of a frame as Python has it: None for unknown, whole numbers as such."""
    if isinstance(value, (str, list)) or value is None:
        return value
    if type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def tidy(rows: Sequence[Mapping[str, Any]]) -> Trials:
    """Return trials with all of ``COLUMNS``; what a row does not have is unknown."""
    unknown = {name: None if c.dtype != "number" else math.nan for name, c in COLUMNS.items()}
    return Trials({name: [row.get(name, v) for row in rows] for name, v in unknown.items()})


class Loaded(NamedTuple):
    """What could be read, and what could not."""

    trials: Trials
    problems: tuple[str, ...]
    """each file that was left out, and why"""


def load(folders: Sequence[Path]) -> Loaded:
    """Read experiments, folders that hold experiments, or single records.

    Raises:
        ResultsError: a folder does not exist, or none of them holds anything of raybench.
    """
    problems: list[str] = []
    enabled = gc.isenabled()
    gc.disable()  # it would look through a growing list of rows, which holds no cycles
    try:
        trials = fill(_rows(folders, problems))
    finally:
        if enabled:
            gc.enable()
    if not trials.count:
        raise _nothing(folders, problems)
    return Loaded(trials, tuple(problems))


def _rows(folders: Sequence[Path], problems: list[str]) -> Iterator[Row]:
    """Yield a row for each record, then for each planned trial without one; add to problems."""
    seen: dict[tuple[str, str], str] = {}
    attempts = functools.cache(lambda folder: Experiment(folder).attempts())
    for found in scan(folders):
        if isinstance(found, Unreadable):
            problems.append(printable(found.reason))
            continue
        path, record = found
        first = seen.setdefault((record.trial_id, record.started_at), str(path))
        if first != str(path):
            problems.append(printable(f"{path}: the same trial as {first}, counted once"))
            continue
        lesser = attempts(path.parent.parent)[record.trial_id] or None
        yield Row(record.spec, record, record.experiment, str(path), lesser)
    ids = {trial_id for trial_id, _ in seen}
    for experiment in experiments(folders):
        try:
            planned = experiment.planned(without=ids)
        except RecordError as error:
            problems.append(printable(error.message))
            continue
        manifest = str(experiment.folder / "manifest.json")
        yield from (Row(spec, None, experiment.name, manifest) for spec in planned.values())


BLOCK = 100
"""Rows at a time: a record is many times as large as its row, and may go when its block is done."""


def fill(rows: Iterable[Row]) -> Trials:
    """Return the trials of rows, with all of ``COLUMNS``."""
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    rows = iter(rows)
    while _fill(columns, list(itertools.islice(rows, BLOCK))):
        pass
    return Trials(columns)


def _fill(columns: Mapping[str, list[Any]], block: Sequence[Row]) -> bool:
    """Append a block of rows; return whether there were any."""
    parts: dict[str, Sequence[Any]] = {"": block}
    for name, column in COLUMNS.items():
        get = column.get
        values: Sequence[Any] = (
            _part(get, parts)
            if isinstance(get, str)
            else [row.record and get(row.record) for row in block]
        )
        if column.dtype == "text":
            values = [v if v is None or v.isprintable() else printable(v) for v in values]
        elif column.dtype == "number":
            values = [math.nan if v is None else float(v) for v in values]
        columns[name].extend(values)
    return bool(block)


def _part(path: str, parts: dict[str, Sequence[Any]]) -> Sequence[Any]:
    """Return what stands at a dotted path in each row; ``parts`` remembers what was found."""
    if path not in parts:
        above, _, name = path.rpartition(".")
        take = attrgetter(name)
        parts[path] = [None if each is None else take(each) for each in _part(above, parts)]
    return parts[path]


def _nothing(folders: Sequence[Path], problems: Sequence[str]) -> ResultsError:
    named = ", ".join(printable(str(folder)) for folder in folders[:3])
    named += f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    return ResultsError(
        f"no records in {named}{first_lines(problems, 5)}",
        allowed="an experiment's folder, a folder of experiments, or record files",
        hint="run `raybench demo` or `raybench grid` to make some",
    )
