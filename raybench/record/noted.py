"""Figures that could not be had, and the reason why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def _nulls(value: Any, name: str = "") -> Iterator[str]:
    if value is None:
        yield name
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _nulls(inner, f"{name}.{key}" if name else key)


def _covered(name: str, reasons: dict[str, str]) -> bool:
    parts = name.split(".")
    return any(".".join(parts[:end]) in reasons for end in range(1, len(parts) + 1))
