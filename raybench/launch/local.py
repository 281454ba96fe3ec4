"""One trial on this machine."""

from __future__ import annotations

from collections.abc import Generator

from raybench.record.state import TrialState
from raybench.trial.process.trial_process import STALL_S, TrialProcess, TrialRequest


def run_in_process(
    request: TrialRequest, stall_s: float = STALL_S
) -> Generator[TrialState, None, None]:
    """Run a trial, yielding its state twice a second, the last time with its status at the end.

    An interruption of the caller is passed on to the trial, whose record is then written.
    """
    process = TrialProcess(request, stall_s)
    try:
        while not process.ended:
            process.wait(0.5)
            yield process.state
    except (KeyboardInterrupt, GeneratorExit):
        process.interrupt()
        process.record()
        raise
    process.record()
    yield process.state
