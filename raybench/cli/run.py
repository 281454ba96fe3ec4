"""``raybench run``: one trial on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from raybench.cli.options import Data, Results, Settings, merged, with_spec_options
from raybench.spec.trial import TrialSpec, trial_spec

RUNS = "runs"
"""The experiment that single runs belong to, unless another is named."""


@with_spec_options(exclude=("model", "dataset"))
def run(
    *,
    model: Annotated[str, typer.Argument(help="googlenet, resnet18, … or package.module:callable")],
    dataset: Annotated[str, typer.Argument(help="cifar10, mnist, kmnist, fashionmnist, digits …")],
    settings: Settings = None,
    results: Results = None,
    data: Data = None,
    experiment: Annotated[str, typer.Option(help="The experiment that the record goes to.")] = RUNS,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
    fields: Mapping[str, Any],
) -> None:
    """Train, evaluate and record one trial on this machine.

    Every field of the spec is an option; -s key=value sets it as well. The hardware defaults to
    what this machine is: its GPU's label, or cpu:N. A trial that is complete is not run again.
    """
    from raybench.catalog.datasets import check_present
    from raybench.cli.progress import show_trial, summary
    from raybench.record.store import Experiment, check_writable
    from raybench.settings import workspace
    from raybench.system.verify import default_hardware
    from raybench.trial.process.trial_process import TrialRequest

    given = {"model": model, "dataset": dataset, **merged(fields, settings)}
    given.setdefault("hardware", default_hardware())
    spec = trial_spec(given)
    folder = Experiment(workspace(results).results / experiment)
    if folder.is_complete(spec):
        record = folder.read(spec.trial_id)
        typer.echo(
            f"complete already, not run again: {folder.record_path(spec.trial_id)}\n"
            f"to measure it once more: -s repeat={spec.repeat + 1}",
            err=True,
        )
    else:
        check_writable(folder.folder)
        check_hardware(spec)
        check_present(spec.dataset, workspace(data=data).data)
        record = show_trial(
            TrialRequest(
                spec=spec,
                results=folder.folder.parent,
                experiment=experiment,
                data_root=workspace(data=data).data,
                variables=dict(os.environ),
            )
        )
    assert record is not None
    if as_json:
        typer.echo(record.model_dump_json(indent=1))
    else:
        typer.echo(summary(record, folder.record_path(spec.trial_id)))
    if record.status != "completed":
        raise typer.Exit(130 if record.status == "interrupted" else 1)


def check_hardware(spec: TrialSpec) -> None:
    """Refuse hardware that this machine plainly lacks, before anything is loaded or written.

    Raises:
        HardwareError: with what there is.
    """
    from raybench.errors import HardwareError
    from raybench.system.cpus import allowed_cpus
    from raybench.system.verify import gpu_names, is_simulated

    threads, cpus = spec.cpu_threads, allowed_cpus()
    if threads is None and not gpu_names() and not is_simulated(spec.hardware):
        raise HardwareError(
            f"hardware is {spec.hardware}, but this machine has no NVIDIA GPU that its driver "
            "or CUDA_VISIBLE_DEVICES shows",
            allowed=f"cpu:1 to cpu:{cpus}",
            hint="run it where the GPU is, or place it with `raybench submit`",
        )
    if threads is not None and threads > cpus:
        raise HardwareError(
            f"hardware is {spec.hardware}, but this process may use {cpus} processor(s)",
            allowed=f"cpu:1 to cpu:{cpus}",
        )
