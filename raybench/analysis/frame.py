"""Records, a Tune ExperimentAnalysis or a ResultGrid as one tidy DataFrame: a row for each trial.

``COLUMNS`` documents the columns. A figure that is unknown is missing in the frame too (NaN, NA
or None), and every text is printable, whatever the files held. Failed and interrupted trials are
rows as well, and so are planned trials without a record: their status is ``missing``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from raybench.analysis.columns import COLUMNS, Dtype
from raybench.analysis.row import Row
from raybench.analysis.trials import Trials, fill
from raybench.errors import ResultsError, SpecError, printable
from raybench.record.schema import TrialRecord
from raybench.record.upgrades import read_record
from raybench.spec.trial import trial_spec


def to_frame(found: Trials) -> pd.DataFrame:
    """Return the frame of trials."""
    columns = COLUMNS.items()
    return pd.DataFrame(
        {name: pd.Series(found[name], dtype=_DTYPES[c.dtype]) for name, c in columns}
    )


def from_records(records: Iterable[TrialRecord]) -> pd.DataFrame:
    """Return the frame of records that are at hand."""
    return to_frame(fill(Row(record.spec, record, record.experiment) for record in records))


def from_experiment_analysis(results: Any) -> pd.DataFrame:
    """Return the frame of a raybench grid's ExperimentAnalysis or ResultGrid, or of a list of them.

    Each trial's last result holds its record; one without it never reported, and is ``missing``.
    The rows stand in the order in which the records of a folder are read.

    Raises:
        ResultsError: a trial is none of raybench.
        RecordError: a record is damaged or of a newer version.
    """
    rows = itertools.starmap(_reported_row, _last_results(results))
    return to_frame(fill(sorted(rows, key=lambda row: row.trial_id)))


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


_DTYPES: dict[Dtype, Any] = {
    **{"number": "float64", "count": "Int64", "flag": "boolean"},
    **{"text": "object", "list": "object"},
}
