"""One trial on this machine, in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable

from raybench.errors import ResultsError, SpecError
from raybench.launch.options import Nobody, RunOptions, Watcher
from raybench.launch.preflight import check_trial
from raybench.launch.rescuer import Rescuer
from raybench.record.autotune import Autotune
from raybench.record.claim import claimed
from raybench.record.rescue import recover
from raybench.record.schema import TrialRecord
from raybench.record.state import Event, PhaseStarted
from raybench.record.store import Experiment
from raybench.settings import Workspace
from raybench.spec.trial import TrialSpec
from raybench.trial.process.trial_process import TrialProcess

RUNS = "runs"
"""The experiment that single trials belong to, unless another is named."""

LOOK_EVERY_S = 0.5


def run_here(
    spec: TrialSpec,
    experiment: Experiment,
    workspace: Workspace,
    options: RunOptions | None = None,
    watcher: Watcher | None = None,
) -> TrialRecord:
    """Run a trial, unless a complete record of it exists, and return its record.

    An interruption of the caller is passed on to the trial, whose record is then written.

    Raises:
        RaybenchError: the trial cannot run here (see ``check_trial``), or its record cannot be
            written. A trial that goes wrong raises nothing: its record says what happened.
    """
    options, watcher = options or RunOptions(), watcher or Nobody()
    if (known := _known(spec, experiment, watcher)) is not None:
        return known
    check_trial(spec, experiment, workspace)
    with claimed(experiment, spec.trial_id):
        recover(experiment)
        experiment.salvage(spec.trial_id)
        known = _known(spec, experiment, watcher)
        return known or _run(spec, experiment, workspace, options, watcher)


def _known(spec: TrialSpec, experiment: Experiment, watcher: Watcher) -> TrialRecord | None:
    """Return the complete record of a trial, and say that there is one."""
    known = experiment.completed(spec)
    if known is not None:
        watcher.say(
            f"complete already, not run again: {experiment.record_path(spec.trial_id)}\n"
            f"to measure it once more: -s repeat={spec.repeat + 1}"
        )
    return known


def _run(
    spec: TrialSpec,
    experiment: Experiment,
    workspace: Workspace,
    options: RunOptions,
    watcher: Watcher,
) -> TrialRecord:
    watcher.start([spec])
    process = TrialProcess(
        spec,
        experiment,
        workspace,
        variables=dict(os.environ),
        stall_s=options.stall_timeout_s,
    )
    try:
        while not process.ended:
            process.wait(LOOK_EVERY_S)
            watcher.update({spec.trial_id: process.state})
    except KeyboardInterrupt:
        process.interrupt()
        _written(process, experiment, watcher, wait=False)
        raise
    record = _written(process, experiment, watcher)
    watcher.update({spec.trial_id: process.state})
    return record


def _written(
    process: TrialProcess, experiment: Experiment, watcher: Watcher, *, wait: bool = True
) -> TrialRecord:
    """Return the record of an ended trial, which lies in its place.

    Raises:
        ResultsError: it could not be written there, for some minutes; it was kept elsewhere.
    """
    try:
        return process.record()
    except ResultsError:
        record = process.unwritten
        assert record is not None, "it is known before it is written"
        rescuer = Rescuer(experiment=experiment, say=watcher.say)
        rescuer.keep(record)
        rescuer.finish(wait=wait)
        return record


def autotune_here(
    spec: TrialSpec,
    experiment: Experiment,
    workspace: Workspace,
    listen: Callable[[str], None],
    *,
    again: bool = False,
) -> Autotune:
    """Find on this machine what a spec leaves open; the experiment's trials then use it.

    Args:
        spec: with ``execution: best``, ``batch_size: largest`` or both.
        experiment: keeps what was found.
        workspace: where the data lie.
        listen: is told what is tried, before each candidate.
        again: whether to forget what was found before.

    Raises:
        SpecError: the spec leaves nothing open.
        TrialFailed: not even the plain way works.
        RaybenchError: the trial cannot run here: see ``check_trial``.
    """
    from raybench.trial.autotune.search import autotune  # noqa: PLC0415 - loads torch

    if spec.is_resolved:
        raise SpecError(
            f"execution is {spec.execution!r} and batch_size is {spec.batch_size}: there is "
            "nothing to find",
            hint="leave the execution out, or set batch_size=largest",
        )
    check_trial(spec, experiment, workspace)

    def tell(event: Event) -> None:
        if isinstance(event, PhaseStarted):
            listen(event.name.removeprefix("autotune: "))

    found = autotune(spec, experiment, workspace, tell, again=again)
    assert found is not None, "the spec leaves something open"
    return found
