"""``raybench schema``: the JSON Schema of a record, or the same as a table to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

_PLURAL = "[]"
"""Stands after the name of a list's fields: ``epochs[].accuracy``."""


def schema(
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a table of all fields in Markdown instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of a record."""
    from raybench.record.schema import TrialRecord

    content = TrialRecord.model_json_schema()
    if markdown:
        typer.echo(record_table(content))
    else:
        typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


def record_table(schema: dict[str, Any]) -> str:
    """Return a schema's fields as a Markdown table: dotted name, type, meaning."""
    rows = [
        # A name in angle brackets would vanish as an unknown tag of HTML.
        f"| `{name}` | {kind} | {meaning} |".replace("\n", " ").replace("<", "\\<")
        for name, kind, meaning in _fields(schema, schema["$defs"])
    ]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])


def _fields(
    part: dict[str, Any], parts: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """Yield each field's name, type and meaning, followed by the fields below it."""
    for name, field in part["properties"].items():
        yield f"{prefix}{name}", _type(field, parts), field["description"]
        for inner, plural in _inner_parts(field, parts):
            if not _is_plain(inner):
                yield from _fields(inner, parts, f"{prefix}{name}{plural}.")


def _inner_parts(
    field: dict[str, Any], parts: dict[str, Any], plural: str = ""
) -> Iterator[tuple[dict[str, Any], str]]:
    for choice in field.get("anyOf", [field]):
        if "$ref" in choice:
            yield parts[choice["$ref"].rpartition("/")[2]], plural
        elif isinstance(choice.get("items"), dict):
            yield from _inner_parts(choice["items"], parts, _PLURAL)


def _is_plain(part: dict[str, Any]) -> bool:
    """Whether a part is a few numbers of one kind, such as quartiles: one row says it all."""
    return len(part["properties"]) <= 3 and all(
        field.get("type") == "number" for field in part["properties"].values()
    )


def _type(field: dict[str, Any], parts: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(choice, parts) for choice in field["anyOf"])
    if "enum" in field or "const" in field:
        values = field.get("enum") or [field["const"]]
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    if "$ref" in field:
        part = parts[field["$ref"].rpartition("/")[2]]
        return f"{{{', '.join(part['properties'])}}}" if _is_plain(part) else "object"
    if "items" in field:
        return f"list of {_type(field['items'], parts)}"
    values = field.get("additionalProperties")
    if isinstance(values, dict) and "type" in values:
        return f"object of {_type(values, parts)}"
    return str(field["type"])
