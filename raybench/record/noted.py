"""Figures that could not be had, and the reason why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Part = TypeVar("Part")


@dataclass(frozen=True)
class Missing:
    """Stands where a figure would, which could not be had.

    Attributes:
        reason: why, for a person.
    """

    reason: str


@dataclass(frozen=True)
class Noted(Generic[Part]):
    """A part of the record, and why figures in it are null.

    Attributes:
        part: the part.
        reasons: by the figures' dotted names within the part.
    """

    part: Part
    reasons: dict[str, str]


def noted(kind: type[Part], **figures: object) -> Noted[Part]:
    """Make a part of the record of its figures.

    ``Missing`` becomes null, and its reason is kept by the figure's name; an inner part that is
    ``Noted`` brings its reasons along.

    >>> from raybench.system.facts import Contention
    >>> found = noted(Contention, co_located_trials=0, load_average=Missing("not on Linux"))
    >>> found.part.load_average, found.reasons
    (None, {'load_average': 'not on Linux'})

    Raises:
        pydantic.ValidationError: a figure is absent, or of a wrong type.
    """
    values: dict[str, object] = {}
    reasons: dict[str, str] = {}
    for name, figure in figures.items():
        values[name] = figure
        if isinstance(figure, Missing):
            values[name] = None
            reasons[name] = figure.reason
        elif isinstance(figure, Noted):
            values[name] = figure.part
            reasons.update({f"{name}.{inner}": why for inner, why in figure.reasons.items()})
    return Noted(kind(**values), reasons)


def nulls(value: Any, name: str = "") -> Iterator[str]:
    """Yield the dotted names of what is null in a JSON value, such as ``segments.0.hostname``."""
    if value is None:
        yield name
    elif isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from nulls(inner, f"{name}.{key}" if name else str(key))


def is_covered(name: str, reasons: Mapping[str, str]) -> bool:
    """Whether there is a reason for a dotted name, or for something that it is a part of."""
    parts = name.split(".")
    return any(".".join(parts[:end]) in reasons for end in range(1, len(parts) + 1))
