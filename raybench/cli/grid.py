"""``raybench grid``: a grid of trials on Ray."""

from __future__ import annotations

from typing import Annotated

import typer

from raybench.cli.options import Address, Data, Grid, Results, Settings
from raybench.launch.options import RunOptions

_DEFAULTS = RunOptions()


def grid(
    grid: Grid,
    *,
    settings: Settings = None,
    results: Results = None,
    data: Data = None,
    address: Address = None,
    stall_timeout: Annotated[
        float,
        typer.Option(min=1, help="Seconds without a step after which a trial counts as hung."),
    ] = _DEFAULTS.stall_timeout_s,
    node_timeout: Annotated[
        float,
        typer.Option(
            min=1,
            help="Seconds to wait for a node to join when none can run any trial that is left.",
            envvar="RAYBENCH_NODE_TIMEOUT_S",
        ),
    ] = _DEFAULTS.node_timeout_s,
) -> None:
    """Run a grid of trials on a Ray cluster, or on this machine.

    Trials whose records are complete are not run again, so the same command resumes a grid that
    was interrupted. Ends in the tables of running time, accuracy and speedup; exit code 1 if a
    trial did not complete, 130 if the grid was interrupted.

    Example: raybench grid experiments/paper.yaml -s epochs=1
    """
    from raybench.cli.output import run_and_show
    from raybench.settings import workspace
    from raybench.spec.grid import load_grid, parse_settings

    wanted = load_grid(grid, parse_settings(settings or ()))
    options = RunOptions(
        address=address, stall_timeout_s=stall_timeout, node_timeout_s=node_timeout
    )
    raise typer.Exit(run_and_show(wanted, workspace(results, data), options))
