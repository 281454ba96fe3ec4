"""Tables as texts, of which a format only escapes each and lays them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raybench.analysis.configurations import Key
from raybench.analysis.tables import Section, Table
from raybench.catalog.models import MODELS
from raybench.report.labels import cell_text, dataset_title, table_title
from raybench.report.notes import of_table, sentence

NOTHING = "nothing to compare: results on one hardware only"


@dataclass(frozen=True, kw_only=True)
class Head:
    """A column's heading, and that of the neighbouring columns that it belongs to, or ""."""

    group: str = ""
    name: str


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table with its own footnotes; it has no heads where there is nothing to show.

    ``figures``: the cells are figures but for the first column, which names them.
    """

    title: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    figures: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """Tables that belong together, and below a title the footnotes on all of them."""

    grids: tuple[Grid, ...]
    title: str = "Notes"
    notes: tuple[str, ...] = ()


def part(section: Section) -> Part:
    """Return the tables of a configuration, and below them what holds for all."""
    configuration = f" — {section.configuration}" if section.configuration else ""
    return Part(
        grids=tuple(map(_grid, section.tables)),
        title=f"Notes{configuration}",
        notes=tuple(map(sentence, section.notes)),
    )


def _grid(table: Table) -> Grid:
    title = table_title(table)
    if not table.columns:
        return Grid(title=title, heads=(), rows=(), notes=(NOTHING,))
    rows = []
    for model in table.models:
        cells = (table.cells.get(Key(model, d, hardware)) for hardware, d in table.columns)
        rows.append((MODELS.title(model), *(cell_text(table.quantity, cell) for cell in cells)))
    heads = (Head(group=str(hardware), name=dataset_title(d)) for hardware, d in table.columns)
    return Grid(
        title=title,
        heads=(Head(name="model"), *heads),
        rows=tuple(rows),
        notes=tuple(of_table(table)),
        figures=True,
    )


def rows_grid(title: str, rows: Sequence[Mapping[str, str]], notes: Iterable[str] = ()) -> Grid:
    """Return mappings of the same keys, which head the columns, as a table with footnotes.

    Columns that no row has anything in are left out.
    """
    used = {name for row in rows for name, text in row.items() if text not in ("", "–")}
    names = [name for name in rows[0] if name in used] if rows else []
    return Grid(
        title=title,
        heads=tuple(Head(name=name) for name in names),
        rows=tuple(tuple(row[name] for name in names) for row in rows),
        notes=tuple(notes),
    )
