"""What was measured, as columns of plain lists: all that the analysis reads.

pandas takes longer to import than the tables take to make; a frame is for who wants one
(``raybench.analysis.frame``).
"""

from __future__ import annotations

import functools
import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from raybench.analysis.columns import COLUMNS
from raybench.analysis.row import Row, printable
from raybench.errors import RecordError, ResultsError, first_lines
from raybench.record.scan import Unreadable, experiments, scan
from raybench.record.store import Experiment

if TYPE_CHECKING:
    import pandas as pd


class Trials:
    """A row for each trial, with the columns of ``COLUMNS``.

    Whatever is unknown is None, but NaN in a column of numbers.
    """

    def __init__(self, columns: Mapping[str, list[Any]], count: int) -> None:
        self._columns = columns
        self.count = count

    def __getitem__(self, name: str) -> list[Any]:
        return self._columns[name]

    def take(self, rows: Sequence[int]) -> Trials:
        """Return the trials of these rows."""
        columns = {name: [values[i] for i in rows] for name, values in self._columns.items()}
        return Trials(columns, len(rows))

    @classmethod
    def of(cls, trials: Trials | pd.DataFrame) -> Trials:
        """Return the trials of a frame, or as they are."""
        if isinstance(trials, Trials):
            return trials
        columns = {
            name: trials[name].tolist() if c.dtype == "number" else list(map(_plain, trials[name]))
            for name, c in COLUMNS.items()
        }
        return cls(columns, len(trials))


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
    columns = {name: [row.get(name, value) for row in rows] for name, value in unknown.items()}
    return Trials(columns, len(rows))


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
    filled, problems = Filling(), []
    seen: dict[tuple[str, str], str] = {}
    attempts = functools.cache(lambda folder: Experiment(folder).attempts())
    with _without_garbage_collection():
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
            filled.add(Row(record.spec, record, record.experiment, str(path), lesser))
        ids = {trial_id for trial_id, _ in seen}
        for experiment in experiments(folders):
            try:
                planned = experiment.planned(without=ids)
            except RecordError as error:
                problems.append(printable(error.message))
                continue
            manifest = str(experiment.folder / "manifest.json")
            for spec in planned.values():
                filled.add(Row(spec, None, experiment.name, manifest))
        trials = filled.trials()
    if not trials.count:
        raise _nothing(folders, problems)
    return Loaded(trials, tuple(problems))


class Filling:
    """Fills columns one after the other, a block of rows at a time.

    A record is many times as large as its row, and may go when its block is done.
    """

    BLOCK = 100

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._values: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    def add(self, row: Row) -> None:
        """Append a trial."""
        self._rows.append(row)
        if len(self._rows) == self.BLOCK:
            self._fill()

    def trials(self) -> Trials:
        """Return all that were added."""
        self._fill()
        return Trials(self._values, len(self._values["trial_id"]))

    def _fill(self) -> None:
        parts: dict[str, Sequence[Any]] = {"": self._rows}
        for name, column in COLUMNS.items():
            get = column.get
            values: Sequence[Any] = (
                _part(get, parts)
                if isinstance(get, str)
                else [row.record and get(row.record) for row in self._rows]
            )
            if column.dtype == "text":
                values = [v if v is None or v.isprintable() else printable(v) for v in values]
            elif column.dtype == "number":
                values = [math.nan if v is None else float(v) for v in values]
            self._values[name].extend(values)
        self._rows.clear()


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


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Keep the collector from looking through a growing list of rows, which holds no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
