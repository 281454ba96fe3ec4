"""``raybench explain``: where the time goes, and why the speedup is not higher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def explain(
    results: Annotated[
        list[Path],
        typer.Argument(help="Folders of experiments, folders that hold some, or single records."),
    ],
    *,
    baseline: Annotated[
        str | None, typer.Option(help="Hardware that speedups are over; default: the slowest.")
    ] = None,
    allow_mismatch: Annotated[
        list[str] | None,
        typer.Option(help="Field that may differ between what is compared. May be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Say where the time goes, and why the speedup is not higher."""
    from raybench.analysis import explain as room
    from raybench.analysis.frame import load
    from raybench.analysis.tables import Options
    from raybench.catalog.hardware import Hardware
    from raybench.cli.analyze import print_problems
    from raybench.report import findings
    from raybench.report.text import as_json as to_json

    frame, problems = load(results)
    options = Options(
        baseline=None if baseline is None else Hardware.parse(baseline),
        allow_mismatch=tuple(allow_mismatch or ()),
    )
    explanations = room.explain(frame, options)
    if as_json:
        documents = [findings.explanation_document(explanation) for explanation in explanations]
        typer.echo(to_json({"explanations": documents, "problems": list(problems)}))
        return
    typer.echo("\n\n".join(findings.render_explanation(each) for each in explanations))
    print_problems(problems)
