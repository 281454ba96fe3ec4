"""A record's file with a checksum, which shows accidents: no protection against people."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pydantic_core

from raybench.record.schema import TrialRecord


def with_checksum(record: TrialRecord) -> bytes:
    """Return the content of a record's file."""
    sealed = {"checksum": checksum(record.model_dump(mode="json"))}
    return record.model_copy(update=sealed).model_dump_json(indent=1).encode() + b"\n"


def fits_checksum(content: bytes) -> bool:
    """Whether a file's content is what its checksum was made of, however it is laid out."""
    found: dict[str, Any] = pydantic_core.from_json(content)
    return found.get("checksum") in (None, checksum(found))


def checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's content but for the checksum: compact JSON, names sorted."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    return hashlib.sha256(
        json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
