"""Records, a Tune ExperimentAnalysis or a ResultGrid as one tidy DataFrame: a row for each trial.

``COLUMNS`` documents the columns. A figure that is unknown is missing in the frame too (NaN, NA
or None), and every text is printable, whatever the files held. Failed and interrupted trials are
rows as well, and so are planned trials without a record: their status is ``missing``.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from raybench.analysis.columns import COLUMNS, Dtype
from raybench.analysis.row import Row, printable
from raybench.errors import RecordError, ResultsError, SpecError
from raybench.record.scan import Unreadable, experiments, scan
from raybench.record.schema import TrialRecord
from raybench.record.upgrades import read_record
from raybench.spec.trial import trial_spec


class Loaded(NamedTuple):
    """What could be read, and what could not."""

    frame: pd.DataFrame
    """a row for each trial, with the columns of ``COLUMNS``"""
    problems: tuple[str, ...]
    """each file that was left out, and why"""


def load(folders: Sequence[Path]) -> Loaded:
    """Read experiments, folders that hold experiments, or single records.

    Raises:
        ResultsError: a folder does not exist, or none of them holds anything of raybench.
    """
    filled, problems = _Columns(), []
    seen: dict[tuple[str, str], str] = {}
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
            filled.add(Row(record.spec, record, record.experiment, str(path)))
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
        frame = filled.frame()
    if frame.empty:
        raise _nothing(folders, problems)
    return Loaded(frame, tuple(problems))


def from_records(records: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return the frame of records that are at hand."""
    filled = _Columns()
    for record in records:
        filled.add(Row(record.spec, record, record.experiment))
    return filled.frame()


def from_experiment_analysis(results: Any) -> pd.DataFrame:
    """Return the frame of a raybench grid's ExperimentAnalysis or ResultGrid, or of a list of them.

    Each trial's last result holds its record; one without it never reported, and is ``missing``.
    The rows stand in the order in which the records of a folder are read.

    Raises:
        ResultsError: a trial is none of raybench.
        RecordError: a record is damaged or of a newer version.
    """
    rows = [_reported_row(metrics, config) for metrics, config in _last_results(results)]
    filled = _Columns()
    for row in sorted(
        rows, key=lambda row: row.record.trial_id if row.record else row.spec.trial_id
    ):
        filled.add(row)
    return filled.frame()


def save(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV, JSON or Parquet, by the file's suffix.

    In a CSV file a text that a spreadsheet would take for a formula gets an apostrophe before it.

    Raises:
        ResultsError: the suffix is another, or the file cannot be written.
    """
    if path.suffix not in (".csv", ".json", ".parquet"):
        raise ResultsError(
            f"cannot save the trials as {printable(str(path))}", allowed=".csv, .json or .parquet"
        )
    try:
        if path.suffix == ".csv":
            _without_formulas(frame).to_csv(path, index=False)
        elif path.suffix == ".json":
            frame.to_json(path, orient="records", indent=1, double_precision=15)
        else:
            frame.to_parquet(path, index=False)
    except OSError as error:
        raise ResultsError(f"cannot write {printable(str(path))}: {error.strerror}") from None
    except ImportError:
        raise ResultsError(
            f"cannot write {printable(str(path))}: Parquet needs pyarrow",
            hint="pip install pyarrow, or save as .csv or .json",
        ) from None


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    def text(value: Any) -> Any:
        formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
        return f"'{value}" if formula else value

    texts = (name for name, column in COLUMNS.items() if column.dtype == "text")
    return frame.assign(**{name: frame[name].map(text) for name in texts})


def _last_results(results: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    if hasattr(results, "trials"):  # an ExperimentAnalysis
        for trial in results.trials:
            yield trial.last_result or {}, trial.config or {}
        return
    for result in results:
        if hasattr(result, "metrics"):
            yield result.metrics or {}, result.config or {}
        else:  # one of a large plan's several Tune experiments
            yield from _last_results(result)


def _reported_row(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> Row:
    if "record" in metrics:
        content = metrics["record"]
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        record = read_record(text, "a Tune result")
        return Row(record.spec, record, record.experiment)
    try:
        return Row(trial_spec(config["trial"]), None)
    except (KeyError, TypeError, SpecError):
        raise ResultsError(
            "a Tune result holds neither a record nor a trial of raybench",
            allowed="the results of raybench.grid",
        ) from None


def _nothing(folders: Sequence[Path], problems: Sequence[str]) -> ResultsError:
    named = ", ".join(printable(str(folder)) for folder in folders[:3])
    named += f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    shown = "".join(f"\n{problem}" for problem in problems[:5])
    more = f"\n… and {len(problems) - 5} more" if len(problems) > 5 else ""
    return ResultsError(
        f"no records in {named}{shown}{more}",
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


def tidy_frame(columns: Mapping[str, Sequence[Any]], length: int) -> pd.DataFrame:
    """Return a frame with all of ``COLUMNS``; those that are not given are unknown throughout."""
    unknown = [None] * length
    return pd.DataFrame(
        {
            name: pd.Series(columns.get(name, unknown), dtype=_DTYPES[column.dtype])
            for name, column in COLUMNS.items()
        }
    )


_DTYPES: dict[Dtype, Any] = {
    **{"number": "float64", "count": "Int64", "flag": "boolean"},
    **{"text": "object", "list": "object"},
}


class _Columns:
    """Fills the columns one after the other, a block of rows at a time.

    A record is many times as large as its row, and may go when its block is done.
    """

    BLOCK = 100

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._values: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == self.BLOCK:
            self._fill()

    def frame(self) -> pd.DataFrame:
        self._fill()
        return tidy_frame(self._values, len(self._values["trial_id"]))

    def _fill(self) -> None:
        parts: dict[str, Sequence[Any]] = {"": self._rows}
        for name, column in COLUMNS.items():
            get = column.get
            values: Sequence[Any] = (
                _part(get, parts) if isinstance(get, str) else list(map(get, self._rows))
            )
            if column.dtype == "text":
                values = [v if v is None or v.isprintable() else printable(v) for v in values]
            self._values[name].extend(values)
        self._rows.clear()


def _part(path: str, parts: dict[str, Sequence[Any]]) -> Sequence[Any]:
    """Return what stands at a dotted path in each row; ``parts`` remembers what was found."""
    if path not in parts:
        above, _, name = path.rpartition(".")
        take = attrgetter(name)
        parts[path] = [None if each is None else take(each) for each in _part(above, parts)]
    return parts[path]
