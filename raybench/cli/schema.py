"""``raybench schema``: the JSON Schema of a record, and the reference as pages to read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer


def schema(
    *,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a table of all fields in Markdown instead.")
    ] = False,
    pages: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write record.md, columns.md, settings.md and cli.md to this folder instead.",
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a record.

    Example: raybench schema --markdown
    """
    from raybench.record.schema import TrialRecord
    from raybench.report.reference import record_table, write_pages

    if pages is not None:
        for path in write_pages(reference(), pages):
            typer.echo(path)
        return
    content = TrialRecord.model_json_schema()
    if markdown:
        typer.echo(record_table(content))
    else:
        typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


def reference() -> dict[str, str]:
    """Return the reference's pages in Markdown by their files' names."""
    from raybench.analysis.columns import COLUMNS
    from raybench.record.schema import TrialRecord
    from raybench.report import reference as pages
    from raybench.settings import PREFIX, Settings
    from raybench.spec.trial import TrialSpec

    return {
        "record.md": pages.record_page(TrialRecord.model_json_schema()),
        "columns.md": pages.columns_page(COLUMNS),
        "settings.md": pages.settings_page(Settings, PREFIX),
        "cli.md": pages.commands_page(dict(all_commands()), tuple(TrialSpec.model_fields)),
    }


def all_commands() -> Iterator[tuple[str, Any]]:
    """Yield each command of the command line by its name, such as ``data fetch``."""
    from raybench.cli.main import application

    group: Any = typer.main.get_command(application)
    context = group.make_context("raybench", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.resolve_command(context, [name])[1]
        inner = getattr(command, "commands", None) or {"": command}
        for below, leaf in inner.items():
            yield f"{name} {below}".strip(), leaf
