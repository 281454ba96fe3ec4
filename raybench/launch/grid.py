"""A grid from its start to its end: what is due, checks, resume, session, signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from raybench.errors import ClusterError, count
from raybench.launch.options import Nobody, RunOptions, Watcher
from raybench.launch.preflight import check_grid
from raybench.launch.rescuer import Rescuer
from raybench.launch.session import cluster_nodes, connected, is_connected
from raybench.record.claim import Claim, claimed
from raybench.record.rescue import recover
from raybench.record.schema import TrialRecord
from raybench.record.store import Experiment
from raybench.schedule.resources import check_placeable
from raybench.settings import Workspace
from raybench.spec.grid import GridSpec, grid_yaml
from raybench.spec.trial import TrialSpec

LOOK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run of trials ended.

    Attributes:
        records: of the trials that have one, in the plan's order.
        planned: how many trials were asked for.
        interrupted: whether a signal ended it before its time.
        stranded: why it was stopped, if no node was left that could go on; else an empty string.
    """

    records: tuple[TrialRecord, ...]
    planned: int
    interrupted: bool = False
    stranded: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every trial has completed."""
        completed = sum(record.status == "completed" for record in self.records)
        return completed == self.planned

    def unless_cut_short(self) -> list[TrialRecord]:
        """Return the records of a run that came to its end.

        Raises:
            KeyboardInterrupt: a signal ended it before its time.
            ClusterError: no node was left that could go on.
        """
        if self.interrupted:
            raise KeyboardInterrupt
        if self.stranded:
            raise ClusterError(self.stranded, hint="run the rest on a cluster that can")
        return list(self.records)


def run_grid(
    grid: GridSpec,
    workspace: Workspace,
    options: RunOptions | None = None,
    watcher: Watcher | None = None,
) -> Outcome:
    """Run the trials of a grid that are not complete yet, into ``results / grid.name``.

    Raises:
        RaybenchError: it cannot be run: see ``run_trials``.
    """
    experiment = Experiment(workspace.results / grid.name)
    trials = grid.plan()
    return run_trials(trials, experiment, workspace, options, watcher, text=grid_yaml(grid))


def run_trials(
    trials: Sequence[TrialSpec],
    experiment: Experiment,
    workspace: Workspace,
    options: RunOptions | None = None,
    watcher: Watcher | None = None,
    *,
    text: str | None = None,
) -> Outcome:
    """Run the trials of an experiment on Ray, but for those that are complete.

    SIGINT, SIGTERM and SIGUSR1 let the running trials record how far they came; no more start.

    Args:
        trials: in running order.
        experiment: where the records go.
        workspace: where the data lie.
        options: the cluster, and timeouts.
        watcher: is told how it goes.
        text: the YAML of the grid; with it, the plan is written to the experiment's folder.

    Raises:
        ResultsError: the results cannot be written.
        SpecError: a model cannot be imported.
        DataError: a dataset cannot be imported, or is absent.
        ClusterError: the cluster cannot be reached, can never run a trial, or Ray itself failed.
    """
    options, watcher = options or RunOptions(), watcher or Nobody()
    with ExitStack() as held:
        # Single trials share an experiment, and a grid has one for itself.
        names = [None] if text is not None else [trial.trial_id for trial in trials]
        claims = [held.enter_context(claimed(experiment, name)) for name in names]
        recover(experiment)
        for name in names:
            experiment.salvage(name)
        return _run_claimed(
            trials, experiment, workspace, options, watcher, text=text, claims=claims
        )


def _run_claimed(
    trials: Sequence[TrialSpec],
    experiment: Experiment,
    workspace: Workspace,
    options: RunOptions,
    watcher: Watcher,
    *,
    text: str | None,
    claims: Sequence[Claim],
) -> Outcome:
    known = [record for trial in trials if (record := experiment.completed(trial)) is not None]
    complete = {record.trial_id for record in known}
    due = [trial for trial in trials if trial.trial_id not in complete]
    if known:
        watcher.say(
            f"{len(known)} of {count(len(trials), 'trial')} "
            f"{'is' if len(known) == 1 else 'are'} complete already, not run again: "
            f"{experiment.folder / 'records'}"
        )
    check_grid(due, experiment, workspace, options.address)
    if text is not None:
        experiment.write_plan(text, trials)
    interrupted, stranded = False, ""
    if due:
        interrupted, stranded = _run(
            due, experiment, workspace, options, watcher, known=known, claims=claims
        )
    records = (experiment.read(trial.trial_id) for trial in trials)
    return Outcome(
        records=tuple(record for record in records if record is not None),
        planned=len(trials),
        interrupted=interrupted,
        stranded=stranded,
    )


def _run(
    due: Sequence[TrialSpec],
    experiment: Experiment,
    workspace: Workspace,
    options: RunOptions,
    watcher: Watcher,
    *,
    known: Sequence[TrialRecord],
    claims: Sequence[Claim],
) -> tuple[bool, str]:
    """Run trials on Ray; return whether they were interrupted, and why they were stranded."""
    address = options.address
    rescuer = Rescuer(experiment=experiment, say=watcher.say)
    if not is_connected(address):
        watcher.say(f"joining {address}" if address else "starting Ray on this machine")
    with signals() as received, connected(address):
        received.listen()  # Ray has taken SIGTERM for itself
        from raybench.launch.tune.run import TuneRun  # noqa: PLC0415 - takes seconds

        where = f"the Ray cluster {address}" if address else "this machine"
        check_placeable(due, cluster_nodes(), where)
        run = TuneRun(due, experiment, workspace, options, rescuer=rescuer, known=known)
        watcher.start(due)
        run.start()
        stopping = False
        while not run.wait(LOOK_EVERY_S):
            watcher.update(run.states())
            rescuer.again()
            why = [*received.names]
            why += ["another driver has taken over"] if any(c.is_lost for c in claims) else []
            why += ["the records cannot be written"] if rescuer.has_given_up else []
            if why and not stopping:
                stopping = True
                watcher.say(f"{why[0]}: stopping the running trials")
                run.stop()
        if not run.is_headless:
            watcher.update(run.states())
        rescuer.finish(wait=not received.names)
        if not run.is_headless:
            run.results()
    return bool(received.names), run.stranded


class Signals:
    """Signals that are noted instead of dying of them.

    Attributes:
        names: of those received, in order.
    """

    def __init__(self) -> None:
        self.names: list[str] = []

    def listen(self) -> None:
        """Take SIGINT, SIGTERM and SIGUSR1 from now on; only a main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in _WANTED:
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: Any) -> None:
        if self.names and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C means it
        self.names.append(signal.Signals(number).name)


_WANTED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@contextmanager
def signals() -> Iterator[Signals]:
    """Note signals for a while: the running trials are to write their records."""
    received = Signals()
    before = [signal.getsignal(number) for number in _WANTED]
    received.listen()
    try:
        yield received
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in zip(_WANTED, before, strict=True):
                signal.signal(number, handler)
