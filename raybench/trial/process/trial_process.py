"""A trial in a clean process of its own; what kills that becomes the trial's record.

The process is forked from a server that has torch imported and no device touched, so that it
starts at once with clean allocators, libraries and random generators. Whoever asked for it only
reads its events; a crash, a kill for memory or a hang of the trial leaves the asker standing
(``processes``).
"""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybench.errors import ResultsError
from raybench.record.schema import Epoch, ErrorFacts, TrialRecord
from raybench.record.state import TrialState, first_line
from raybench.record.store import Experiment, utc_now
from raybench.spec.trial import TrialSpec
from raybench.trial.process import forkserver as processes

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

STALL_S = 1800.0
"""Seconds without a step or an event after which a trial counts as hung."""


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """What a trial's process has to know.

    Attributes:
        spec: the trial.
        results: the folder that experiments lie in.
        experiment: the experiment's name.
        data_root: where the datasets lie.
        variables: environment variables that are set before a device is touched.
    """

    spec: TrialSpec
    results: Path
    experiment: str
    data_root: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Experiment:
        """The experiment's folder."""
        return Experiment(self.results / self.experiment)


class TrialProcess:
    """A trial that runs in a process of its own.

    Args:
        request: the trial.
        stall_s: seconds without a step or an event after which it is killed as hung.
    """

    def __init__(self, request: TrialRequest, stall_s: float = STALL_S) -> None:
        self._request = request
        self._stall_s = stall_s
        self._started_at = utc_now()
        self._phase = "starting"
        self._epochs: list[Epoch] = []
        self._record: TrialRecord | None = None
        self._failure: str | None = None
        self._open = True
        context = processes.fork_server()
        self._counters = context.RawArray("q", 2)
        self._events, sender = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(
            target=_run, args=(request, sender, self._counters), name=request.spec.trial_id
        )
        processes.start(self._process)
        sender.close()
        self._last_images = 0
        self._last_sign_s = time.monotonic()

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def state(self) -> TrialState:
        """How far the trial is."""
        phase, message = self._phase, ""
        if self._record is not None:
            phase, message = self._record.status, first_line(self._record.error)
        elif self._failure is not None:
            phase, message = "failed", self._failure.splitlines()[0]
        return TrialState(
            phase=phase,
            epochs=tuple(self._epochs),
            images=self._counters[0],
            node=os.uname().nodename,
            message=message,
            started_at=self._started_at,
        )

    def wait(self, timeout_s: float) -> None:
        """Wait for news, or for the end of the process, at most ``timeout_s``."""
        sources: list[Any] = [self._process.sentinel]
        if self._open:
            sources.append(self._events)
        ready = multiprocessing.connection.wait(sources, timeout=timeout_s)
        self._receive()
        self._watch(bool(ready))

    @property
    def ended(self) -> bool:
        """Whether the process has ended and all that it said was read."""
        return not self._process.is_alive() and not (self._open and self._events.poll())

    def record(self) -> TrialRecord:
        """Return the record of the ended trial; one is written for a trial that was killed.

        Raises:
            ResultsError: the record could not be written.
        """
        self._receive()
        self._process.join()
        if self._failure is not None:
            raise ResultsError(self._failure)
        if self._record is None:
            self._record = self._post_mortem()
            self._request.folder.write(self._record)
        return self._record

    def interrupt(self) -> None:
        """Ask the trial to stop and to record how far it came; kill it if it does not."""
        if self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)
        deadline = time.monotonic() + processes.GRACE_S
        while not self.ended and time.monotonic() < deadline:
            self.wait(0.2)
        self.kill()

    def kill(self) -> None:
        """Kill the process if it is still there."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    def _receive(self) -> None:
        """Read all that the trial has said so far."""
        try:
            while self._open and self._events.poll():
                kind, value = self._events.recv()
                if kind == "phase":
                    self._phase = value
                elif kind == "epoch":
                    self._epochs.append(Epoch.model_validate(value))
                elif kind == "record":
                    self._record = TrialRecord.model_validate_json(value)
                else:
                    self._failure = value
        except (EOFError, OSError):  # the trial has closed its end, or died in the middle of a word
            self._open = False

    def _watch(self, sign: bool) -> None:
        images = self._counters[0]
        now = time.monotonic()
        if sign or images != self._last_images:
            self._last_images, self._last_sign_s = images, now
        elif now - self._last_sign_s > self._stall_s and self._process.is_alive():
            self.kill()
            self._phase = "hung"

    def _post_mortem(self) -> TrialRecord:
        """Make the record of a trial that could not write one."""
        code = self._process.exitcode
        if self._phase == "hung":
            kind = "hung"
            message = f"no step and no sign of life for {self._stall_s:.0f} s; it was killed"
        else:
            kind = "killed"
            how = processes.how_it_ended(code)
            message = f"the trial's process {how} while in {self._phase}"
            if code == -signal.SIGKILL:
                message += (
                    "; most often the kernel, or Slurm, because memory ran out"
                    "\nhint:    ask for more memory (--mem), or use fewer num_workers"
                )
        error = ErrorFacts(kind=kind, message=message, traceback=None)
        return unfinished_record(self._request.spec, self._request.experiment, self.state, error)


def unfinished_record(
    spec: TrialSpec, experiment: str, state: TrialState, error: ErrorFacts
) -> TrialRecord:
    """Make the record of a trial that could not write one."""
    record = TrialRecord(
        trial_id=spec.trial_id,
        experiment=experiment,
        started_at=state.started_at,
        spec=spec,
        status="failed",
        error=error,
        epochs=state.epochs,
    )
    return record.with_reason("the trial's process ended before it could record this")


def _run(request: TrialRequest, events: Connection, counters: Any) -> None:
    """Run in the trial's process: forked from the server, or freshly started."""
    os.environ.update(request.variables)
    processes.settle()
    from raybench.record.state import EpochDone, Event, PhaseStarted  # noqa: PLC0415
    from raybench.trial.run import TrialContext, run_trial  # noqa: PLC0415

    def tell(kind: str, value: Any) -> None:
        with suppress(OSError):  # nobody is left to listen: the record on the disk remains
            events.send((kind, value))

    def report(event: Event) -> None:
        if isinstance(event, EpochDone):
            tell("epoch", event.epoch.model_dump(mode="json"))
        elif isinstance(event, PhaseStarted):
            tell("phase", event.name)

    context = TrialContext(
        experiment=request.folder,
        data_root=request.data_root,
        report=report,
        progress=counters,
    )
    try:
        record = run_trial(request.spec, context)
    except ResultsError as error:
        tell("failure", str(error))
    else:
        tell("record", record.model_dump_json())
