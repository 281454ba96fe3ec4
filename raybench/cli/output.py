"""What several commands print: a grid that runs, its tables, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from raybench.errors import count

if TYPE_CHECKING:
    from raybench.launch.options import RunOptions
    from raybench.settings import Workspace
    from raybench.spec.grid import GridSpec


def run_and_show(grid: GridSpec, workspace: Workspace, options: RunOptions) -> int:
    """Run a grid, print its tables, and return the command's exit code."""
    from raybench.analysis.tables import make_tables
    from raybench.analysis.trials import load
    from raybench.launch.grid import run_grid
    from raybench.report.live import LiveView
    from raybench.report.tables import Tables

    with LiveView() as view:
        outcome = run_grid(grid, workspace, options, view)
    if outcome.stranded:
        typer.echo(
            f"stopped: {outcome.stranded}.\nWhat is complete was kept. The same command measures "
            "the rest, on a cluster that can.",
            err=True,
        )
    if outcome.interrupted:
        typer.echo(
            "interrupted; what is complete was kept. The same command runs the rest.", err=True
        )
    folder = workspace.results / grid.name
    trials, problems = load([folder])
    typer.echo(f"\n{Tables(make_tables(trials))}\n")
    print_problems(problems)
    typer.echo(f"results: {folder}")
    typer.echo(f"again:   raybench analyze {folder}")
    if outcome.interrupted:
        return 130
    return 0 if outcome.is_complete else 1


def print_problems(problems: Sequence[str]) -> None:
    """Name on stderr what was left out, up to a page of it."""
    if not problems:
        return
    typer.echo(f"\n{count(len(problems), 'file')} left out:", err=True)
    for problem in problems[:20]:
        typer.echo(f"  {problem}", err=True)
    if len(problems) > 20:
        typer.echo(f"  … and {len(problems) - 20} more (all with --json)", err=True)
