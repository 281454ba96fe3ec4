"""Tables for people, programs and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raybench import report
from raybench.analysis.tables import Section, cells_frame
from raybench.report import documents
from raybench.report.parts import part

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tables:
    """Tables of a frame of trials, with their footnotes.

    ``print(tables)`` shows them as Markdown, and a notebook as HTML.

    Attributes:
        sections: of each configuration, the tables and what holds for all of them
            (``raybench.analysis.tables.make_tables``).
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
            return documents.as_json(documents.tables_document(self.sections))
        if tablefmt == "csv":
            return documents.tables_csv(self.sections)
        return report.render([part(section) for section in self.sections], tablefmt, width=width)

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each cell, unrounded.

        The columns are table, configuration, baseline, model, dataset, hardware, state, value,
        low, high (of the 95 % interval; empty for a single run), n and verdict.
        """
        return cells_frame(table for section in self.sections for table in section.tables)

    def to_latex(self) -> str:
        """Return floating tables with booktabs."""
        return self.render("latex")

    def _repr_html_(self) -> str:
        return self.render("html")
