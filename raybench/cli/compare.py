"""``raybench compare``: two result sets, a verdict for each cell, and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybench.cli.options import AllowMismatch, AsJson
from raybench.cli.output import print_problems


def compare(
    a: Annotated[Path, typer.Argument(help="Results before: a folder or a record.")],
    b: Annotated[Path, typer.Argument(help="Results after.")],
    *,
    fail_below: Annotated[
        float | None,
        typer.Option(help="Exit 1 if a cell of B is significantly slower than this, such as 0.95."),
    ] = None,
    allow_mismatch: AllowMismatch = None,
    as_json: AsJson = False,
) -> None:
    """Compare two result sets cell by cell; exit 1 on a significant slowdown beyond a limit.

    Example: raybench compare results/before results/after --fail-below 0.95
    """
    from raybench.analysis import compare as analysis
    from raybench.analysis.trials import load
    from raybench.report import render
    from raybench.report.comparison import comparison_document, comparison_part
    from raybench.report.documents import as_json as to_json
    from raybench.report.labels import cell_title

    before, after = load([a]), load([b])
    problems = [*before.problems, *after.problems]
    comparison = analysis.compare(
        before.trials, after.trials, fail_below=fail_below, allow_mismatch=allow_mismatch or ()
    )
    if as_json:
        typer.echo(to_json({**comparison_document(comparison), "problems": problems}))
    else:
        typer.echo(render([comparison_part(comparison)]))
        print_problems(problems)
    if comparison.too_slow:
        names = ", ".join(cell_title(c.key, c.configuration) for c in comparison.too_slow)
        typer.echo(f"\nsignificantly slower than {fail_below:g}: {names}", err=True)
        raise typer.Exit(1)
