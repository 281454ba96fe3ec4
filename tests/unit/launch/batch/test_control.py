"""What a batch script says, and what its scheduler tells it."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from raybench.launch.batch.control import Interrupted, JobLog, Signals


def test_the_log_counts_from_the_beginning_of_the_script(
    capsys: pytest.CaptureFixture[str],
) -> None:
    JobLog(started_s=time.time() - 100).say("p100-1 joined")
    assert re.fullmatch(r"\[ +1\d\d\.\d s\] p100-1 joined\n", capsys.readouterr().out)


@pytest.mark.parametrize(("number", "end_soon"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_signal_is_said_passed_on_and_ends_the_job(
    number: signal.Signals, end_soon: bool
) -> None:
    said: list[str] = []
    passed: list[int] = []
    signals = Signals(said.append)
    signals.check()
    assert not signals.end_soon
    signals.on_signal = passed.append
    signals.receive(number)
    assert (said, passed) == ([f"received {number.name}"], [number])
    assert signals.end_soon is end_soon
    with pytest.raises(Interrupted):
        signals.check()


def test_the_schedulers_signals_are_listened_to() -> None:
    numbers = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    signals = Signals([].append)
    try:
        signals.listen()
        for number in numbers:
            os.kill(os.getpid(), number)
            assert signals.received == number
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
