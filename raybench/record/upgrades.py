"""Records of older versions, read as those of today."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from raybench.errors import RecordError, SpecError
from raybench.record.schema import NOTHING_TO_TUNE, SCHEMA_VERSION, TrialRecord


def _to_version_2(record: dict[str, Any]) -> dict[str, Any]:
    """Before there were tune-ups."""
    missing = {**record.get("missing", {}), "tune_up": NOTHING_TO_TUNE}
    return {**record, "schema_version": 2, "missing": missing}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _to_version_2}
"""From version n to n + 1, for each n below ``SCHEMA_VERSION``; reading applies them in turn."""


def read_record(text: str | bytes, where: str) -> TrialRecord:
    """Read a record of this or an older version.

    Args:
        text: the JSON document.
        where: the file's name, for the error.

    Raises:
        RecordError: it is no record, is damaged, or is of a newer version.
    """
    with contextlib.suppress(ValidationError, SpecError, RecursionError):
        record = TrialRecord.model_validate_json(text)
        if "schema_version" in record.model_fields_set:
            return record
    # Once more in steps, to upgrade it or to say what is wrong.
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{where}: not valid JSON, perhaps cut short ({error})",
            hint="delete the file and run the same command again: it measures what is not complete",
        ) from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        raise RecordError(f"{where}: not a raybench record (it has no schema_version)")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{where}: a record of version {version}, this raybench reads up to {SCHEMA_VERSION}",
            hint="read it with a newer raybench",
        )
    for old in range(version, SCHEMA_VERSION):
        content = UPGRADES[old](content)
    try:
        return TrialRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{where}: not a valid record: {field}: {first['msg']}") from None
    except SpecError as error:
        raise RecordError(f"{where}: not a valid record: {error.message}") from None
