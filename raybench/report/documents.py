"""JSON and CSV: what programs read, unrounded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from raybench.analysis.configurations import Key
from raybench.analysis.notes import Note
from raybench.analysis.statistics import Ratio
from raybench.analysis.tables import Section, Table, cells_frame
from raybench.catalog.hardware import Hardware
from raybench.report.labels import table_title
from raybench.report.notes import sentence


def document(value: Any) -> Any:
    """Return a typed result as JSON can hold it.

    A dataclass becomes a mapping of its fields, a note its ``kind``, its fields and its ``text``,
    a ratio its value and interval, a hardware what it is called, and what is not finite None.
    """
    if isinstance(value, Key):
        value = value._asdict()
    elif isinstance(value, Note):
        value = {"kind": value.kind, **_fields(value), "text": sentence(value)}
    elif isinstance(value, Ratio):
        low, high = value.interval or (None, None)
        value = {"value": value.value, "low": low, "high": high, "n": value.n}
    elif is_dataclass(value) and not isinstance(value, Hardware):
        value = _fields(value)
    if isinstance(value, Hardware):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): document(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [document(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fields(value: Any) -> dict[str, Any]:
    return {each.name: getattr(value, each.name) for each in fields(value)}


def as_json(content: Any) -> str:
    """Return a typed result as JSON."""
    return json.dumps(document(content), indent=1, ensure_ascii=False, allow_nan=False)


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
        "cells": [{**key._asdict(), **_fields(cell)} for key, cell in table.cells.items()],
        "geometric_means": [
            {"hardware": hardware, **_fields(cell)} for hardware, cell in table.means.items()
        ],
        "notes": table.notes,
    }


def tables_csv(sections: Sequence[Section]) -> str:
    """Return all tables' cells as CSV with a heading."""
    tables = (table for section in sections for table in section.tables)
    found = cells_frame(tables).replace([math.inf, -math.inf], math.nan)
    return found.to_csv(index=False, lineterminator="\n").rstrip("\n")
