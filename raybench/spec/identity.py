"""What tells one trial from another: ids that a later field, or a rename, does not change.

An id is a hash over the 25 fields of record version 2, always, and over each later field that
differs from its baseline: the value that all trials before it had in effect. So results that were
measured before a field existed are still those of the same trial.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

MEASUREMENT = 1
"""Raised when a fault in the timed region makes all results before it wrong, and so all ids new."""

HASHED_AS: dict[str, str] = {}
"""The name by which a field that was renamed since is hashed."""

RETIRED: dict[str, Any] = {}
"""Fields that are gone, each with the value that every trial has in effect since."""


class Role(Enum):
    """What a field or a column means for a comparison of two results."""

    CELL = auto()
    """names the table's cell that a result belongs to: model, dataset, hardware"""
    REPLICATE = auto()
    """may differ between independent repeats of the same measurement"""
    FACTOR = auto()
    """has to be equal before one result may be divided by another"""
    CONTEXT = auto()
    """is listed where it differs"""
    FIGURE = auto()
    """was measured"""
    BOOKKEEPING = auto()
    """says nothing of the measurement"""


@dataclass(frozen=True)
class Since:
    """Marks a field that came after record version 2.

    Attributes:
        version: the first record version that has it: the one before it, plus 1.
        baseline: the value that older trials had in effect. It is never changed; the default may.
    """

    version: int
    baseline: Any


def role_of(field: FieldInfo) -> Role:
    """Return a spec field's role: FACTOR, unless it is annotated with another."""
    return next((mark for mark in field.metadata if isinstance(mark, Role)), Role.FACTOR)


def since_of(field: FieldInfo) -> Since | None:
    """Return since when a spec has the field; None for the 25 of record version 2."""
    return next((mark for mark in field.metadata if isinstance(mark, Since)), None)


def with_baselines(given: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return a spec's content as it was written, with each later field at its baseline."""
    marks = {name: since_of(field) for name, field in fields.items()}
    later = {name: mark.baseline for name, mark in marks.items() if mark is not None}
    return {**later, **given}


def trial_id(spec: BaseModel) -> str:
    """Return a readable name and a hash of every field: the same spec is the same id."""
    content = _hashed(spec)
    model = content["model"].rsplit(":", 1)[-1]
    name = f"{model}-{content['dataset']}-{content['hardware']}-r{content['repeat']}"
    return f"{name.replace(':', '')}-{_digest(content)}"


def configuration_id(spec: BaseModel) -> str:
    """Return a hash of what makes two trials repeats of the same measurement."""
    fields = type(spec).model_fields
    replicates = {name for name, field in fields.items() if role_of(field) is Role.REPLICATE}
    return _digest(_hashed(spec, without=replicates))


def _hashed(spec: BaseModel, without: set[str] | None = None) -> dict[str, Any]:
    """Return what the hash is over: names and JSON values as record version 2 would have them."""
    content = dict(RETIRED)
    for name, value in spec.model_dump(mode="json", exclude=without).items():
        since = since_of(type(spec).model_fields[name])
        if since is None or getattr(spec, name) != since.baseline:
            content[HASHED_AS.get(name, name)] = value
    if MEASUREMENT != 1:
        content["measurement"] = MEASUREMENT
    return content


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]
