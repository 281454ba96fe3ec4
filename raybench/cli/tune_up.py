"""``raybench tune-up``: the fastest execution, or the largest batch, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from raybench.cli.options import Data, Results, Settings, merged, with_spec_options
from raybench.cli.run import RUNS, check_hardware
from raybench.record.schema import TuneUp
from raybench.spec.trial import TrialSpec, trial_spec


@with_spec_options(exclude=("model", "dataset", "execution", "repeat"))
def tune_up(
    *,
    model: Annotated[str, typer.Argument(help="googlenet, resnet18, … or package.module:callable")],
    dataset: Annotated[str, typer.Argument(help="cifar10, mnist, kmnist, fashionmnist, digits …")],
    settings: Settings = None,
    results: Results = None,
    data: Data = None,
    experiment: Annotated[
        str, typer.Option(help="The experiment whose trials will use what was found.")
    ] = RUNS,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what this experiment has found before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    fields: Mapping[str, Any],
) -> None:
    """Find the fastest way to execute a training step on this machine, and say why.

    Tries the combinations of precision, memory format, execution and optimizer that the hardware
    supports, for a few steps each, and chooses the fastest whose losses agree with those of the
    plain way (fp32, contiguous, eager). With --batch-size largest it also finds the largest batch
    that fits. Trials of the experiment with execution=best then use what was found.
    """
    from raybench.catalog.datasets import check_present
    from raybench.errors import SpecError
    from raybench.record.store import Experiment, check_writable
    from raybench.settings import workspace
    from raybench.system.verify import default_hardware
    from raybench.trial.autotune.search import decide

    given = {
        "execution": "best",
        "model": model,
        "dataset": dataset,
        **merged(fields, settings),
    }
    given.setdefault("hardware", default_hardware())
    spec = trial_spec(given)
    if spec.is_resolved:
        raise SpecError(
            f"execution is {spec.execution!r} and batch_size is {spec.batch_size}: there is "
            "nothing to find",
            hint="leave the execution out, or set batch_size=largest",
        )
    folder = Experiment(workspace(results).results / experiment)
    check_writable(folder.folder)
    check_hardware(spec)
    check_present(spec.dataset, workspace(data=data).data)
    found = decide(
        spec,
        folder,
        workspace(data=data).data,
        tell=lambda what: typer.echo(f"trying {what}", err=True),
        again=again,
    )
    typer.echo(found.model_dump_json(indent=1) if as_json else text(spec, found))


def text(spec: TrialSpec, found: TuneUp) -> str:
    """Return what was tried and chosen, and how to name it in a spec."""
    from tabulate import tabulate

    rows = [
        (
            attempt.settings.title,
            _number(attempt.images_per_s, 1),
            _number(attempt.first_loss, 4),
            _number(attempt.loss_fall, 4),
            attempt.outcome,
        )
        for attempt in found.attempts
    ]
    heads = ["tried", "images/s", "first loss", "fall in 8 steps", "outcome"]
    align = ("left", "right", "right", "right", "left")
    table = tabulate(rows, heads, "github", disable_numparse=True, colalign=align)
    chosen = found.chosen
    named = " ".join(f"-s {name}={value}" for name, value in chosen.model_dump().items())
    return (
        f"{spec.title}, {spec.image_size}×{spec.image_size}, on {found.hostname}\n\n{table}\n\n"
        f"chosen: {chosen.title}\n        {found.reason}\n"
        f"took:   {found.time_s:.0f} s\n"
        f"in a spec of its own: {named}"
    )


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"
