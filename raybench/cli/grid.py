"""``raybench grid``: a grid of trials on Ray."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybench.cli.options import Data, Results, Settings
from raybench.schedule.resources import NODE_TIMEOUT_S
from raybench.spec.grid import GridSpec, grid_yaml, load_grid, parse_settings
from raybench.spec.trial import TrialSpec
from raybench.trial.process.trial_process import STALL_S

if TYPE_CHECKING:
    from raybench.record.schema import TrialRecord
    from raybench.record.store import Experiment

Address = Annotated[
    str | None,
    typer.Option(
        help="Address of a Ray cluster; without one, Ray is started on this machine.",
        envvar="RAY_ADDRESS",
    ),
]


def grid(
    spec: Annotated[Path, typer.Argument(help="The grid, a YAML file.")],
    *,
    settings: Settings = None,
    results: Results = None,
    data: Data = None,
    address: Address = None,
    stall_timeout: Annotated[
        float,
        typer.Option(min=1, help="Seconds without a step after which a trial counts as hung."),
    ] = STALL_S,
    node_timeout: Annotated[
        float,
        typer.Option(
            min=1,
            help="Seconds to wait for a node to join when none can run any trial that is left.",
            envvar="RAYBENCH_NODE_TIMEOUT_S",
        ),
    ] = NODE_TIMEOUT_S,
) -> None:
    """Run a grid of trials on a Ray cluster, or on this machine.

    Trials whose records are complete are not run again, so the same command resumes a grid that
    was interrupted. Ends in the tables of running time, accuracy and speedup; exit code 1 if a
    trial did not complete, 130 if the grid was interrupted.
    """
    from raybench.record.store import Experiment
    from raybench.settings import workspace

    plan = load_grid(spec, parse_settings(settings or ()))
    folder = Experiment(workspace(results).results / plan.name)
    how = RunOptions(data=data, address=address, stall_s=stall_timeout, node_timeout_s=node_timeout)
    code = measure(plan, folder, how)
    show_tables(folder)
    raise typer.Exit(code)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how a grid is run.

    Attributes:
        data: folder of the datasets; None is the default one.
        address: of a Ray cluster; None starts one on this machine.
        stall_s: seconds without a step after which a trial counts as hung.
        node_timeout_s: seconds to wait for a host when none can run what is left.
    """

    data: Path | None = None
    address: str | None = None
    stall_s: float = STALL_S
    node_timeout_s: float = NODE_TIMEOUT_S


def measure(grid: GridSpec, folder: Experiment, how: RunOptions) -> int:
    """Run the trials that are not complete yet, and return the command's exit code."""
    from raybench.catalog.datasets import check_present
    from raybench.record.store import check_writable
    from raybench.settings import workspace

    trials = grid.plan()
    check_writable(folder.folder)
    known = [record for trial in trials if (record := folder.completed(trial)) is not None]
    complete = {record.trial_id for record in known}
    due = [trial for trial in trials if trial.trial_id not in complete]
    if len(due) < len(trials):
        typer.echo(
            f"{len(trials) - len(due)} of {len(trials)} trials are complete already, "
            f"not run again: {folder.folder / 'records'}",
            err=True,
        )
    interrupted = False
    for name in dict.fromkeys(trial.dataset for trial in due):
        check_present(name, workspace(data=how.data).data)
    if due and not how.address:
        _check_machine(due)
    folder.write_plan(grid_yaml(grid), trials)
    if due:
        interrupted = _run(due, folder, how, known)
    incomplete = [trial for trial in trials if not folder.is_complete(trial)]
    if interrupted:
        typer.echo(
            "interrupted; what is complete was kept. The same command runs the rest.", err=True
        )
        return 130
    return 1 if incomplete else 0


def _check_machine(due: Sequence[TrialSpec]) -> None:
    """Refuse what this machine cannot run, before Ray is started on it."""
    from raybench.launch.session import machine_resources
    from raybench.schedule.resources import check_placeable

    check_placeable(due, [machine_resources()], "this machine")


def _run(
    due: Sequence[TrialSpec], folder: Experiment, how: RunOptions, known: Sequence[TrialRecord]
) -> bool:
    """Run trials on Ray; return whether they were interrupted."""
    from raybench.cli.progress import ProgressView
    from raybench.launch.session import connected
    from raybench.settings import workspace

    address = how.address
    typer.echo("starting Ray on this machine" if not address else f"joining {address}", err=True)
    with _signals() as asked, connected(address):
        from raybench.launch.grid import GridRequest, GridRun, check_cluster

        request = GridRequest(
            experiment=folder,
            data_root=workspace(data=how.data).data,
            address=address,
            stall_s=how.stall_s,
            node_timeout_s=how.node_timeout_s,
            known=known,
        )
        check_cluster(due, address)
        run = GridRun(due, request)
        run.start()
        with ProgressView(due) as view:
            stopping = False
            while not run.wait(0.5):
                view.update(run.states())
                if asked and not stopping:
                    stopping = True
                    typer.echo(f"{asked[0]}: stopping the running trials", err=True)
                    run.stop()
            view.update(run.states())
        run.results()
    if run.stranded:
        typer.echo(
            f"stopped: {run.stranded}.\nWhat is complete was kept. The same command measures the "
            "rest, as soon as there is such a host.",
            err=True,
        )
    return bool(asked)


@contextmanager
def _signals() -> Iterator[list[str]]:
    """Note signals instead of dying of them: the running trials are to write their records."""
    asked: list[str] = []

    def note(number: int, _frame: Any) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C means it
        asked.append(signal.Signals(number).name)

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, note) for number in wanted}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_tables(folder: Experiment) -> None:
    """Print the tables of an experiment, and where its results lie."""
    from raybench.analysis.frame import load
    from raybench.analysis.tables import DEFAULT_TABLES, Options, make_tables
    from raybench.report.text import render

    frame, problems = load([folder.folder])
    typer.echo(f"\n{render(make_tables(frame, DEFAULT_TABLES, Options()))}\n")
    for problem in problems:
        typer.echo(f"left out: {problem}", err=True)
    typer.echo(f"results: {folder.folder}")
    typer.echo(f"again:   raybench analyze {folder.folder}")
