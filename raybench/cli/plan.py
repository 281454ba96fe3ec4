"""``raybench plan``: what a grid would run, where, and about how long."""

from __future__ import annotations

import json

import typer

from raybench.cli.options import Address, AsJson, Grid, Results, Settings


def plan(
    grid: Grid,
    settings: Settings = None,
    results: Results = None,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Show what a grid would run, and what the cluster lacks for it; run nothing.

    With --address (or RAY_ADDRESS) that Ray cluster is asked what it has, otherwise this machine.
    Exit code 1 if the plan cannot be run there.

    Example: raybench plan experiments/paper.yaml -s hardware=[P100,K80]
    """
    from raybench.launch.preflight import check_imports
    from raybench.launch.session import nodes_at
    from raybench.record.store import Experiment
    from raybench.report.plan import plan_document, plan_text
    from raybench.schedule.plan import make_plan
    from raybench.settings import workspace
    from raybench.spec.grid import load_grid, parse_settings

    wanted = load_grid(grid, parse_settings(settings or ()))
    check_imports(wanted.plan())
    experiment = Experiment(workspace(results).results / wanted.name)
    where = f"the Ray cluster {address}" if address else "this machine"
    found = make_plan(wanted, experiment, nodes_at(address), where)
    typer.echo(json.dumps(plan_document(found), indent=1) if as_json else plan_text(found))
    raise typer.Exit(1 if found.lacks else 0)
