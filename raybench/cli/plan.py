"""``raybench plan``: what a grid would run, where, and about how long."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybench.cli.grid import Address
from raybench.cli.options import Results, Settings
from raybench.errors import ClusterError
from raybench.schedule.resources import NODE, check_placeable, resources_of
from raybench.spec.grid import load_grid, parse_settings
from raybench.spec.trial import TrialSpec

if TYPE_CHECKING:
    from raybench.record.store import Experiment


def plan(
    spec: Annotated[Path, typer.Argument(help="The grid, a YAML file.")],
    settings: Settings = None,
    results: Results = None,
    address: Address = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Show what a grid would run, and what the cluster lacks for it; run nothing.

    With --address (or RAY_ADDRESS) that Ray cluster is asked what it has, otherwise this machine.
    Exit code 1 if the plan cannot be run there.
    """
    from raybench.record.store import Experiment
    from raybench.settings import workspace

    grid = load_grid(spec, parse_settings(settings or ()))
    trials = grid.plan()
    folder = Experiment(workspace(results).results / grid.name)
    complete = {trial.trial_id for trial in trials if folder.is_complete(trial)}
    due = [trial for trial in trials if trial.trial_id not in complete]
    times_s = _known_times(due, folder)
    where = f"the Ray cluster {address}" if address else "this machine"
    lacks = _lacks(due, _hosts(address), where)
    if as_json:
        rows = [_row(trial, complete, times_s) for trial in trials]
        typer.echo(json.dumps({"experiment": grid.name, "trials": rows, "lacks": lacks}, indent=1))
    else:
        typer.echo(_text(trials, complete, times_s))
        typer.echo(lacks or f"{where} can run all of it" if due else "nothing is left to run")
    raise typer.Exit(1 if lacks else 0)


def _hosts(address: str | None) -> list[dict[str, float]]:
    from raybench.launch.session import cluster_hosts, connected, machine_resources

    if not address:
        return [machine_resources()]
    with connected(address):
        return cluster_hosts()


def _lacks(due: Sequence[TrialSpec], hosts: Sequence[Mapping[str, float]], where: str) -> str:
    try:
        check_placeable(due, hosts, where)
    except ClusterError as error:
        return str(error)
    return ""


def _known_times(due: Sequence[TrialSpec], folder: Experiment) -> dict[str, float]:
    """Estimate running times from complete records of the same work, differing in its amount."""
    from raybench.record.scan import Unreadable, scan
    from raybench.schedule.estimate import Estimates

    found = scan([folder.folder]) if due and (folder.folder / "records").is_dir() else ()
    estimates = Estimates(item[1] for item in found if not isinstance(item, Unreadable))
    times_s = {trial.trial_id: estimates.known_s(trial) for trial in due}
    return {name: time_s for name, time_s in times_s.items() if time_s is not None}


def _row(trial: TrialSpec, complete: set[str], times_s: Mapping[str, float]) -> dict[str, Any]:
    return {
        "trial_id": trial.trial_id,
        "complete": trial.trial_id in complete,
        "resources": resources_of(trial),
        "expected_running_time_s": times_s.get(trial.trial_id),
        "spec": trial.model_dump(mode="json"),
    }


def _text(trials: Sequence[TrialSpec], complete: set[str], times_s: Mapping[str, float]) -> str:
    from rich.console import Console
    from rich.table import Table

    from raybench.cli.progress import duration

    table = Table(box=None, pad_edge=False, header_style="bold")
    varying = _varying(trials)
    headings = ("#", "model", "dataset", "hardware", "repeat", "epochs", "batch", "pixels")
    for heading in (*headings, *varying, "state"):
        table.add_column(heading)
    for number, trial in enumerate(trials, 1):
        expected = times_s.get(trial.trial_id)
        state = "complete" if trial.trial_id in complete else "to run"
        if expected is not None:
            state += f", about {duration(expected)}"
        size = f"{trial.image_size}×{trial.image_size}"
        cells = (number, trial.model, trial.dataset, trial.hardware, trial.repeat, trial.epochs)
        others = (str(getattr(trial, name)) for name in varying)
        table.add_row(*map(str, cells), str(trial.batch_size), size, *others, state)
    console = Console(width=110, highlight=False)
    with console.capture() as capture:
        console.print(table)
    due = [trial for trial in trials if trial.trial_id not in complete]
    lines = [capture.get(), f"{len(trials)} trials, {len(due)} of them to run"]
    lines += [f"  {count} need {what} on one host" for what, count in _needs(due).items()]
    if due:
        known = [times_s[t.trial_id] for t in due if t.trial_id in times_s]
        rest = f" (for {len(due) - len(known)} trials nothing comparable was measured yet)"
        lines.append(
            f"  expected: {duration(sum(known))} of running time in all, "
            f"less where several run at once{rest if len(known) < len(due) else ''}"
            if known
            else "  expected: not known before a trial of the same kind was measured"
        )
    return "\n".join(lines)


_ALWAYS_SHOWN = ("model", "dataset", "hardware", "repeat", "epochs", "batch_size", "image_size")
_FOLLOW = ("aux_loss_weight", "num_workers")
"""Fields whose defaults follow from model and hardware."""


def _varying(trials: Sequence[TrialSpec]) -> list[str]:
    """Return the fields that tell trials of a plan apart and have no column of their own."""
    names = (n for n in TrialSpec.model_fields if n not in (*_ALWAYS_SHOWN, *_FOLLOW))
    return [name for name in names if len({getattr(trial, name) for trial in trials}) > 1]


def _needs(due: Sequence[TrialSpec]) -> Counter[str]:
    def text(trial: TrialSpec) -> str:
        parts = [f"{k} {v:g}" for k, v in resources_of(trial).items() if k != NODE]
        return ", ".join(parts) + (", the node for itself" * (trial.isolation == "node"))

    return Counter(text(trial) for trial in due)
