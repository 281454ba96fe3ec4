"""One trial: set up, warm up, time, profile, and record it.

Plain PyTorch; nothing here knows of Ray. What goes wrong in a trial becomes its record.
"""

from __future__ import annotations

import traceback
from collections.abc import MutableSequence

from raybench.errors import RaybenchError
from raybench.record.schema import ErrorFacts, TrialRecord
from raybench.record.state import Event, Listener, PhaseStarted, TrialEnded
from raybench.record.store import Experiment
from raybench.settings import Workspace
from raybench.spec.trial import TrialSpec
from raybench.trial.autotune.search import autotune
from raybench.trial.draft import Draft
from raybench.trial.profile import profile
from raybench.trial.setup import prepare_machine, set_up
from raybench.trial.summary import check_plausible
from raybench.trial.timing import time_epochs
from raybench.trial.trainer import is_out_of_memory
from raybench.trial.warmup import warm_up


def ignore(_event: Event) -> None:
    """Follow no trial."""


def run_trial(
    spec: TrialSpec,
    experiment: Experiment,
    workspace: Workspace,
    listen: Listener = ignore,
    *,
    counter: MutableSequence[int] | None = None,
) -> TrialRecord:
    """Measure one trial and write its record, whatever becomes of it.

    Args:
        spec: what to measure.
        experiment: where the record is written.
        workspace: where the datasets lie.
        listen: is told of phases and epochs, never inside the clock.
        counter: [0] grows by the images of each step, for other processes to read.

    Raises:
        ResultsError: the record could not be written.
    """
    draft = Draft(spec=spec, experiment=experiment.name)
    try:
        draft.autotune = autotune(spec, experiment, workspace, listen)
        _measure(draft, workspace, listen, [0] if counter is None else counter)
        record = check_plausible(draft.completed())
    except KeyboardInterrupt:
        record = draft.interrupted()
    except Exception as error:  # noqa: BLE001 - whatever a trial raises belongs in its record
        record = draft.failed(error_facts(error))
    experiment.write(record, draft.epochs.steps_ms)
    listen(TrialEnded(record))
    return record


def _measure(
    draft: Draft, workspace: Workspace, listen: Listener, counter: MutableSequence[int]
) -> None:
    """Run the phases in their order; each adds its part to the draft as it ends."""
    resolved = draft.spec.resolved(draft.autotune and draft.autotune.chosen)
    listen(PhaseStarted("setup"))
    draft.machine = prepare_machine(resolved)
    with set_up(resolved, workspace, draft.machine) as setup:
        draft.setup = setup
        listen(PhaseStarted("warm-up"))
        draft.warm_up = warm_up(setup)
        listen(PhaseStarted("training"))
        draft.timing = time_epochs(setup, draft.epochs, listen, counter)
        listen(PhaseStarted("profiling"))
        draft.profile = profile(setup)


def error_facts(error: Exception) -> ErrorFacts:
    """Say what an exception means for a trial."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, RaybenchError):
        return ErrorFacts(kind=error.kind, message=str(error), traceback=text)
    if is_out_of_memory(error):
        message = (
            f"out of memory: {str(error).splitlines()[0] if str(error) else 'MemoryError'}\n"
            "hint:    a smaller batch_size or image_size, or hardware with more memory"
        )
        return ErrorFacts(kind="out_of_memory", message=message, traceback=text)
    name = type(error).__name__
    return ErrorFacts(kind="exception", message=f"{name}: {error}".strip(), traceback=text)
