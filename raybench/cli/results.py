"""``raybench results``: records that could not be written to their place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Put back records that could not be written to their place.",
)


@app.callback()
def results() -> None:
    """Keep a command of its own below the name."""


@app.command()
def recover(
    results: Annotated[
        Path | None,
        typer.Argument(
            help="Put them into this folder, each under its experiment's name. "
            "By default, to where they were to lie."
        ),
    ] = None,
) -> None:
    """Put back records that a full or read-only disk kept from their place.

    A run does the same before it starts. What is better stays; the other becomes an attempt.

    Example: raybench results recover
    """
    from raybench.errors import count
    from raybench.record.rescue import recover as put_back

    found = put_back(results=results)
    for path in found:
        typer.echo(path)
    typer.echo(f"{count(len(found), 'record')} put back" if found else "nothing to put back")
