"""Tables as text: every format of tabulate, LaTeX with booktabs, CSV and JSON."""

from __future__ import annotations

import csv
import html
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import tabulate

from raybench.analysis.configurations import Key, dataset_title
from raybench.analysis.tables import Cell, Table
from raybench.catalog.hardware import Hardware
from raybench.catalog.models import model_title
from raybench.errors import SpecError, nearest
from raybench.report import latex

OWN_FORMATS = ("latex", "csv", "json")
"""Formats beside tabulate's: LaTeX with booktabs and grouped headings, and two for programs."""

NOTHING = "nothing to compare: results on one hardware only"

_STATE_TEXT = {"absent": "–", "unmeasured": "n/a"}


def render(tables: Sequence[Table], tablefmt: str = "github", *, width: int | None = None) -> str:
    """Render tables with their footnotes, or as one CSV or JSON document.

    Args:
        tables: of ``raybench.analysis.tables``.
        tablefmt: ``latex``, ``csv``, ``json``, or any format of tabulate.
        width: of the terminal in characters; a table of tabulate that is wider is broken up
            between one hardware and the next.

    Raises:
        SpecError: no such format.
    """
    check_format(tablefmt)
    if tablefmt == "json":
        return as_json({"tables": as_document(tables)})
    if tablefmt == "csv":
        return as_csv(
            [
                {name: document[name] for name in ("table", "configuration", "baseline")} | cell
                for document in as_document(tables)
                for cell in document["cells"]
            ]
        )
    if tablefmt == "latex":
        return "\n\n".join(map(_latex, tables))
    return "\n\n".join(_text(table, tablefmt, width) for table in tables)


def check_format(tablefmt: str) -> None:
    """Refuse a format that does not exist.

    Raises:
        SpecError: with the nearest.
    """
    known = [*OWN_FORMATS, *(name for name in tabulate.tabulate_formats if name != "latex")]
    if tablefmt not in known:
        raise SpecError(
            f"unknown format {tablefmt!r}. {nearest(tablefmt, known)}".rstrip(),
            allowed=", ".join(known),
        )


def as_document(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """Return tables for programs: a mapping for each, its cells unrounded."""
    return [
        {
            "table": table.name,
            "title": title(table),
            "configuration": table.configuration,
            "baseline": str(table.baseline) if table.baseline else None,
            "unit": "" if table.quantity.unit in ("%", "×") else table.quantity.unit,
            "cells": [{**key.document(), **_figures(cell)} for key, cell in table.cells.items()],
            "geometric_means": [
                {"hardware": str(hardware), **_figures(cell)}
                for hardware, cell in table.means.items()
            ],
            "notes": list(table.notes),
        }
        for table in tables
    ]


def _figures(cell: Cell) -> dict[str, Any]:
    return finite(asdict(cell))


def finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures with None for what JSON cannot say: NaN and infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def title(table: Table) -> str:
    """Return ``Speedup over K80 — batch_size 64``."""
    unit = table.quantity.unit
    shown = f" ({unit})" if unit and unit != "×" else ""
    over = f" over {table.baseline}" if table.baseline else ""
    configuration = f" — {table.configuration}" if table.configuration else ""
    return f"{table.quantity.title}{shown}{over}{configuration}"


def cell_text(table: Table, cell: Cell | None) -> str:
    """Return a cell rounded to what its interval supports, or the reason why it is empty."""
    if cell is None or cell.state != "measured" or cell.value is None:
        return "–" if cell is None else _STATE_TEXT.get(cell.state, cell.state)
    quantity = table.quantity
    percent = "%" if quantity.unit == "%" else ""
    scale = 100 if percent else 1
    value = cell.value * scale
    if cell.low is None or cell.high is None:
        return f"{value:.{quantity.decimals}f}{percent}"
    low, high = cell.low * scale, cell.high * scale
    decimals = decimals_of((high - low) / 2, quantity.decimals)
    if quantity.unit == "×":
        decimals = decimals_of(min(high - value, value - low), quantity.decimals)
        mark = " ≈" if cell.verdict == "not distinguishable" else ""
        return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]{mark}"
    return f"{value:.{decimals}f}{percent} ± {(high - low) / 2:.{decimals}f}"


def decimals_of(half_width: float, usual: int) -> int:
    """Return the decimals at which an interval's half-width has two significant digits.

    At most two more than are usual, which are those of an interval without a width.
    """
    if not 0 < half_width < math.inf:
        return usual
    return min(max(1 - math.floor(math.log10(half_width)), 0), usual + 2)


def _body(table: Table, columns: Sequence[tuple[Hardware, str]]) -> list[list[str]]:
    rows = []
    for model in table.models:
        cells = (table.cells.get(Key(model, d, h)) for h, d in columns)
        rows.append([model_title(model), *(cell_text(table, cell) for cell in cells)])
    return rows


