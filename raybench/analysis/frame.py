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
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from raybench.analysis.columns import COLUMNS, DTYPES, missing_row, printable, record_row
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
    rows, problems = [], []
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
            rows.append(record_row(record, str(path)))
        ids = {row[0] for row in rows}
        for experiment in experiments(folders):
            try:
                planned = experiment.planned(without=ids)
            except RecordError as error:
                problems.append(printable(error.message))
                continue
            manifest = str(experiment.folder / "manifest.json")
            rows.extend(missing_row(spec, experiment.name, manifest) for spec in planned.values())
        if not rows:
            raise _nothing(folders, problems)
        return Loaded(_frame(rows), tuple(problems))


def from_records(records: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return the frame of records that are at hand."""
    return _frame([record_row(record, "") for record in records])


def from_experiment_analysis(results: Any) -> pd.DataFrame:
    """Return the frame of a raybench grid's ExperimentAnalysis or ResultGrid, or of a list of them.

    Each trial's last result holds its record; one without it never reported, and is ``missing``.
    The rows stand in the order in which the records of a folder are read.

    Raises:
        ResultsError: a trial is none of raybench.
        RecordError: a record is damaged or of a newer version.
    """
    rows = [_reported_row(metrics, config) for metrics, config in _last_results(results)]
    trial_id = list(COLUMNS).index("trial_id")
    return _frame(sorted(rows, key=lambda row: str(row[trial_id])))


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

    texts = (name for name, (kind, _) in COLUMNS.items() if kind == "text")
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


def _reported_row(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Any, ...]:
    if "record" in metrics:
        content = metrics["record"]
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        return record_row(read_record(text, "a Tune result"), "")
    try:
        return missing_row(trial_spec(config["trial"]), "", "")
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
            name: pd.Series(columns.get(name, unknown), dtype=DTYPES.get(kind, "object"))
            for name, (kind, _) in COLUMNS.items()
        }
    )


def _frame(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    columns = zip(*rows, strict=True) if rows else ()
    return tidy_frame(dict(zip(COLUMNS, columns, strict=bool(rows))), len(rows))
