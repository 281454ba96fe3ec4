"""``raybench doctor``: can this machine run trials, and what is to do if not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from raybench.cli.options import AsJson, Data, Results

_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}


def doctor(
    *,
    data: Data = None,
    results: Results = None,
    gpu_only: Annotated[
        bool, typer.Option("--gpu-only", help="Check the GPUs only; having none is a failure.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check whether this machine can run trials, and say what to do if not.

    One line a check. Exits with 1 if one failed; a warning does not keep trials from running.

    Example: raybench doctor --gpu-only
    """
    from raybench.launch.checks import all_checks, gpu_checks
    from raybench.settings import workspace

    checks = []
    for check in gpu_checks(required=True) if gpu_only else all_checks(workspace(results, data)):
        checks.append(check)
        if not as_json:
            status = typer.style(f"{check.status:<4}", fg=_COLOURS[check.status])
            typer.echo(f"{status}  {check.name:<14}  {check.found}")
            if check.hint:
                typer.echo(f"{'':<4}  {'hint:':>14}  {check.hint}")
    healthy = all(check.status != "FAIL" for check in checks)
    if as_json:
        report = {"ok": healthy, "checks": [asdict(check) for check in checks]}
        typer.echo(json.dumps(report, indent=1))
    if not healthy:
        raise typer.Exit(1)
