"""``raybench compare``: two result sets, a verdict for each cell, and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybench.errors import SpecError


def compare(
    a: Annotated[Path, typer.Argument(help="Results before: a folder or a record.")],
    b: Annotated[Path, typer.Argument(help="Results after.")],
    *,
    fail_below: Annotated[
        float | None,
        typer.Option(help="Exit 1 if a cell of B is significantly slower than this, such as 0.95."),
    ] = None,
    allow_mismatch: Annotated[
        list[str] | None,
        typer.Option(help="Field that may differ within a cell. May be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Compare two result sets cell by cell; exit 1 on a significant slowdown beyond a limit."""
    from raybench.analysis import compare as room
    from raybench.analysis.frame import load
    from raybench.cli.analyze import print_problems
    from raybench.report import findings
    from raybench.report.text import as_json as to_json

    if fail_below is not None and not 0 < fail_below <= 1:
        raise SpecError(
            f"--fail-below is {fail_below:g}", allowed="a ratio above 0, at most 1, such as 0.95"
        )
    sides = [load([side]) for side in (a, b)]
    problems = [problem for side in sides for problem in side.problems]
    comparison = room.compare(
        *(side.frame for side in sides),
        fail_below=fail_below,
        allow_mismatch=tuple(allow_mismatch or ()),
    )
    if as_json:
        typer.echo(to_json({**findings.comparison_document(comparison), "problems": problems}))
    else:
        typer.echo(findings.render_comparison(comparison))
        print_problems(problems)
    if comparison.too_slow:
        names = ", ".join(change.title for change in comparison.too_slow)
        typer.echo(f"\nsignificantly slower than {fail_below:g}: {names}", err=True)
        raise typer.Exit(1)
