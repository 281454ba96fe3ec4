"""A trial in a clean process of its own; what kills that becomes the trial's record.

The process is forked from a server that has torch imported and no device touched, so that it
starts at once with clean allocators, libraries and random generators. Whoever asked for it only
reads its events; a crash, a kill for memory or a hang of the trial leaves the asker standing.
"""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from raybench.errors import RecordError, ResultsError
from raybench.record.schema import ErrorFacts, TrialRecord
from raybench.record.state import Event, Measured, TrialEnded, TrialState
from raybench.record.store import RANK, Experiment, utc_now
from raybench.settings import Workspace
from raybench.spec.trial import TrialSpec
from raybench.trial.draft import unfinished_record
from raybench.trial.process import forkserver

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

STALL_S = 1800.0
"""Seconds without a step or an event after which a trial counts as hung."""


class TrialProcess:
    """A trial that runs in a process of its own.

    Args:
        spec: the trial.
        experiment: where its record is written.
        workspace: where the datasets lie.
        variables: environment variables that are set before a device is touched.
        stall_s: seconds without a step or an event after which it is killed as hung.
    """

    def __init__(
        self,
        spec: TrialSpec,
        experiment: Experiment,
        workspace: Workspace,
        *,
        variables: Mapping[str, str] | None = None,
        stall_s: float = STALL_S,
    ) -> None:
        self._spec = spec
        self._experiment = Experiment(experiment.folder.absolute())
        self._stall_s = stall_s
        self._state = TrialState(phase="starting", node=os.uname().nodename, started_at=utc_now())
        self._record: TrialRecord | None = None
        self._is_written = False
        self._hung = False
        self._open = True
        context = forkserver.fork_server()
        self._counter = context.RawArray("q", 1)
        self._words, sender = context.Pipe(duplex=False)
        self._process: ForkServerProcess = context.Process(
            target=_run,
            args=(spec, self._experiment, workspace.absolute(), dict(variables or {}), sender),
            kwargs={"counter": self._counter, "started_at": self._state.started_at},
            name=spec.trial_id,
        )
        forkserver.start(self._process)
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
        return replace(self._state, images=self._counter[0])

    def wait(self, timeout_s: float) -> None:
        """Wait for an event, or for the end of the process, at most ``timeout_s``."""
        sources: list[Any] = [self._process.sentinel]
        if self._open:
            sources.append(self._words)
        ready = multiprocessing.connection.wait(sources, timeout=timeout_s)
        self._receive()
        self._watch(bool(ready))

    @property
    def ended(self) -> bool:
        """Whether the process has ended and all that it said was read."""
        return not self._process.is_alive() and not (self._open and self._words.poll())

    def record(self) -> TrialRecord:
        """Return the record of the ended trial, which then lies in its place.

        The disk knows best: a process that died may have written more than it could still say, or
        less. Where it left nothing, the record says what it died of.

        Raises:
            ResultsError: the record could not be written; ``unwritten`` is it.
        """
        self._receive()
        self._process.join()
        if not self._is_written:
            record = self._known()
            self._state = self._state.after(TrialEnded(record))
            self._record = record
            self._experiment.write(record)
            self._is_written = True
        assert self._record is not None
        return self._record

    @property
    def unwritten(self) -> TrialRecord | None:
        """The record of the ended trial if it lies nowhere yet."""
        return None if self._is_written else self._record

    def _known(self) -> TrialRecord:
        """Return the best record that there is of this start."""
        spec, name = self._spec, self._experiment.name
        there = None
        with suppress(ResultsError, RecordError):
            self._experiment.salvage(spec.trial_id)
            there = self._experiment.read(spec.trial_id)
        if there is not None and there.started_at != self._state.started_at:
            there = None
        known = [record for record in (self._record, there) if record is not None]
        if known:
            return max(known, key=_worth)
        return unfinished_record(spec, name, self.state, self._why_it_died())

    def interrupt(self) -> None:
        """Ask the trial to stop and to record how far it came; kill it if it does not."""
        if self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)
        deadline = time.monotonic() + forkserver.GRACE_S
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
            while self._open and self._words.poll():
                self._take(self._words.recv())
        except (EOFError, OSError):  # the trial has closed its end, or died in the middle of a word
            self._open = False

    def _take(self, word: Event) -> None:
        if isinstance(word, (Measured, TrialEnded)):
            self._record = word.record
        self._state = self._state.after(word)

    def _watch(self, sign: bool) -> None:
        """Kill a trial that has shown no step and no sign of life for too long."""
        images, now_s = self._counter[0], time.monotonic()
        if sign or images != self._last_images:
            self._last_images, self._last_sign_s = images, now_s
        elif now_s - self._last_sign_s > self._stall_s and self._process.is_alive():
            self._hung = True
            self.kill()

    def _why_it_died(self) -> ErrorFacts:
        """Say why the trial could not write its own record."""
        if self._hung:
            message = f"no step and no sign of life for {self._stall_s:.0f} s; it was killed"
            return ErrorFacts(kind="hung", message=message, traceback=None)
        code = self._process.exitcode
        message = (
            f"the trial's process {forkserver.how_it_ended(code)} while in {self._state.phase}"
        )
        if code == -signal.SIGKILL:
            message += (
                "; most often the kernel, or Slurm, because memory ran out"
                "\nhint:    ask for more memory (--mem), or use fewer num_workers"
            )
        return ErrorFacts(kind="killed", message=message, traceback=None)


def _worth(record: TrialRecord) -> tuple[int, bool, int]:
    """Order the records of one start by how much they tell."""
    profiled = record.compute_only_images_per_s is not None
    return RANK[record.status], profiled, len(record.warnings)


def _run(
    spec: TrialSpec,
    experiment: Experiment,
    workspace: Workspace,
    variables: Mapping[str, str],
    words: Connection,
    *,
    counter: Any,
    started_at: str,
) -> None:
    """Run in the trial's process: forked from the server, or freshly started."""
    os.environ.update(variables)
    forkserver.settle()
    from raybench.trial.run import run_trial  # noqa: PLC0415 - the server has loaded it

    def tell(word: Event) -> None:
        with suppress(OSError):  # nobody is left to listen: the record on the disk remains
            words.send(word)

    with suppress(ResultsError):  # whoever asked for this process has the record, and tries too
        run_trial(spec, experiment, workspace, tell, counter=counter, started_at=started_at)
