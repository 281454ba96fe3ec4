"""One trial: set up, warm up, time, profile, and record it.

Plain PyTorch; nothing here knows of Ray. What goes wrong in a trial becomes its record.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager, suppress

from raybench.errors import RaybenchError, ResultsError
from raybench.record.schema import ErrorFacts, TrialRecord, WarningFacts
from raybench.record.state import (
    Event,
    Listener,
    Measured,
    PhaseStarted,
    TrialEnded,
    first_line,
)
from raybench.record.store import Experiment, utc_now
from raybench.settings import Workspace
from raybench.spec.trial import TrialSpec
from raybench.trial.autotune.search import autotune
from raybench.trial.draft import Draft
from raybench.trial.profile import profile
from raybench.trial.setup import Setup, prepare_machine, set_up
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
    started_at: str | None = None,
) -> TrialRecord:
    """Measure one trial and write its record, whatever becomes of it.

    Whoever listens is given the record before it is written, and can write it where this process
    cannot.

    Args:
        spec: what to measure.
        experiment: where the record is written.
        workspace: where the datasets lie.
        listen: is told of phases and epochs, never inside the clock.
        counter: [0] grows by the images of each step, for other processes to read.
        started_at: when, UTC, ISO 8601; by default now.

    Raises:
        ResultsError: the record could not be written.
    """
    draft = Draft(spec=spec, experiment=experiment.name, started_at=started_at or utc_now())
    counter = [0] if counter is None else counter
    measured: list[TrialRecord] = []
    try:
        draft.autotune = autotune(spec, experiment, workspace, listen)
        with _timed(draft, workspace, listen, counter) as setup:
            measured.append(check_plausible(draft.completed()))
            listen(Measured(measured[0]))
            with suppress(ResultsError):  # it is tried again at the end
                _write(measured[0], draft, experiment)
            listen(PhaseStarted("profiling"))
            draft.profile = profile(setup)
        record = draft.completed()
    except KeyboardInterrupt:
        record = draft.interrupted()
    except Exception as error:  # noqa: BLE001 - whatever a trial raises belongs in its record
        record = draft.failed(error_facts(error))
    if measured and record.error is not None:
        draft.unmeasured = f"the profiling was cut short: {first_line(record.error)}"
        record = draft.completed()
    listen(TrialEnded(record))
    written = _write(record, draft, experiment)
    if written != record:
        listen(TrialEnded(written))
    return written


@contextmanager
def _timed(
    draft: Draft, workspace: Workspace, listen: Listener, counter: MutableSequence[int]
) -> Iterator[Setup]:
    """Run the phases up to the timed epochs; each adds its part to the draft as it ends."""
    resolved = draft.spec.resolved(draft.autotune and draft.autotune.chosen)
    listen(PhaseStarted("setup"))
    draft.machine = prepare_machine(resolved)
    with set_up(resolved, workspace, draft.machine) as setup:
        draft.setup = setup
        listen(PhaseStarted("warm-up"))
        draft.warm_up = warm_up(setup)
        listen(PhaseStarted("training"))
        draft.timing = time_epochs(setup, draft.epochs, listen, counter)
        yield setup


def _write(record: TrialRecord, draft: Draft, experiment: Experiment) -> TrialRecord:
    """Write a record, then the times of its steps; return it, with a warning if those failed.

    Raises:
        ResultsError: the record could not be written.
    """
    path = experiment.write(record)
    if draft.epochs.steps_ms and path == experiment.record_path(record.trial_id):
        try:
            experiment.write_steps(record.trial_id, draft.epochs.steps_ms)
        except ResultsError as error:
            warning = WarningFacts(kind="no_steps", message=error.message)
            record = record.model_copy(update={"warnings": (*record.warnings, warning)})
            experiment.write(record)
    return record


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
