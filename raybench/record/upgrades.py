"""Records of older versions, read as those of today; their files are never written anew."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from raybench.errors import NewerRecordError, RecordError, SpecError
from raybench.record.autotune import NOTHING_TO_AUTOTUNE
from raybench.record.checksum import fits_checksum
from raybench.record.plausible import contradiction
from raybench.record.schema import SCHEMA_VERSION, TrialRecord
from raybench.spec.identity import with_baselines
from raybench.spec.trial import AS_MEASURED, TrialSpec

_HEAD = re.compile(rb'\s*\{\s*"schema_version":\s*([0-9]{1,9})\b')


def _to_version_2(record: dict[str, Any]) -> dict[str, Any]:
    """Before there was autotuning."""
    return {**record, "missing": {**record.get("missing", {}), "tune_up": NOTHING_TO_AUTOTUNE}}


def _to_version_3(record: dict[str, Any]) -> dict[str, Any]:
    """Before a trial could be several segments, each with its own system."""
    names = ("hardware", "environment", "contention")
    parts = {name: record.get(name) for name in names}
    first, *others = record.get("segments") or [None]
    if first is None and any(parts.values()):  # it ended before it had one
        first = {
            "hostname": (parts["environment"] or {}).get("hostname"),
            "started_at": record["started_at"],
            "first_epoch": 1,
            "last_epoch": len(record.get("epochs", ())),
        }
    model = record.get("model")
    if model and ":" in model["name"]:
        model = {**model, "origin": model["name"].partition(":")[0]}
    missing = {}
    for name, reason in record.get("missing", {}).items():
        part, dot, rest = name.partition(".")
        if part in parts:
            missing[f"segments.0.{name}" if first else "segments"] = reason
        else:
            missing[f"autotune{dot}{rest}" if part == "tune_up" else name] = reason
    if first and first["hostname"] is None:
        missing["segments.0.hostname"] = "the trial ended before it was noted"
    return {
        **{name: value for name, value in record.items() if name not in (*names, "tune_up")},
        "autotune": autotune_of_version_2(record.get("tune_up")),
        "segments": [{**first, **parts}, *others] if first else [],
        "model": model,
        "missing": missing,
    }


def autotune_of_version_2(content: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the content of ``tune-up/*.json``, or of such a part of a record, as it is today."""
    if content is None:
        return None
    renamed = {"attempts": "candidates"}
    return {renamed.get(name, name): value for name, value in content.items()}


UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _to_version_2,
    2: _to_version_3,
}
"""From version n to n + 1, where that is more than fields of the spec; applied in turn."""


def read_record(text: str | bytes, where: str) -> TrialRecord:
    """Read a record of this or an older version.

    Args:
        text: the JSON document.
        where: the file's name, for the error.

    Raises:
        RecordError: it is no record, is damaged, or (NewerRecordError) is of a newer version.
    """
    content = text.encode() if isinstance(text, str) else text
    try:
        return _read(content, where)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if not field:  # no JSON at all
            raise _not_json(where, first["msg"]) from None
        raise RecordError(f"{where}: not a valid record: {field}: {first['msg']}") from None
    except SpecError as error:
        # A package or a site's GPU types may be installed only where it was measured.
        with contextlib.suppress(ValidationError, RecordError):
            record = _read(content, where, context=AS_MEASURED)
            if record.spec.trial_id == record.trial_id:
                return record
        raise RecordError(f"{where}: not a valid record: {error.message}") from None
    except RecursionError as error:
        raise _not_json(where, str(error)) from None


def _read(content: bytes, where: str, context: dict[str, str] | None = None) -> TrialRecord:
    head = _HEAD.match(content)
    if head is not None and int(head[1]) == SCHEMA_VERSION:
        record = TrialRecord.model_validate_json(content, context=context)
    else:
        record = TrialRecord.model_validate(_upgraded(content, where), context=context)
    if record.checksum is not None:
        if not fits_checksum(content):
            raise _damaged(where, "its content is not what its checksum was made of")
        record = record.model_copy(update={"checksum": None})
    if record.status == "completed" and (what := contradiction(record)):
        raise _damaged(where, what)
    return record


def _upgraded(text: bytes, where: str) -> dict[str, Any]:
    """Return the content of a record of any version as this one would have it."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_json(where, str(error)) from None
    version = record.get("schema_version") if isinstance(record, dict) else None
    if type(version) is not int or version < 1:
        raise RecordError(f"{where}: not a raybench record (it has no schema_version)")
    if version > SCHEMA_VERSION:
        raise NewerRecordError(
            f"{where}: a record of version {version}, this raybench reads up to {SCHEMA_VERSION}",
            hint="use a newer raybench, or another results folder",
        )
    try:
        for old in range(version, SCHEMA_VERSION):
            record = UPGRADES.get(old, dict)(record)
        spec = with_baselines(record["spec"], TrialSpec.model_fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise RecordError(f"{where}: not a valid record of version {version}: {problem}") from None
    return {**record, "spec": spec, "schema_version": SCHEMA_VERSION}


def _damaged(where: str, problem: str) -> RecordError:
    return RecordError(
        f"{where}: damaged: {problem}",
        hint="restore the file, or run the same command again: it measures what is not complete",
    )


def _not_json(where: str, problem: str) -> RecordError:
    return RecordError(
        f"{where}: not valid JSON, perhaps cut short ({problem})",
        hint="run the same command again: it measures what is not complete",
    )
