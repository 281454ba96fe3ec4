"""``raybench schema``: the JSON Schema of a record."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of a record."""
    from raybench.record import TrialRecord

    typer.echo(json.dumps(TrialRecord.model_json_schema(), indent=1, ensure_ascii=False))
