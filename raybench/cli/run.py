"""``raybench run``: one trial on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from raybench.cli.options import AsJson, Data, Dataset, Model, Results, with_spec_options
from raybench.launch.local import RUNS


@with_spec_options(exclude=("model", "dataset"))
def run(
    *,
    model: Model,
    dataset: Dataset,
    results: Results = None,
    data: Data = None,
    experiment: Annotated[str, typer.Option(help="The experiment that the record goes to.")] = RUNS,
    as_json: AsJson = False,
    fields: Mapping[str, Any],
) -> None:
    """Train, evaluate and record one trial on this machine.

    Every field of the spec is an option; -s key=value sets it as well. The hardware defaults to
    what this machine is: its GPU's label, or cpu:N. A trial that is complete is not run again.

    Example: raybench run resnet18 mnist --epochs 1 --batch-size 64
    """
    from raybench.launch.local import run_here
    from raybench.record.store import Experiment
    from raybench.report.live import LiveView
    from raybench.report.trial import summary
    from raybench.settings import workspace
    from raybench.spec.trial import trial_spec
    from raybench.system.verify import default_hardware

    given = {"model": model, "dataset": dataset, **fields}
    given.setdefault("hardware", default_hardware())
    spec = trial_spec(given)
    folders = workspace(results, data)
    folder = Experiment(folders.results / experiment)
    with LiveView() as view:
        record = run_here(spec, folder, folders, watcher=view)
    if as_json:
        typer.echo(record.model_dump_json(indent=1))
    else:
        typer.echo(summary(record, folder.record_path(spec.trial_id)))
    if record.status != "completed":
        raise typer.Exit(130 if record.status == "interrupted" else 1)
