"""Published results, to be set beside one's own: CSV files of hardware, model, dataset,
running_time_s, accuracy (0 to 1).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from raybench.analysis.columns import MOST, printable
from raybench.analysis.configurations import Configuration, Key, configurations
from raybench.analysis.frame import tidy_frame
from raybench.analysis.tables import Cell, Options, make_table, make_tables
from raybench.catalog.hardware import Hardware
from raybench.errors import SpecError, nearest

COLUMNS_OF_REFERENCE = ("hardware", "model", "dataset", "running_time_s", "accuracy")

MOST_ROWS = 10_000
"""A file with more rows is no table of published results."""

_NAME = re.compile(r"[\w.][\w.:+ -]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Published results.

    Attributes:
        name: what ``--reference`` was given.
        frame: a row for each result, with the columns of ``raybench.analysis.frame``.
        source: where they were published, or the file.
        workload: fields of the spec that are known of them.
    """

    name: str
    frame: pd.DataFrame
    source: str
    workload: Mapping[str, Any] = field(default_factory=dict)


PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "li2022": (
        "Juncen Li, Benchmark Deep Neural Network Models, Northeastern University, 2022: "
        "single runs, batch 10, 10 epochs, 224×224",
        {
            **{"batch_size": 10, "epochs": 10, "image_size": 224},
            **{"precision": "fp32", "execution": "eager"},
        },
    )
}
"""References that come with raybench: their source, and what is known of the workload."""


def load_reference(name: str) -> Reference:
    """Read a reference by its name in ``PUBLISHED``, or a CSV file by its path.

    Raises:
        SpecError: there is no such reference, or the file is none.
    """
    if name in PUBLISHED:
        source, workload = PUBLISHED[name]
        text = resources.files("raybench.analysis") / "references" / f"{name}.csv"
        rows = _rows(text.read_text(encoding="utf-8").splitlines(), name)
        return Reference(name=name, frame=_frame(rows, name), source=source, workload=workload)
    path = Path(name)
    if not path.is_file():
        raise SpecError(
            f"no reference {printable(name)!r}. {nearest(name, PUBLISHED)}".rstrip(),
            allowed=f"{', '.join(PUBLISHED)}, or a CSV file with the columns "
            + ", ".join(COLUMNS_OF_REFERENCE),
        )
    where = printable(str(path))
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = _rows(file, where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"cannot read {where}: {printable(str(error))}") from None
    return Reference(name=path.stem, frame=_frame(found, where), source=where)


def beside(
    frame: pd.DataFrame, reference: Reference, options: Options
) -> tuple[list[dict[str, Any]], list[str]]:
    """Set one's own running times and speedups beside the published ones, cell by cell.

    Returns:
        A row for each cell that both have: ``quantity`` (running time or speedup), model,
        dataset, hardware, ``own`` with its 95 % interval ``low`` and ``high`` (None for a single
        run), ``published``, and ``ratio``, own over published. And notes: how one's own workload
        differs from the published one.
    """
    rows = []
    for group in configurations(frame, options.allow_mismatch):
        baseline = _common_baseline(group, reference, options)
        chosen = replace(options, baseline=baseline)
        for name in ["running-time", *(["speedup"] if baseline else [])]:
            (published,) = make_tables(reference.frame, [name], chosen)
            own = make_table(name, group, chosen)
            for key, cell in own.cells.items():
                theirs = published.cells.get(key)
                if cell.value is not None and theirs is not None and theirs.value is not None:
                    rows.append(_beside(name, group, key, cell, theirs.value))
    return rows, _differences(frame, reference)


def _beside(
    name: str, group: Configuration, key: Key, own: Cell, published: float
) -> dict[str, Any]:
    assert own.value is not None
    return {
        "quantity": name,
        "configuration": group.name,
        **key.document(),
        "own": own.value,
        "low": own.low,
        "high": own.high,
        "published": published,
        "ratio": own.value / published,
    }


def _common_baseline(
    group: Configuration, reference: Reference, options: Options
) -> Hardware | None:
    """Return the baseline that was asked for, or the slowest published one that was measured."""
    common = set(group.hardware) & {Hardware(label) for label in reference.frame["hardware"]}
    if len(common) < 2:
        return None
    if options.baseline in common:
        return options.baseline
    labels = [hardware.label for hardware in common]
    shared = reference.frame[reference.frame["hardware"].isin(labels)]
    return configurations(shared)[0].slowest


def _differences(frame: pd.DataFrame, reference: Reference) -> list[str]:
    notes = []
    for name, value in reference.workload.items():
        own = sorted({str(v) for v in frame[name].dropna()})
        if own != [str(value)]:
            notes.append(f"{name} is {', '.join(own)}, published with {value}")
    limited = [name for name in ("train_limit", "eval_limit") if frame[name].notna().any()]
    if reference.workload and limited:
        notes.append(f"{' and '.join(limited)} set, published with all images")
    return notes


def _rows(lines: Any, where: str) -> list[dict[str, Any]]:
    reader = csv.DictReader(lines)
    lacking = [name for name in COLUMNS_OF_REFERENCE if name not in (reader.fieldnames or ())]
    if lacking:
        raise SpecError(
            f"{where}: not a reference, it lacks the columns {', '.join(lacking)}",
            allowed=f"a CSV file with {', '.join(COLUMNS_OF_REFERENCE)}",
        )
    rows: list[dict[str, Any]] = []
    for row in reader:
        if len(rows) == MOST_ROWS:
            raise SpecError(f"{where}: more than {MOST_ROWS:,} rows, not a table of results")
        rows.append(_row(row, f"{where}, line {reader.line_num}"))
    if not rows:
        raise SpecError(f"{where}: no rows", allowed="a row for each published result")
    return rows


def _row(row: Mapping[str, str | None], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("hardware", "model", "dataset"):
        value = (row[name] or "").strip()
        if not _NAME.fullmatch(value):
            raise SpecError(
                f"{where}: {name} is {value[:80]!r}", allowed="letters, digits and . : + - _"
            )
        found[name] = value
    for name, most in (("running_time_s", MOST), ("accuracy", 1.0)):
        value = (row[name] or "").strip()
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not (0 < number <= most or number == 0 == most - 1):
            raise SpecError(
                f"{where}: {name} is {value[:80]!r}",
                allowed="a fraction from 0 to 1" if most == 1 else "seconds above 0",
            )
        found[name] = number
    return found


def _frame(rows: list[dict[str, Any]], source: str) -> pd.DataFrame:
    columns = {name: [row[name] for row in rows] for name in COLUMNS_OF_REFERENCE}
    frame = tidy_frame(columns, len(rows))
    return frame.assign(status="completed", source=source, reason="", warnings="")
