"""``raybench submit``: one trial as a Ray job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from raybench.cli.options import AsJson, Dataset, Model, with_spec_options
from raybench.errors import printable


@with_spec_options(exclude=("model", "dataset", "hardware"))
def submit(
    *,
    model: Model,
    dataset: Dataset,
    hardware: Annotated[str, typer.Option(help="a GPU's label (P100, K80, H100 …), or cpu:N")],
    address: Annotated[
        str | None,
        typer.Option(
            help="http://host:port of the cluster's dashboard.", envvar="RAY_API_SERVER_ADDRESS"
        ),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run until it ends.")] = True,
    as_json: AsJson = False,
    fields: Mapping[str, Any],
) -> None:
    """Run one trial as a Ray job, placed on the hardware that it names.

    Follows the run's log and exits with the run's exit code. Hardware that the cluster lacks is
    refused before anything is submitted. With --json, the job's id and exit code, and no log.

    Example: raybench submit resnet18 mnist --hardware P100 --epochs 1
    """
    import json

    from raybench.launch import jobs
    from raybench.spec.trial import trial_spec

    given = {**fields, "model": model, "dataset": dataset, "hardware": hardware}
    spec = trial_spec(given)
    client = jobs.connect(address)
    job_id = jobs.submit(client, spec, given)
    if not as_json:
        typer.echo(f"{spec.title}: submitted as {job_id}", err=True)
    code = None
    if wait:
        try:
            code = jobs.follow(client, job_id, (lambda _: None) if as_json else _show)
        except KeyboardInterrupt:
            typer.echo(f"\nthe run goes on; to stop it: ray job stop {job_id}", err=True)
            raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps({"job_id": job_id, "trial_id": spec.trial_id, "exit_code": code}))
    raise typer.Exit(code or 0)


def _show(text: str) -> None:
    typer.echo(printable(text, keep="\n\t"), nl=False)