def _means(table: Table) -> list[str]:
    if len(table.cells) < 2:
        return []
    measured = Counter(key.hardware for key, cell in table.cells.items() if cell.value is not None)
    less = ", less 1" if table.name == "improvement" else ""
    return [
        f"geometric mean of the speedups on {hardware} over {measured[hardware]} cells{less}: "
        f"{cell_text(table, cell)}"
        for hardware, cell in table.means.items()
        if measured[hardware] > 1
    ]


def _text(table: Table, tablefmt: str, width: int | None) -> str:
    heading, notes = title(table), [*_means(table), *table.notes]
    if not table.columns:
        return _around(heading, None, [NOTHING], tablefmt)
    body = _grid(table, table.columns, tablefmt)
    if width is not None and max(map(len, body.splitlines())) > width:
        kinds = dict.fromkeys(hardware for hardware, _ in table.columns)
        parts = ([column for column in table.columns if column[0] == kind] for kind in kinds)
        body = "\n\n".join(_grid(table, part, tablefmt) for part in parts)
    return _around(heading, body, notes, tablefmt)


def _around(heading: str, body: str | None, notes: Sequence[str], tablefmt: str) -> str:
    """Put a heading above a table and notes below it, as prose of that format."""
    if tablefmt.startswith("latex"):  # which would act on what the notes quote
        heading, notes = f"% {heading}", [f"% {note}" for note in notes]
    elif tablefmt.endswith("html"):
        heading = f"<h3>{html.escape(heading)}</h3>"
        notes = [f"<p>{html.escape(note)}</p>" for note in notes]
    else:
        notes = [f"  {note}" for note in notes]
    blocks = [heading, body, "\n".join(notes)]
    return "\n\n".join(block for block in blocks if block)


def _grid(table: Table, columns: Sequence[tuple[Hardware, str]], tablefmt: str) -> str:
    headers = ["model", *(f"{h} {dataset_title(d)}" for h, d in columns)]
    return tabulate.tabulate(
        _body(table, columns),
        headers=[in_a_cell(header, tablefmt) for header in headers],
        tablefmt=tablefmt,
        disable_numparse=True,
        colalign=("left", *("right",) * len(columns)),
    )


def in_a_cell(text: str, tablefmt: str) -> str:
    """Escape what a format of tabulate would act on in a cell; html and latex escape themselves."""
    if tablefmt == "unsafehtml":
        return html.escape(text)
    if tablefmt == "latex_raw":
        return latex.escaped(text)
    return text.replace("|", _BARS.get(tablefmt, "|"))


_BARS = {
    **dict.fromkeys(("github", "pipe", "asciidoc", "jira", "youtrack"), r"\|"),
    **dict.fromkeys(("mediawiki", "moinmoin", "textile"), "&#124;"),
    "orgtbl": r"\vert{}",
}
"""What stands for a bar, where a bare one would end the cell."""


def _latex(table: Table) -> str:
    """Return a floating table with booktabs, datasets grouped under their hardware."""
    if not table.columns:
        return f"% {latex.escaped(title(table))}: {NOTHING}"
    groups: dict[Hardware, int] = {}
    for hardware, _dataset in table.columns:
        groups[hardware] = groups.get(hardware, 0) + 1
    spans, rules, start = [], [], 2
    for hardware, width in groups.items():
        spans.append(rf"\multicolumn{{{width}}}{{c}}{{{latex.escaped(str(hardware))}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return latex.floating(
        title(table),
        ["Model", *(dataset_title(dataset) for _hardware, dataset in table.columns)],
        _body(table, table.columns),
        [*_means(table), *table.notes],
        align="l" + "r" * len(table.columns),
        above=[f" & {' & '.join(spans)} \\\\", " ".join(rules)],
    )


def as_json(document: Any) -> str:
    """Return a document as JSON, in which nothing is NaN or infinite."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return mappings of the same keys as CSV with a heading."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = list(rows[0]) if rows else []
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in rows)
    return out.getvalue().rstrip("\n")


def render_rows(
    heading: str, rows: Sequence[Mapping[str, str]], tablefmt: str, notes: Sequence[str] = ()
) -> str:
    """Render mappings of the same keys as a table with its heading and footnotes."""
    if tablefmt == "latex":
        heads = list(rows[0]) if rows else []
        cells = [list(row.values()) for row in rows]
        return latex.floating(heading, heads, cells, notes, align="l" * len(heads))
    body = tabulate.tabulate(
        [[in_a_cell(cell, tablefmt) for cell in row.values()] for row in rows],
        headers=list(rows[0]) if rows else [],
        tablefmt=tablefmt,
        disable_numparse=True,
    )
    return _around(heading, body, notes, tablefmt)
