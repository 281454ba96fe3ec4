"""``raybench autotune``: the fastest execution, or the largest batch, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from raybench.cli.options import AsJson, Data, Dataset, Model, Results, with_spec_options
from raybench.launch.local import RUNS


@with_spec_options(exclude=("model", "dataset", "execution", "repeat"))
def autotune(
    *,
    model: Model,
    dataset: Dataset,
    results: Results = None,
    data: Data = None,
    experiment: Annotated[
        str, typer.Option(help="The experiment whose trials will use what was found.")
    ] = RUNS,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what this experiment has found before.")
    ] = False,
    as_json: AsJson = False,
    fields: Mapping[str, Any],
) -> None:
    """Find the fastest way to execute a training step on this machine, and say why.

    Tries the combinations of precision, memory format, execution and optimizer that the hardware
    supports, for a few steps each, and chooses the fastest whose losses agree with those of the
    plain way (fp32, contiguous, eager). With --batch-size largest it also finds the largest batch
    that fits. Trials of the experiment with execution=best then use what was found.

    Example: raybench autotune resnet18 mnist --batch-size largest
    """
    from raybench.launch.local import autotune_here
    from raybench.record.store import Experiment
    from raybench.report.trial import autotune_text
    from raybench.settings import workspace
    from raybench.spec.trial import trial_spec
    from raybench.system.verify import default_hardware

    given = {"execution": "best", "model": model, "dataset": dataset, **fields}
    given.setdefault("hardware", default_hardware())
    spec = trial_spec(given)
    folders = workspace(results, data)
    folder = Experiment(folders.results / experiment)
    found = autotune_here(
        spec, folder, folders, lambda what: typer.echo(f"trying {what}", err=True), again=again
    )
    typer.echo(found.model_dump_json(indent=1) if as_json else autotune_text(spec, found))
