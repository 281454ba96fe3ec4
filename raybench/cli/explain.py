"""``raybench explain``: where the time goes, and why the speedup is not higher."""

from __future__ import annotations

import typer

from raybench.cli.options import AllowMismatch, AsJson, Baseline, Measured
from raybench.cli.output import print_problems


def explain(
    results: Measured,
    *,
    baseline: Baseline = None,
    allow_mismatch: AllowMismatch = None,
    as_json: AsJson = False,
) -> None:
    """Say where the time goes, and why the speedup is not higher.

    Example: raybench explain results/paper --baseline K80
    """
    from raybench.analysis import explain as analysis
    from raybench.analysis.quantities import Options
    from raybench.analysis.trials import load
    from raybench.catalog.hardware import Hardware
    from raybench.report import render
    from raybench.report.documents import as_json as to_json
    from raybench.report.explanation import explanation_document, explanation_part

    trials, problems = load(results)
    options = Options(
        baseline=None if baseline is None else Hardware.parse(baseline),
        allow_mismatch=tuple(allow_mismatch or ()),
    )
    explanations = analysis.explain(trials, options)
    if as_json:
        documents = [explanation_document(explanation) for explanation in explanations]
        typer.echo(to_json({"explanations": documents, "problems": list(problems)}))
        return
    typer.echo(render(list(map(explanation_part, explanations))))
    print_problems(problems)
