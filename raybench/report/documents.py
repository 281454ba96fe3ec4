"""JSON: what programs read, unrounded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from raybench.analysis.configurations import Key
from raybench.analysis.notes import Note
from raybench.analysis.statistics import Ratio
from raybench.catalog.hardware import Hardware
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
