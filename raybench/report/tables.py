"""Tables for people, programs and notebooks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from raybench import report
from raybench.analysis.cells import Cell
from raybench.analysis.configurations import Key
from raybench.analysis.tables import Section, Table
from raybench.report.documents import as_json, document
from raybench.report.labels import table_title
from raybench.report.parts import part

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tables:
    """Tables of a frame of trials, with their footnotes, in a section for each configuration.

    ``print(tables)`` shows them as Markdown, and a notebook as HTML.
    """

    sections: Sequence[Section]

    def __str__(self) -> str:
        return self.render()

    def render(self, tablefmt: str = "github", *, width: int | None = None) -> str:
        """Return them as ``latex`` (booktabs), ``csv``, ``json``, or any format of tabulate.

        A table that is wider than ``width`` characters is broken up between pieces of hardware.

        Raises:
            SpecError: there is no such format.
        """
        report.check_format(tablefmt)
        if tablefmt == "json":
            return as_json(tables_document(self.sections))
        if tablefmt == "csv":
            found = self.to_frame().replace([math.inf, -math.inf], math.nan)
            return found.to_csv(index=False, lineterminator="\n").rstrip("\n")
        return report.render([part(section) for section in self.sections], tablefmt, width=width)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each cell, unrounded.

        The columns are table, configuration, baseline, model, dataset, hardware, state, value,
        low, high (of the 95 % interval; empty for a single run), n and verdict.
        """
        import pandas as pd  # noqa: PLC0415 - texts need none

        rows = [
            {
                "table": table.quantity.name,
                "configuration": table.configuration,
                "baseline": table.baseline and str(table.baseline),
                **key._asdict(),
                "hardware": str(key.hardware),
                **asdict(cell),
            }
            for section in self.sections
            for table in section.tables
            for key, cell in table.cells.items()
        ]
        figures = [each.name for each in fields(Cell)]
        names = ["table", "configuration", "baseline", *Key._fields, *figures]
        dtypes = {"value": "float64", "low": "float64", "high": "float64", "n": "int64"}
        return pd.DataFrame(rows, columns=names).astype(dtypes)

    def to_latex(self) -> str:
        """Return floating tables with booktabs."""
        return self.render("latex")

    def _repr_html_(self) -> str:
        return self.render("html")


def tables_document(sections: Sequence[Section]) -> dict[str, Any]:
    """Return the tables, each with its own notes, and the notes of each configuration."""
    return {
        "tables": [document(_table(table)) for section in sections for table in section.tables],
        "notes": [
            {"configuration": section.configuration, **document(note)}
            for section in sections
            for note in section.notes
        ],
    }


def _table(table: Table) -> dict[str, Any]:
    unit = table.quantity.unit
    return {
        "table": table.quantity.name,
        "title": table_title(table),
        "configuration": table.configuration,
        "baseline": table.baseline,
        "unit": "" if unit in ("%", "×") else unit,
        "meaning": table.quantity.meaning,
        "cells": [{**key._asdict(), **asdict(cell)} for key, cell in table.cells.items()],
        "geometric_means": [
            {"hardware": hardware, **asdict(cell)} for hardware, cell in table.means.items()
        ],
        "notes": table.notes,
    }
