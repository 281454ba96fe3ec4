"""``raybench grid``: a grid of trials on Ray."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybench.cli.options import Data, Results, Settings
from raybench.spec import TrialSpec, grid_yaml, load_grid, parse_settings

if TYPE_CHECKING:
    from raybench.store import Experiment

Address = Annotated[
    str | None,
    typer.Option(
        help="Address of a Ray cluster; without one, Ray is started on this machine.",
        envvar="RAY_ADDRESS",
    ),
]


def grid(
    spec: Annotated[Path, typer.Argument(help="The grid, a YAML file.")],
    settings: Settings = None,
    results: Results = None,
    data: Data = None,
    address: Address = None,
    stall_timeout: Annotated[
        float,
        typer.Option(min=1, help="Seconds without a step after which a trial counts as hung."),
    ] = 1800.0,
) -> None:
    """Run a grid of trials on a Ray cluster, or on this machine.

    Trials whose records are complete are not run again, so the same command resumes a grid that
    was interrupted. Ends in the tables of running time, accuracy and speedup; exit code 1 if a
    trial did not complete, 130 if the grid was interrupted.
    """
    from raybench.store import Experiment, results_root

    plan = load_grid(spec, parse_settings(settings or ()))
    folder = Experiment(results_root(results), plan.name)
    code = measure(plan.plan(), grid_yaml(plan), folder, data, address, stall_timeout)
    show_tables(folder)
    raise typer.Exit(code)


def measure(
    trials: Sequence[TrialSpec],
    yaml_text: str,
    folder: Experiment,
    data: Path | None = None,
    address: str | None = None,
    stall_s: float = 1800.0,
) -> int:
    """Run the trials that are not complete yet, and return the command's exit code."""
    from raybench.store import check_writable

    check_writable(folder.folder)
    due = [trial for trial in trials if not folder.is_complete(trial)]
    if len(due) < len(trials):
        typer.echo(
            f"{len(trials) - len(due)} of {len(trials)} trials are complete already, "
            f"not run again: {folder.folder / 'records'}",
            err=True,
        )
    if not due:
        folder.write_plan(yaml_text, trials)
        return 0
    interrupted = _run(due, trials, yaml_text, folder, data, address, stall_s)
    incomplete = [trial for trial in trials if not folder.is_complete(trial)]
    if interrupted:
        typer.echo(
            "interrupted; what is complete was kept. The same command runs the rest.", err=True
        )
        return 130
    return 1 if incomplete else 0


def _run(
    due: Sequence[TrialSpec],
    trials: Sequence[TrialSpec],
    yaml_text: str,
    folder: Experiment,
    data: Path | None,
    address: str | None,
    stall_s: float,
) -> bool:
    """Run trials on Ray; return whether they were interrupted."""
    from raybench.catalog.datasets import data_root
    from raybench.cli.progress import ProgressView
    from raybench.placement import check_placeable
    from raybench.ray_session import connected, machine_resources

    if not address:
        check_placeable(due, [machine_resources()], "this machine")
    typer.echo("starting Ray on this machine" if not address else f"joining {address}", err=True)
    with _signals() as asked, connected(address):
        from raybench.grid import GridRequest, GridRun, check_cluster

        request = GridRequest(
            experiment=folder, data_root=data_root(data), address=address, stall_s=stall_s
        )
        check_cluster(due, address)
        folder.write_plan(yaml_text, trials)
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
        run.result()
    return bool(asked)


@contextmanager
def _signals() -> Iterator[list[str]]:
    """Note signals instead of dying of them: the running trials are to write their records."""
    asked: list[str] = []

    def note(number: int, frame: Any) -> None:
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
